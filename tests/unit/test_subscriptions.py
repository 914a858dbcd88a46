"""What is wanted is heard: one task brings both together, whatever comes in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms.cluster.subscriptions import BATCH, Subscriptions
from unit.fakes import SOON


class Engine:
    """An engine that the test answers for.

    Attributes:
        heard: What it would bring.
        requests: What it was asked for, in order: "+a,b" or "-a".
        answers: Cleared: requests wait.
        error: What the next request raises.
    """

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.requests: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def subscribe(self, channels: Sequence[str]) -> None:
        await self._asked("+", channels)
        self.heard.update(channels)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        self.heard.difference_update(channels)
        await self._asked("-", channels)

    async def _asked(self, what: str, channels: Sequence[str]) -> None:
        self.requests.append(what + ",".join(channels))
        if self.error is not None:
            raise self.error
        await asyncio.sleep(0)
        await self.answers.wait()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None: ...

    async def receive(self) -> tuple[str, bytes]:
        await asyncio.Event().wait()
        return "", b""

    async def close(self) -> None: ...


class Rig:
    """Subscriptions, their engine, and who needs what."""

    def __init__(self, *, linger: float = 60.0) -> None:
        self.engine = Engine()
        self.needed: set[str] = set()
        self.subscriptions = Subscriptions(wanted=self.needed.__contains__, linger=linger, timeout=SOON)
        self.keeping: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.subscriptions.listen_again(self.engine)
        self.keeping = asyncio.create_task(self.subscriptions.keep(self.engine))

    async def disconnect(self) -> None:
        if self.keeping is not None:
            self.keeping.cancel()
            await asyncio.wait((self.keeping,))
        self.engine.heard.clear()
        self.subscriptions.lost()

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(50):
            await asyncio.sleep(0)


@asynccontextmanager
async def rig(*, linger: float = 60.0) -> AsyncIterator[Rig]:
    one = Rig(linger=linger)
    await one.connect()
    try:
        yield one
    finally:
        await one.disconnect()
        one.subscriptions.stop()


async def test_holding_a_channel_waits_until_it_is_heard() -> None:
    async with rig() as one:
        one.engine.answers.clear()
        holding = asyncio.create_task(one.subscriptions.hold("a"))
        await one.settle()
        assert (holding.done(), one.subscriptions.hears("a")) == (False, False)
        one.engine.answers.set()
        assert await holding
        assert (one.subscriptions.hears("a"), len(one.subscriptions)) == (True, 1)
        assert await one.subscriptions.hold("a")
        assert one.engine.requests == ["+a"]


async def test_without_a_connection_nobody_waits_and_it_is_heard_later() -> None:
    one = Rig()
    assert not await one.subscriptions.hold("a")
    await one.connect()
    assert one.subscriptions.hears("a")
    await one.disconnect()
    one.subscriptions.stop()


async def test_losing_the_connection_releases_who_waits() -> None:
    async with rig() as one:
        one.engine.answers.clear()
        holding = asyncio.create_task(one.subscriptions.hold("a"))
        await one.settle()
        await one.disconnect()
        assert not await holding


async def test_a_channel_that_nobody_needs_is_left_after_it_has_lingered() -> None:
    async with rig(linger=0.0) as one:
        one.needed.add("a")
        await one.subscriptions.hold("a")
        one.needed.discard("a")
        one.subscriptions.release("a")
        one.subscriptions.release("a")
        assert one.subscriptions.hears("a")
        await one.settle()
        assert (one.subscriptions.hears("a"), one.engine.requests) == (False, ["+a", "-a"])


@pytest.mark.parametrize("holds", [True, False])
async def test_who_comes_back_in_time_finds_it_heard(holds: bool) -> None:
    async with rig(linger=0.0) as one:
        one.needed.add("a")
        await one.subscriptions.hold("a")
        one.needed.discard("a")
        one.subscriptions.release("a")
        one.needed.add("a")
        if holds:
            await one.subscriptions.hold("a")
        await one.settle()
        assert (one.subscriptions.hears("a"), one.engine.requests) == (True, ["+a"])


async def test_a_channel_that_was_held_for_somebody_who_never_came_is_left_too() -> None:
    async with rig(linger=0.0) as one:
        await one.subscriptions.hold("a")
        await one.settle()
        assert (one.subscriptions.hears("a"), one.subscriptions.wanted, one.engine.heard) == (False, (), set())


async def test_several_channels_are_held_in_one_request() -> None:
    async with rig() as one:
        assert await one.subscriptions.hold("a", "b")
        assert one.engine.requests == ["+a,b"]
        assert await one.subscriptions.hold()


async def test_who_comes_while_a_channel_is_being_left_waits_until_it_is_heard_again() -> None:
    async with rig(linger=0.0) as one:
        one.needed.add("a")
        await one.subscriptions.hold("a")
        one.needed.discard("a")
        one.engine.answers.clear()
        one.subscriptions.release("a")
        await one.settle()
        assert one.engine.requests == ["+a", "-a"]
        one.needed.add("a")
        holding = asyncio.create_task(one.subscriptions.hold("a"))
        await one.settle()
        assert not holding.done()
        one.engine.answers.set()
        assert await holding
        assert one.engine.requests == ["+a", "-a", "+a"]


async def test_many_channels_are_asked_for_in_batches() -> None:
    one = Rig()
    for number in range(2 * BATCH + 1):
        await one.subscriptions.hold(str(number))
    await one.connect()
    assert [request.count(",") + 1 for request in one.engine.requests] == [BATCH, BATCH, 1]
    await one.disconnect()
    one.subscriptions.stop()


async def test_an_engine_that_refuses_ends_the_task() -> None:
    async with rig() as one:
        one.engine.error = OSError("gone")
        holding = asyncio.create_task(one.subscriptions.hold("a"))
        await one.settle()
        assert one.keeping is not None
        assert isinstance(one.keeping.exception(), OSError)
        one.keeping = None
        await one.disconnect()
        assert not await holding


STEP = st.one_of(
    st.tuples(st.sampled_from(["enter", "leave"]), st.sampled_from("abc")),
    st.tuples(st.sampled_from(["turn", "block", "answer", "lose", "connect"]), st.just("")),
)


@settings(max_examples=examples(300))
@given(st.lists(STEP, max_size=60))
def test_whatever_happens_in_between_what_is_needed_is_heard_in_the_end(steps: list[tuple[str, str]]) -> None:
    async def story() -> None:
        one, members = Rig(linger=0.0), {"a": 0, "b": 0, "c": 0}
        holding: list[asyncio.Task[bool]] = []
        await one.connect()
        for what, name in steps:
            if what == "enter":
                members[name] += 1
                one.needed.add(name)
                holding.append(asyncio.create_task(one.subscriptions.hold(name)))
            elif what == "leave" and members[name]:
                members[name] -= 1
                if not members[name]:
                    one.needed.discard(name)
                    one.subscriptions.release(name)
            elif what == "turn":
                await asyncio.sleep(0)
            elif what == "block":
                one.engine.answers.clear()
            elif what == "answer":
                one.engine.answers.set()
            elif what == "lose":
                await one.disconnect()
            elif what == "connect":
                one.engine.answers.set()
                await one.disconnect()
                await one.connect()
        one.engine.answers.set()
        if one.keeping is None or one.keeping.done():
            await one.connect()
        await asyncio.sleep(0.001)
        await one.settle()
        assert one.engine.heard == one.needed
        assert {name for name in "abc" if one.subscriptions.hears(name)} == one.needed
        assert all(task.done() for task in holding)
        await one.disconnect()
        one.subscriptions.stop()

    asyncio.run(story())


async def test_a_driver_that_swallows_a_cancellation_does_not_keep_the_task_alive() -> None:
    class Swallowing(Engine):
        async def _asked(self, what: str, channels: Sequence[str]) -> None:
            try:
                await super()._asked(what, channels)
            except asyncio.CancelledError:  # as `asyncio.wait_for` does on Python 3.11, if it has its answer
                return

    one = Rig()
    one.engine = Swallowing()
    await one.connect()
    one.engine.answers.clear()
    holding = asyncio.create_task(one.subscriptions.hold("a"))
    await one.settle()
    await asyncio.wait_for(one.disconnect(), SOON)
    one.subscriptions.stop()
    await holding
