"""A cluster whose engine the test plays: echoes, foreign messages, questions, and what is told once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from fastapi_rooms.brokers import BrokerTimings
from fastapi_rooms.brokers.streams import Place
from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.envelope import Header, Kind, seal, unseal
from fastapi_rooms.testing import eventually
from unit.fakes import SHORT, SOON

TIMINGS = BrokerTimings(
    connect=0.5, publish=0.1, probe_interval=0.5, probe_timeout=0.2, answer=0.1, linger=0.05, first_delay=0.005
)


class Line:
    """A connection that brings back what is published, unless the test says otherwise.

    Attributes:
        published: What was published, in order.
        heard: Channels that are listened to.
        echoes: Whether what is published comes back.
        takes: Cleared: publishing waits.
    """

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.heard: set[str] = set()
        self.echoes = True
        self.takes = asyncio.Event()
        self.takes.set()
        self.inbox: asyncio.Queue[tuple[str, bytes] | Exception] = asyncio.Queue()
        self.closed = False

    async def subscribe(self, channels: Sequence[str]) -> None:
        self.heard.update(channels)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        self.heard.difference_update(channels)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.published.extend(messages)
        if self.echoes:
            for channel, data in messages:
                if channel in self.heard:
                    self.inbox.put_nowait((channel, data))
        await self.takes.wait()

    async def receive(self) -> tuple[str, bytes]:
        received = await self.inbox.get()
        if isinstance(received, Exception):
            raise received
        return received

    async def close(self) -> None:
        self.closed = True


class Engine:
    """A broker whose connections the test holds.

    Attributes:
        lines: Each connection so far.
        error: What connecting raises.
    """

    prefix = "rooms"
    timings = TIMINGS
    shared = True
    message_bytes = None

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.error: Exception | None = None

    def __str__(self) -> str:
        return "a played engine"

    async def connect(self) -> Line:
        if self.error is not None:
            raise self.error
        self.lines.append(Line())
        return self.lines[-1]

    @property
    def line(self) -> Line:
        return self.lines[-1]


class Here:
    """This process, as a cluster sees it.

    Attributes:
        delivered: Message and body of each.
        needed: Channels that somebody here needs.
        said: What was told of the broker.
    """

    def __init__(self) -> None:
        self.delivered: list[bytes] = []
        self.needed: set[str] = set()
        self.said: list[str] = []

    def occupied(self, channel: str) -> bool:
        return channel in self.needed

    def forget(self, channel: str) -> bool:
        return channel not in self.needed

    async def deliver(self, header: Header, body: bytes, place: Place | None) -> None:
        self.delivered.append(body)

    def answer(self, header: Header) -> bytes:
        return b"answer"

    async def requested(self, body: bytes) -> bytes:
        return b"done: " + body

    def presence_heard(self, header: Header, body: bytes) -> None:
        self.said.append(f"{header.kind.value}: {body.decode()}")

    def goodbye(self, process: str) -> None:
        self.said.append(f"{process} is gone")

    def broker_lost(self, error: Exception) -> None:
        self.said.append("lost")

    def broker_restored(self) -> None:
        self.said.append("restored")


class Rig:
    """A cluster, its engine, and the process that it is in."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.here = Here()
        self.cluster = Cluster(self.engine, self.here)

    async def room(self, name: str = "red") -> None:
        """Somebody here is in the room."""
        self.here.needed.add(self.cluster.channels.room(name))
        await self.cluster.subscriptions.hold(self.cluster.channels.room(name))

    async def tell(self, body: bytes = b"hello", room: str = "red") -> bool:
        async def here() -> None:
            self.here.delivered.append(body)

        return await self.cluster.tell(self.cluster.header(Kind.MESSAGE, room=room), body, here)

    def comes(self, header: Header, body: bytes = b"", *, channel: str | None = None) -> None:
        """Another process says something."""
        self.engine.line.inbox.put_nowait((channel or self.cluster.channels.everyone, seal(header, body)))


@asynccontextmanager
async def started() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.cluster.start()
    try:
        yield rig
    finally:
        await rig.cluster.stop()


