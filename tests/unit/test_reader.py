import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fastapi_rooms.errors import CloseCode, DisconnectReason, RoomsError
from fastapi_rooms.options import Limits, RateLimit
from fastapi_rooms.ports import Gone
from fastapi_rooms.reader import Reader
from fastapi_rooms.testing import eventually
from unit.fakes import SHORT, SOON, FakeTransport

Make = Callable[..., "Watched"]


class Watched(Reader):
    """A reader that notes what it reports."""

    __slots__ = ("gone", "life", "transport", "violations")

    def __init__(self, limits: Limits, rate_limit: RateLimit | None, *, watch_life: bool) -> None:
        self.transport = FakeTransport()
        self.gone: list[Gone] = []
        self.life: list[float] = []
        self.violations: list[tuple[DisconnectReason, CloseCode, str]] = []
        super().__init__(
            self.transport,
            limits,
            rate_limit,
            on_life=self.life.append if watch_life else None,
            on_gone=self.gone.append,
            on_violation=lambda reason, code, text: self.violations.append((reason, code, text)),
        )


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    readers: list[Watched] = []

    def make(
        limits: Limits | None = None, rate_limit: RateLimit | None = None, *, watch_life: bool = False
    ) -> Watched:
        reader = Watched(limits or Limits(), rate_limit, watch_life=watch_life)
        readers.append(reader)
        reader.start()
        return reader

    yield make
    for reader in readers:
        await reader.stop()


async def test_messages_are_received_in_order(make: Make) -> None:
    reader = make()
    reader.transport.client_sends("a", b"b", "ü")
    assert [await reader.get() for _ in range(3)] == ["a", b"b", "ü"]
    assert (reader.received, reader.received_bytes) == (3, 4)


async def test_it_reads_before_anybody_asks(make: Make) -> None:
    reader = make()
    reader.transport.client_sends("a", "b")
    await eventually(lambda: len(reader.inbox) == 2)
    assert not reader.paused


async def test_a_full_inbox_pauses_reading_until_there_is_space(make: Make) -> None:
    reader = make(Limits(inbox_messages=2))
    reader.transport.client_sends(*"abcd")
    await eventually(lambda: reader.paused)
    assert (len(reader.inbox), reader.transport.unread) == (2, 2)
    assert await reader.get() == "a"
    await eventually(lambda: reader.paused and len(reader.inbox) == 2)
    assert [await reader.get() for _ in range(3)] == ["b", "c", "d"]
    assert not reader.paused


async def test_an_inbox_full_of_bytes_pauses_reading_until_it_is_no_more(make: Make) -> None:
    reader = make(Limits(inbox_bytes=10))
    reader.transport.client_sends("x" * 5, "y" * 10, "z")
    await eventually(lambda: reader.paused)
    assert (await reader.get(), reader.paused, len(reader.inbox)) == ("x" * 5, True, 1)
    await asyncio.sleep(0)
    assert reader.paused
    assert [await reader.get(), await reader.get()] == ["y" * 10, "z"]


async def test_two_tasks_must_not_receive_at_once(make: Make) -> None:
    reader = make()
    first = asyncio.create_task(reader.get())
    await asyncio.sleep(0)
    with pytest.raises(RoomsError, match="two tasks receive"):
        await reader.get()
    reader.transport.client_sends("a")
    assert await first == "a"


async def test_a_cancelled_receive_loses_nothing(make: Make) -> None:
    reader = make()
    waiting = asyncio.create_task(reader.get())
    await asyncio.sleep(0)
    reader.transport.client_sends("a")
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert await reader.get() == "a"


async def test_what_came_before_the_client_left_is_still_received(make: Make) -> None:
    reader = make()
    reader.transport.client_sends("a", "b")
    reader.transport.client_leaves(1001)
    await eventually(lambda: bool(reader.gone))
    assert reader.gone == [Gone(1001)]
    reader.end(keep_inbox=True)
    assert [await reader.get() for _ in range(3)] == ["a", "b", None]


async def test_an_end_that_keeps_nothing_forgets_the_inbox_and_wakes_who_waits(make: Make) -> None:
    reader = make(Limits(inbox_messages=1))
    waiting = asyncio.create_task(reader.get())
    await asyncio.sleep(0)
    reader.end(keep_inbox=False)
    assert await waiting is None
    reader.transport.client_sends("late", "later")
    await eventually(lambda: reader.transport.unread == 0)
    assert (await reader.get(), len(reader.inbox), reader.received) == (None, 0, 0)


