"""A stalled client in a room with a history whose policy drops: it has all afterwards, or it is told."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from conformance.wire import OPENED
from fastapi_rooms import CloseCode

from .engines import POLL, STARTS_WITHIN, Engine
from .history_clients import Author, Told, Traveller, holes, travelling
from .processes import Process

_NUMBERS = itertools.count()

SAID = 500
"""Messages: more than the buffers on the way and a queue take, and fewer than are kept."""

AT_ONCE = 50
"""Messages in one request of an author to its worker: fewer than a queue takes, and than are kept anywhere."""

BEGUN = Told(recovered=None, reason=None)


@pytest.fixture(scope="module")
def workers(engine: Engine) -> Iterator[list[Process]]:
    """Two; one where it has the engine in its memory."""
    prefix = f"stalled{next(_NUMBERS)}"
    workers = [
        Process(url=engine.url, prefix=prefix, timings="steady", app="history_app")
        for _ in range(2 if engine.faults else 1)
    ]
    try:
        for one in workers:
            one.wait_started()
        yield workers
    finally:
        while OPENED:
            OPENED.pop().close()
        for one in workers:
            one.stop()


@pytest.fixture(params=["drop_oldest", "drop_newest"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Scene:
    """A room with a client that stalls, and one that does not."""

    def __init__(self, workers: list[Process], room: str) -> None:
        self.stalled = Traveller(workers, room=room, seed=1, slow=True)
        self.quick = Traveller(workers, room=room, seed=2)
        self._author = Author(workers, room=room, name="author")

    @asynccontextmanager
    async def play(self) -> AsyncIterator[None]:
        try:
            async with travelling(self.stalled, self.quick):
                yield
        finally:
            self._author.leave()

    async def say_while_it_stalls(self, numbers: range) -> None:
        """Some of it is dropped; the other client has all of it meanwhile."""
        worker = self.stalled.worker
        assert worker is not None
        dropped = (await worker.health())["dropped"]
        self.stalled.reads.clear()
        for start in range(0, len(numbers), AT_ONCE):
            some = numbers[start : start + AT_ONCE]
            await self.say(some)
            await self.quick.until(lambda one, last=some[-1]: one.newest == last)  # type: ignore[misc]
        async with asyncio.timeout(STARTS_WITHIN):
            while (await worker.health())["dropped"] == dropped:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(POLL)
        self.stalled.reads.set()

    async def say(self, numbers: range) -> None:
        await self._author.say(numbers, at_once=AT_ONCE)

    def numbers(self) -> list[int]:
        return [said.number for said in self.stalled.heard]


async def test_a_stalled_client_has_all_afterwards_in_order_and_once(workers: list[Process], policy: str) -> None:
    scene = Scene(workers, f"wide-{policy}-{next(_NUMBERS)}")
    stalls, total = 2, 0
    async with scene.play():
        for _ in range(stalls):
            await scene.say_while_it_stalls(range(total, total + SAID))
            total += SAID
            await scene.stalled.until(lambda one, last=total - 1: one.newest == last)  # type: ignore[misc]
        await scene.say(range(total, total + 1))
        await scene.stalled.until(lambda one: one.newest == total)
    assert scene.numbers() == list(range(total + 1))
    assert (scene.stalled.told, scene.stalled.sent_away) == ([BEGUN], [])
    assert len({said.position for said in scene.stalled.heard}) == total + 1


async def test_a_stalled_client_that_missed_more_than_is_kept_is_told(workers: list[Process], policy: str) -> None:
    scene = Scene(workers, f"wide-short-{policy}-{next(_NUMBERS)}")
    async with scene.play():
        await scene.say_while_it_stalls(range(SAID))
        await scene.stalled.until(lambda one: len(one.told) > 1)
        await scene.say(range(SAID, SAID + 1))
        await scene.stalled.until(lambda one: one.newest == SAID)
    begun, told = scene.stalled.told
    assert (begun, told.recovered, told.reason in ("too_many", "expired")) == (BEGUN, False, True)
    assert scene.stalled.sent_away == [CloseCode.POSITION_LOST]
    assert holes(scene.stalled) == []
    before = scene.stalled.journal.index(told) - 1
    assert scene.numbers() == [*range(before), SAID]
    assert scene.quick.sent_away == []
