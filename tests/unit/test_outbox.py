"""What is published goes out in order, several at a time, or comes back to who published it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from fastapi_rooms.brokers.streams import Append, Appended, Page
from fastapi_rooms.cluster import outbox as module
from fastapi_rooms.cluster.outbox import BATCH, Outbox
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError
from unit.fakes import SHORT, SOON

Messages = Sequence[tuple[str, bytes]]


class Engine:
    """Takes what is published when the test lets it.

    Attributes:
        taken: The messages of each request.
        answers: Cleared: requests wait.
        error: What requests raise.
    """

    def __init__(self) -> None:
        self.taken: list[list[tuple[str, bytes]]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def publish(self, messages: Messages) -> None:
        self.taken.append(list(messages))
        await self.answers.wait()
        if self.error is not None:
            raise self.error

    async def subscribe(self, channels: Sequence[str]) -> None: ...

    async def unsubscribe(self, channels: Sequence[str]) -> None: ...

    async def receive(self) -> tuple[str, bytes]:
        return "", b""

    async def close(self) -> None: ...


@asynccontextmanager
async def running(engine: Engine, *, timeout: float = SOON) -> AsyncIterator[tuple[Outbox, asyncio.Task[None]]]:
    outbox = Outbox(timeout=timeout)
    outbox.open()
    task = asyncio.create_task(outbox.run(engine))
    try:
        yield outbox, task
    finally:
        task.cancel()
        await asyncio.wait((task,))
        outbox.close("over")


async def test_publishing_returns_when_the_engine_has_taken_it() -> None:
    engine = Engine()
    async with running(engine) as (outbox, _):
        await outbox.publish("a", b"1")
        assert engine.taken == [[("a", b"1")]]
        engine.answers.clear()
        publishing = asyncio.create_task(outbox.publish("a", b"2"))
        await asyncio.sleep(SHORT)
        assert not publishing.done()
        engine.answers.set()
        await publishing


async def test_what_comes_while_a_request_is_on_its_way_shares_the_next() -> None:
    engine = Engine()
    engine.answers.clear()
    async with running(engine) as (outbox, _):
        publishing = [asyncio.create_task(outbox.publish("a", b"%d" % number)) for number in range(BATCH + 3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        engine.answers.set()
        await asyncio.gather(*publishing)
        assert [message for request in engine.taken for _, message in request] == [
            b"%d" % number for number in range(BATCH + 3)
        ]
        assert max(map(len, engine.taken)) == BATCH


async def test_before_there_is_a_connection_nothing_is_taken() -> None:
    with pytest.raises(BrokerUnavailable, match="not connected yet") as refused:
        await Outbox(timeout=SOON).publish("a", b"")
    assert not refused.value.maybe_published


async def test_who_appends_again_and_again_does_not_hold_up_the_loop_that_brings_the_broker_back() -> None:
    outbox = Outbox(timeout=SOON)
    asyncio.get_running_loop().call_soon(outbox.close, "asked once more, with other words")
    said = ""
    for _ in range(10):
        with pytest.raises(BrokerUnavailable) as refused:
            await outbox.append(Append(channel="a", data=b"", messages=1, seconds=1))
        said = str(refused.value)
    assert "other words" in said


@pytest.mark.usefixtures("time_by_turns")
async def test_what_the_engine_does_not_take_in_time_may_have_been_published() -> None:
    engine = Engine()
    engine.answers.clear()
    async with running(engine, timeout=SHORT) as (outbox, task):
        with pytest.raises(BrokerUnavailable, match=r"0\.02 s") as late:
            await outbox.publish("a", b"")
        assert late.value.maybe_published
        await asyncio.wait((task,))
        assert isinstance(task.exception(), TimeoutError)


@pytest.mark.usefixtures("time_by_turns")
async def test_what_waits_behind_a_late_request_is_given_back_with_it() -> None:
    engine = Engine()
    engine.answers.clear()
    async with running(engine, timeout=SHORT) as (outbox, task):
        stuck = asyncio.create_task(outbox.publish("a", b"stuck"))
        await asyncio.sleep(SHORT / 2)  # by the clock, which it is about
        waiting = asyncio.create_task(outbox.publish("a", b"waiting"))
        with pytest.raises(BrokerUnavailable) as late:
            await stuck
        await asyncio.wait((task,))
        outbox.close("the broker is silent")
        with pytest.raises(BrokerUnavailable) as unsent:
            await waiting
        assert (late.value.maybe_published, unsent.value.maybe_published) == (True, False)
        assert engine.taken == [[("a", b"stuck")]]


async def test_a_request_has_its_time_from_when_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, passed, engine = asyncio.get_running_loop(), 0.0, Engine()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    outbox = Outbox(timeout=60)
    outbox.open()
    early = asyncio.create_task(outbox.publish("a", b"before there was a connection"))
    await asyncio.sleep(0)
    passed += 40
    engine.answers.clear()
    task = asyncio.create_task(outbox.run(engine))
    await asyncio.sleep(0)
    assert engine.taken == [[("a", b"before there was a connection")]]
    passed += 25
    with pytest.raises(BrokerUnavailable):
        await early
    assert not task.done()
    passed += 40
    await asyncio.wait((task,))
    assert isinstance(task.exception(), TimeoutError)
    outbox.close("over")


async def test_what_was_given_up_before_it_was_sent_is_never_sent() -> None:
    engine = Engine()
    engine.answers.clear()
    async with running(engine) as (outbox, _):
        first = asyncio.create_task(outbox.publish("a", b"first"))
        await asyncio.sleep(SHORT)
        second = asyncio.create_task(outbox.publish("a", b"second"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait((second,))
        engine.answers.set()
        await first
        await outbox.publish("a", b"third")
        assert [message for request in engine.taken for _, message in request] == [b"first", b"third"]


async def test_a_lost_connection_gives_back_what_waits_and_what_was_on_its_way() -> None:
    engine = Engine()
    engine.answers.clear()
    async with running(engine) as (outbox, task):
        sending = asyncio.create_task(outbox.publish("a", b"sending"))
        await asyncio.sleep(SHORT)
        waiting = asyncio.create_task(outbox.publish("a", b"waiting"))
        await asyncio.sleep(0)
        engine.error = OSError("reset")
        engine.answers.set()
        await asyncio.wait((task,))
        outbox.close("the broker is gone")
        results = await asyncio.gather(sending, waiting, return_exceptions=True)
        assert [one.maybe_published for one in results if isinstance(one, BrokerUnavailable)] == [True, False]
        with pytest.raises(BrokerUnavailable, match="the broker is gone"):
            await outbox.publish("a", b"")
        outbox.open()
        outbox.close("again")


async def test_where_the_engine_keeps_no_streams_appends_are_refused_and_the_connection_goes_on() -> None:
    engine = Engine()
    async with running(engine) as (outbox, _):
        with pytest.raises(ConfigurationError, match="no history"):
            await outbox.append(Append(channel="a", data=b"", messages=1, seconds=1))
        await outbox.publish("a", b"plain")
        assert engine.taken == [[("a", b"plain")]]


class StreamEngine(Engine):
    """Keeps streams."""

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        self.taken.append([(message.channel, message.data) for message in messages])
        return [Appended("epoch", number) for number, _ in enumerate(messages)]

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        return Page("epoch", 0, [])


async def test_plain_messages_and_those_for_streams_go_in_their_order_in_requests_of_their_own() -> None:
    engine = StreamEngine()
    async with running(engine) as (outbox, _):
        kept = [Append(channel="a", data=b"%d" % number, messages=1, seconds=1) for number in range(2)]
        sending = [outbox.publish("a", b"plain"), *map(outbox.append, kept), outbox.publish("a", b"last")]
        _, first, second, _ = await asyncio.gather(*sending)
        assert (first, second) == (Appended("epoch", 0), Appended("epoch", 1))
        assert engine.taken == [[("a", b"plain")], [("a", b"0"), ("a", b"1")], [("a", b"last")]]


async def test_the_outbox_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    engine = Engine()
    outbox = Outbox(timeout=SOON)
    outbox.open()
    publishing = [asyncio.create_task(outbox.publish("a", b"")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(BrokerUnavailable, match="3 messages wait"):
        await outbox.publish("a", b"")
    task = asyncio.create_task(outbox.run(engine))
    await asyncio.gather(*publishing)
    task.cancel()
    await asyncio.wait((task,))