async def test_the_end_of_a_paused_reader_lets_it_read_on(make: Make) -> None:
    reader = make(Limits(inbox_messages=1))
    reader.transport.client_sends("a", "b", "c")
    await eventually(lambda: reader.paused)
    reader.end(keep_inbox=False)
    reader.end(keep_inbox=False)
    await eventually(lambda: reader.transport.unread == 0)
    assert not reader.paused


async def test_a_message_that_is_too_long_is_a_violation(make: Make) -> None:
    reader = make(Limits(message_bytes=4))
    reader.transport.client_sends("üü", "üüx", b"12345")
    await eventually(lambda: len(reader.violations) == 2)
    assert (
        reader.violations
        == [
            (
                DisconnectReason.MESSAGE_TOO_BIG,
                CloseCode.MESSAGE_TOO_BIG,
                "a message of 5 bytes; at most 4 are taken",
            )
        ]
        * 2
    )
    assert await reader.get() == "üü"


async def test_without_a_bound_a_message_may_be_of_any_length(make: Make) -> None:
    reader = make(Limits(message_bytes=None))
    reader.transport.client_sends("x" * 10**6)
    assert await reader.get() == "x" * 10**6


async def test_a_client_that_is_too_fast_is_a_violation(make: Make) -> None:
    reader = make(rate_limit=RateLimit(rate=1, burst=2))
    reader.transport.client_sends("a", "b", "c")
    await eventually(lambda: bool(reader.violations))
    assert reader.violations == [(DisconnectReason.RATE_LIMITED, CloseCode.RATE_LIMITED, "too many messages")]
    assert (reader.received, len(reader.inbox)) == (3, 2)


async def test_lone_surrogates_are_no_trouble_here(make: Make) -> None:
    reader = make()
    reader.transport.client_sends("\ud800")
    assert await reader.get() == "\ud800"


async def test_every_message_is_a_sign_of_life(make: Make) -> None:
    reader = make(watch_life=True)
    reader.transport.client_sends("a", "b")
    assert [await reader.get(), await reader.get()] == ["a", "b"]
    assert len(reader.life) == 2


async def test_a_reader_that_never_started_has_nothing_to_stop(make: Make) -> None:
    reader = Watched(Limits(), None, watch_life=False)
    assert not reader.started
    await reader.stop()
    await reader.linger(None)


async def test_lingering_reads_on_until_the_peer_is_gone(make: Make) -> None:
    reader = make()
    reader.end(keep_inbox=False)
    await reader.transport.reading.wait()
    reader.transport.client_sends("late", Gone(1000))
    async with asyncio.timeout(SOON):
        await reader.stop()
        reader.transport.client_sends("later", Gone(1000))
        await reader.linger(None)
    assert reader.gone == []


async def test_lingering_is_bounded(make: Make) -> None:
    reader = make()
    assert reader.started
    await reader.linger(SHORT)
    assert reader.gone == []


async def test_nobody_lingers_for_a_peer_that_is_gone(make: Make) -> None:
    reader = make()
    reader.transport.client_leaves()
    await eventually(lambda: bool(reader.gone))
    async with asyncio.timeout(SOON):
        await reader.linger(None)


async def test_each_of_several_in_one_message_counts_towards_the_rate(make: Make) -> None:
    reader = make(rate_limit=RateLimit(rate=1, burst=3))
    reader.transport.client_sends("[1,2,3]")
    await reader.get()
    assert reader.charge(2)
    assert not reader.violations
    assert not reader.charge(1)
    assert [one[:2] for one in reader.violations] == [(DisconnectReason.RATE_LIMITED, CloseCode.RATE_LIMITED)]


async def test_without_a_rate_any_number_may_come_at_once(make: Make) -> None:
    reader = make()
    assert reader.charge(1000)
    assert not reader.violations


async def test_what_is_intercepted_never_reaches_the_handler(make: Make) -> None:
    reader = make()
    asked: list[str | bytes] = []

    def intercept(message: str | bytes) -> bool:
        asked.append(message)
        return message == "ping"

    reader.intercept = intercept
    reader.transport.client_sends("ping", "a", "ping", "b")
    assert [await reader.get() for _ in range(2)] == ["a", "b"]
    assert asked == ["ping", "a", "ping", "b"]
    assert reader.received == 4