async def test_a_message_is_delivered_here_when_it_comes_back() -> None:
    async with started() as rig:
        await rig.room()
        assert await rig.tell()
        await eventually(lambda: rig.here.delivered == [b"hello"])


async def test_a_message_that_the_engine_does_not_take_is_delivered_here_and_its_echo_dropped() -> None:
    async with started() as rig:
        await rig.room()
        line = rig.engine.line
        line.echoes = False
        line.takes.clear()
        assert not await rig.tell()
        assert rig.here.delivered == [b"hello"]
        await eventually(lambda: rig.cluster.supervisor.connected and rig.engine.line is not line)
        rig.engine.line.inbox.put_nowait(next(one for one in line.published if one[0].startswith("rooms.room")))
        assert await rig.tell(b"next")
        await eventually(lambda: rig.here.delivered == [b"hello", b"next"])


async def test_a_message_that_came_back_before_it_counted_as_refused_is_delivered_once() -> None:
    async with started() as rig:
        await rig.room()
        rig.engine.line.takes.clear()  # it is taken, and only the answer is lost
        assert await rig.tell()
        assert rig.here.delivered == [b"hello"]


async def test_what_was_taken_and_does_not_come_back_is_delivered_when_the_connection_is_lost() -> None:
    async with started() as rig:
        await rig.room()
        line = rig.engine.line
        line.echoes = False
        assert [await rig.tell(body) for body in (b"one", b"two")] == [True, True]
        assert rig.here.delivered == []
        line.inbox.put_nowait(OSError("reset"))
        await eventually(lambda: rig.cluster.supervisor.connected and rig.engine.line is not line)
        assert rig.here.delivered == [b"one", b"two"]
        for message in line.published:  # late, and dropped
            rig.engine.line.inbox.put_nowait(message)
        assert await rig.tell(b"three")
        await eventually(lambda: rig.here.delivered == [b"one", b"two", b"three"])


async def test_what_cannot_be_told_comes_after_what_was_taken_and_did_not_come_back() -> None:
    async with started() as rig:
        await rig.room()
        line = rig.engine.line
        line.echoes = False
        assert await rig.tell(b"taken")
        line.takes.clear()
        assert not await rig.tell(b"not taken")
        assert rig.here.delivered == [b"taken", b"not taken"]


async def test_what_is_told_without_a_connection_comes_after_what_did_not_come_back() -> None:
    async with started() as rig:
        await rig.room()
        rig.engine.line.echoes = False
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            begun.set()
            await may_end.wait()
            rig.here.delivered.append(b"first")

        assert await rig.cluster.tell(rig.cluster.header(Kind.MESSAGE, room="red"), b"first", slow)
        assert await rig.tell(b"second")
        rig.engine.error = OSError("refused")
        rig.engine.line.inbox.put_nowait(OSError("reset"))
        await begun.wait()
        third = asyncio.create_task(rig.tell(b"third"))
        await asyncio.sleep(0)
        may_end.set()
        assert not await third
        assert rig.here.delivered == [b"first", b"second", b"third"]


async def test_what_was_given_up_before_it_was_taken_is_not_delivered_when_the_connection_is_lost() -> None:
    async with started() as rig:
        await rig.room()
        rig.engine.line.takes.clear()
        rig.engine.line.echoes = False
        telling = asyncio.create_task(rig.tell(b"given up"))
        await eventually(lambda: any(b"given up" in data for _, data in rig.engine.line.published))
        telling.cancel()
        rig.engine.line.inbox.put_nowait(OSError("reset"))
        await eventually(lambda: "lost" in rig.here.said)
        assert rig.here.delivered == []


@pytest.mark.logged_errors
async def test_a_message_that_cannot_be_delivered_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    async with started() as rig:
        await rig.room()
        rig.engine.line.echoes = False

        async def fail() -> None:
            raise ZeroDivisionError

        assert await rig.cluster.tell(rig.cluster.header(Kind.MESSAGE, room="red"), b"bad", fail)
        assert await rig.tell(b"good")
        rig.engine.line.inbox.put_nowait(OSError("reset"))
        await eventually(lambda: rig.here.delivered == [b"good"])
        assert "was not delivered" in caplog.text


