"""Who is present, told by real workers that are killed, or replaced, while people watch."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from fastapi_rooms.testing import eventually

from .engines import STARTS_WITHIN, Engine
from .presence_pages import BRIEF, PATIENT, Page
from .processes import Process, processes

_PREFIXES = itertools.count()

CROWD = 300

PROMPTLY = 10.0
"""Seconds that a busy machine may be late."""


class Tab:
    """Somebody's page, which comes back to another worker when it is sent away.

    Attributes:
        visits: Workers that it has been at.
    """

    def __init__(self, workers: Sequence[Process], room: str, user: str) -> None:
        self.visits = 0
        self._workers = workers
        self._path = f"/{room}/{user}"

    async def stay(self) -> None:
        for worker in itertools.cycle(self._workers):
            if not worker.alive:
                continue
            try:
                async with connect(
                    f"ws://127.0.0.1:{worker.port}{self._path}", ping_interval=None, open_timeout=None
                ) as socket:
                    await socket.recv()
                    self.visits += 1
                    async for _ in socket:
                        pass
            except (OSError, ConnectionClosed, InvalidHandshake):
                await asyncio.sleep(0.05)  # it is ending


@asynccontextmanager
async def watching(worker: Process, room: str) -> AsyncIterator[Page]:
    """A page of ann's, which has its snapshot."""
    async with connect(f"ws://127.0.0.1:{worker.port}/{room}/ann", ping_interval=None) as socket:
        page = Page(socket.recv)
        await page.until(lambda _: True)
        yield page


@asynccontextmanager
async def three(engine: Engine) -> AsyncIterator[list[Process]]:
    prefix = f"present{next(_PREFIXES)}"
    async with processes(3, url=engine.url, prefix=prefix, app="presence_app") as workers:
        yield workers


async def test_the_people_of_a_worker_that_is_killed_leave_within_the_ttl(own_engine: Engine) -> None:
    loop = asyncio.get_running_loop()
    async with (
        three(own_engine) as (near, far, doomed),
        watching(near, "brief") as ann,
        connect(f"ws://127.0.0.1:{far.port}/brief/bob", ping_interval=None),
    ):
        begun = loop.time()
        async with connect(f"ws://127.0.0.1:{doomed.port}/brief/cid", ping_interval=None):
            await ann.until_there("ann", "bob", "cid")
            doomed.kill()
            await ann.until(lambda page: "-cid" in page.seen, within=BRIEF.ttl + PROMPTLY)
        assert loop.time() - begun >= 0.95 * BRIEF.ttl  # it said that cid is there after that; clocks are coarse
        assert ann.users.keys() == {"ann", "bob"}


async def test_a_worker_that_is_replaced_makes_nobody_leave_or_join(own_engine: Engine) -> None:
    async with three(own_engine) as (near, far, old), watching(near, "red") as ann, asyncio.TaskGroup() as group:
        people = {f"p{number}" for number in range(CROWD)}
        tabs = [Tab([old, far, near], "red", user) for user in sorted(people)]
        staying = [group.create_task(tab.stay()) for tab in tabs]
        all_there = STARTS_WITHIN + PATIENT.refresh  # by then what a busy machine has made late was said again
        await ann.until(lambda page: page.users.keys() == {"ann", *people}, within=all_there)
        before = len(ann.seen)
        await asyncio.to_thread(old.stop)
        await eventually(lambda: all(tab.visits >= 2 for tab in tabs), timeout=STARTS_WITHIN)
        async with connect(f"ws://127.0.0.1:{far.port}/red/last", ping_interval=None):
            await ann.until_seen("+last")
        assert [word for word in ann.seen[before:] if word[0] != "~"] == ["+last"]
        assert ann.count == CROWD + 2
        for task in staying:
            task.cancel()