async def test_the_log_says_what_an_error_says_whose_repr_does_not(caplog: pytest.LogCaptureFixture) -> None:
    class Terse(OSError):
        def __repr__(self) -> str:
            return "Terse"

    async with started() as rig:
        rig.engine.line.inbox.put_nowait(Terse("the password is wrong"))
        await eventually(lambda: "lost" in rig.here.said)
        assert "Terse: the password is wrong" in caplog.text


async def test_while_there_is_no_connection_messages_are_delivered_at_once() -> None:
    async with started() as rig:
        await rig.room()
        rig.engine.error = OSError("refused")
        rig.engine.line.inbox.put_nowait(OSError("reset"))
        await eventually(lambda: not rig.cluster.supervisor.connected)
        assert not await rig.tell()
        assert (rig.here.delivered, rig.here.said) == ([b"hello"], ["restored", "lost"])


async def test_an_outage_is_told_once_however_many_attempts_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    async with started() as rig:
        first = rig.engine.line
        rig.engine.error = OSError("refused")
        first.inbox.put_nowait(OSError("reset"))
        await eventually(lambda: not rig.cluster.supervisor.connected)
        await asyncio.sleep(SHORT)
        rig.engine.error = None
        await eventually(lambda: rig.cluster.supervisor.connected)
        assert rig.here.said == ["restored", "lost", "restored"]
        assert (first.closed, rig.cluster.health().outages) == (True, 1)
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [one.split(",")[0] for one in warnings] == [
            "a played engine is out of reach",
            "a played engine is back",
        ]


async def test_a_connection_that_brings_nothing_is_given_up() -> None:
    async with started() as rig:
        deaf = rig.engine.line
        deaf.echoes = False
        await eventually(lambda: deaf.closed and rig.cluster.supervisor.connected)
        assert rig.here.said == ["restored", "lost", "restored"]


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"fastapi-rooms/9 {}\n",
        seal(Header(kind=Kind.MESSAGE, process="p", number=1, room="blue"), b"for another channel"),
    ],
)
async def test_what_is_not_ours_is_counted_said_once_and_dropped(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with started() as rig:
        await rig.room()
        for _ in range(3):
            rig.engine.line.inbox.put_nowait((rig.cluster.channels.room("red"), data))
        await rig.tell()
        await eventually(lambda: rig.here.delivered == [b"hello"])
        assert rig.cluster.health().foreign == 3
        assert sum("said once" in record.getMessage() for record in caplog.records) == 1


async def test_another_process_is_known_from_its_first_word_and_greeted() -> None:
    async with started() as rig:
        before = len(rig.engine.line.published)
        rig.comes(Header(kind=Kind.ALIVE, process="other", number=1))
        await eventually(lambda: rig.cluster.health().peers == 1)
        await eventually(lambda: len(rig.engine.line.published) == before + 1)
        rig.comes(Header(kind=Kind.BYE, process="other", number=2))
        await eventually(lambda: rig.cluster.health().peers == 0)


async def test_a_question_is_answered_to_who_asked() -> None:
    async with started() as rig:
        rig.comes(Header(kind=Kind.ASK, process="other", number=7, room="red"))
        channel = rig.cluster.channels.process("other")
        await eventually(lambda: channel in [one for one, _ in rig.engine.line.published])
        header, body = unseal(dict(rig.engine.line.published)[channel])
        assert (header.kind, header.question, body) == (Kind.ANSWER, 7, b"answer")


async def test_a_request_is_done_and_answered_to_who_asked_for_it() -> None:
    async with started() as rig:
        request = Header(kind=Kind.REQUEST, process="other", number=7, user=rig.cluster.process)
        rig.comes(request, b"this", channel=rig.cluster.channels.process(rig.cluster.process))
        await eventually(lambda: any(b'"answer"' in data for _, data in rig.engine.line.published))
        channel, data = next(one for one in rig.engine.line.published if b'"answer"' in one[1])
        header, body = unseal(data)
        assert channel == rig.cluster.channels.process("other")
        assert (header.kind, header.question, body) == (Kind.ANSWER, 7, b"done: this")


async def test_who_asks_another_process_for_something_gets_its_answer_alone() -> None:
    async with started() as rig:
        asking = asyncio.create_task(rig.cluster.request("other", b"this", within=SOON))
        await eventually(lambda: any(b'"request"' in data for _, data in rig.engine.line.published))
        channel, data = next(one for one in rig.engine.line.published if b'"request"' in one[1])
        asked, body = unseal(data)
        assert (channel, body) == (rig.cluster.channels.process("other"), b"this")
        own = rig.cluster.channels.process(rig.cluster.process)
        answer = Header(
            kind=Kind.ANSWER, process="liar", number=1, question=asked.number, user=rig.cluster.process
        )
        rig.comes(answer, b"not mine", channel=own)
        rig.comes(replace(answer, process="other"), b"mine", channel=own)
        assert await asking == b"mine"


async def test_a_request_that_nobody_answers_or_the_engine_does_not_take_has_no_answer() -> None:
    async with started() as rig:
        assert await rig.cluster.request("gone", b"this", within=SHORT) is None
        rig.engine.line.takes.clear()
        assert await rig.cluster.request("other", b"this", within=SHORT) is None


async def test_no_more_is_asked_at_a_time_than_the_table_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.cluster.cluster.MOST_QUESTIONS", 0)
    async with started() as rig:
        before = len(rig.engine.line.published)
        assert await rig.cluster.request("other", b"this", within=SOON) is None
        assert len(rig.engine.line.published) == before


async def test_who_does_not_answer_in_time_is_named() -> None:
    async with started() as rig:
        for name in ("quick", "slow"):
            rig.comes(Header(kind=Kind.ALIVE, process=name, number=1))
        await eventually(lambda: rig.cluster.health().peers == 2)
        asking = asyncio.create_task(rig.cluster.ask("red", "count"))
        await eventually(lambda: any(b'"ask"' in data for _, data in rig.engine.line.published))
        asked = next(unseal(data)[0] for _, data in rig.engine.line.published if b'"ask"' in data)
        own = rig.cluster.channels.process(rig.cluster.process)
        answer = Header(
            kind=Kind.ANSWER, process="quick", number=2, question=asked.number, user=rig.cluster.process
        )
        rig.comes(answer, b"3", channel=own)
        rig.comes(replace(answer, question=999), b"4", channel=own)
        question = await asking
        assert (question.answers, question.missing) == ({"quick": b"3"}, {"slow"})


async def test_where_there_is_nobody_to_ask_nobody_waits() -> None:
    async with started() as rig:
        before = len(rig.engine.line.published)
        assert (await rig.cluster.ask("red", "count")).answers == {}
        assert len(rig.engine.line.published) == before


async def test_a_process_that_ends_says_goodbye() -> None:
    async with started() as rig:
        line = rig.engine.line
    assert unseal(line.published[-1][1])[0].kind is Kind.BYE
    assert line.closed


async def test_starting_waits_for_the_first_attempt_only() -> None:
    rig = Rig()
    rig.engine.error = OSError("refused")
    await rig.cluster.start()
    assert rig.here.said == ["lost"]
    health = rig.cluster.health()
    assert (health.connected, health.error, health.outages) == (False, "OSError: refused", 1)
    rig.engine.error = None
    await eventually(lambda: rig.cluster.supervisor.connected)
    await rig.cluster.stop()


@pytest.mark.logged_errors
async def test_what_goes_wrong_with_one_message_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with started() as rig:
        await rig.room()

        async def fail(header: Header, body: bytes, place: Place | None) -> None:
            rig.here.delivered.append(body)
            if body == b"first":
                raise ZeroDivisionError

        rig.here.deliver = fail  # type: ignore[method-assign]
        await rig.tell(b"first")
        await rig.tell(b"second")
        await eventually(lambda: rig.here.delivered == [b"first", b"second"])
        assert rig.cluster.health().outages == 0
        assert "was not delivered" in caplog.text
