import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fastapi_rooms.errors import DisconnectReason
from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import Dropped, Offer
from fastapi_rooms.writer import Writer
from unit.fakes import SHORT, SOON, FakeTransport

Make = Callable[[QueueLimits], "Watched"]


class Watched(Writer):
    """A writer that notes what it reports."""

    __slots__ = ("episodes", "failures", "server", "stuck")

    def __init__(self, limits: QueueLimits) -> None:
        self.server = FakeTransport()
        self.failures: list[BaseException] = []
        self.stuck: list[DisconnectReason] = []
        self.episodes: list[Dropped] = []
        super().__init__(
            self.server,
            limits,
            on_failure=self.failures.append,
            on_stuck=self.stuck.append,
            on_episode=self.episodes.append,
        )

    def give(self, text: str, overflow: Overflow = Overflow.CLOSE, key: str | None = None) -> Offer:
        return self.offer(Payload(text), overflow=overflow, key=key)


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    writers: list[Watched] = []

    def make(limits: QueueLimits) -> Watched:
        writers.append(Watched(limits))
        return writers[-1]

    yield make
    for writer in writers:
        writer.stop()
        await writer.join()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_server_that_takes_everything_needs_no_task(make: Make) -> None:
    writer = make(QueueLimits())
    assert writer.give("a") is Offer.ACCEPTED
    assert writer.offer_control(Payload("b"))
    assert await writer.send(Payload("c"))
    assert (writer.server.taken, writer.idle) == (["a", "b", "c"], True)
    assert (writer.sent, writer.sent_bytes, len(writer.queue)) == (3, 3, 0)
    await writer.join()


async def test_a_write_that_waits_is_in_flight_and_what_comes_meanwhile_waits_in_order(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    for text in "abc":
        assert writer.give(text) is Offer.ACCEPTED
    assert await writer.send(Payload("d"))
    assert (len(writer.queue), writer.queue.size, writer.idle) == (4, 4, False)
    writer.server.resume()
    await writer.join()
    assert (writer.server.taken, writer.idle, writer.sent) == (["a", "b", "c", "d"], True, 4)


async def test_writes_that_wait_one_after_another_keep_their_order(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    for text in "abc":
        writer.give(text)
    for expected in ("a", "b", "c"):
        await turns()
        writer.server.take_one()
        assert writer.server.taken[-1] == expected
    await writer.join()


async def test_after_the_queue_ran_empty_writes_go_straight_through_again(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    writer.give("a")
    writer.server.resume()
    await writer.join()
    writer.give("b")
    assert (writer.server.taken, writer.idle) == (["a", "b"], True)


async def test_a_long_queue_lets_others_run_while_it_is_written(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    for number in range(200):
        writer.give(str(number))
    writer.server.resume()
    taken: list[int] = []
    while not writer.idle:
        taken.append(len(writer.server.taken))
        await asyncio.sleep(0)
    assert len(writer.server.taken) == 200
    assert {65, 129, 193} <= set(taken)


async def test_an_awaited_send_waits_for_space_first_come_first_served(make: Make) -> None:
    writer = make(QueueLimits(messages=2))
    writer.server.stall()
    writer.give("a")
    writer.give("b")
    sends = [asyncio.create_task(writer.send(Payload(text))) for text in "cde"]
    await turns()
    assert [one.done() for one in sends] == [False, False, False]
    for done in (1, 2, 3):
        writer.server.take_one()
        await turns()
        assert [one.done() for one in sends] == [True] * done + [False] * (3 - done)
    writer.server.resume()
    await writer.join()
    assert writer.server.taken == ["a", "b", "c", "d", "e"]
    assert [one.result() for one in sends] == [True, True, True]


async def test_a_small_message_does_not_overtake_one_that_waits_for_more_space(make: Make) -> None:
    writer = make(QueueLimits(bytes=4))
    writer.server.stall()
    writer.give("aaa")
    large, small = (asyncio.create_task(writer.send(Payload(text))) for text in ("bbb", "c"))
    await turns()
    assert not large.done()
    assert not small.done()
    writer.server.resume()
    await asyncio.gather(large, small)
    await writer.join()
    assert writer.server.taken == ["aaa", "bbb", "c"]


@pytest.mark.usefixtures("time_by_turns")
async def test_an_awaited_send_that_finds_no_space_in_time_is_reported(make: Make) -> None:
    writer = make(QueueLimits(messages=1, send_timeout=SHORT))
    writer.server.stall()
    writer.give("a")
    send = asyncio.create_task(writer.send(Payload("b")))
    await asyncio.sleep(SHORT * 2)
    assert set(writer.stuck) == {DisconnectReason.SLOW_CONSUMER, DisconnectReason.SEND_TIMEOUT}
    assert len(writer.stuck) == 2
    writer.stop()
    assert await send is False


@pytest.mark.usefixtures("time_by_turns")
async def test_a_write_that_takes_too_long_is_reported(make: Make) -> None:
    writer = make(QueueLimits(send_timeout=SHORT))
    writer.server.stall()
    writer.give("a")
    await asyncio.sleep(SHORT * 2)
    assert writer.stuck == [DisconnectReason.SEND_TIMEOUT]


@pytest.mark.usefixtures("time_by_turns")
async def test_the_deadline_is_each_writes_own(make: Make) -> None:
    writer = make(QueueLimits(send_timeout=SHORT * 2))
    writer.server.stall()
    for text in "abc":
        writer.give(text)
    for _ in "abc":
        await asyncio.sleep(SHORT)
        writer.server.take_one()
    await writer.join()
    assert writer.stuck == []


async def test_without_a_deadline_nothing_is_reported(make: Make) -> None:
    writer = make(QueueLimits(messages=1, send_timeout=None))
    writer.server.stall()
    writer.give("a")
    send = asyncio.create_task(writer.send(Payload("b")))
    await turns()
    writer.server.resume()
    assert await send
    assert writer.stuck == []


async def test_a_cancelled_send_gives_up_its_place(make: Make) -> None:
    writer = make(QueueLimits(messages=1))
    writer.server.stall()
    writer.give("a")
    first, second = (asyncio.create_task(writer.send(Payload(text))) for text in "bc")
    await turns()
    first.cancel()
    await asyncio.wait((first,))
    writer.server.resume()
    assert await second
    await writer.join()
    assert writer.server.taken == ["a", "c"]


async def test_space_goes_to_the_next_if_the_first_was_cancelled_in_that_very_turn(make: Make) -> None:
    writer = make(QueueLimits(messages=1))
    writer.server.stall()
    writer.give("a")
    first, second = (asyncio.create_task(writer.send(Payload(text))) for text in "bc")
    await turns()
    writer.server.resume()
    first.cancel()
    assert await second
    await writer.join()
    assert (first.cancelled(), writer.server.taken) == (True, ["a", "c"])


async def test_stopping_sends_waiting_callers_away_and_discards_what_waits(make: Make) -> None:
    writer = make(QueueLimits(messages=2))
    writer.server.stall()
    writer.give("a")
    writer.give("b")
    waiting, cancelled = (asyncio.create_task(writer.send(Payload(text))) for text in "cd")
    await turns()
    cancelled.cancel()
    writer.stop()
    writer.stop()
    assert await waiting is False
    await writer.join()
    await asyncio.wait((cancelled,))
    assert cancelled.cancelled()
    assert (writer.queue.discarded, len(writer.queue), writer.server.taken) == (2, 0, [])


async def test_a_writer_that_is_stopped_before_its_task_ran_leaves_nothing(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    writer.give("a")
    writer.stop()
    await writer.join()
    assert writer.queue.discarded == 1


async def test_a_write_that_raises_is_a_failure_and_nothing_is_kept(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.write_error = OSError("reset")
    assert writer.give("a") is Offer.DROPPED
    assert [str(one) for one in writer.failures] == ["reset"]
    assert writer.queue.discarded == 1


@pytest.mark.parametrize("control", [True, False])
async def test_every_way_of_sending_says_that_it_failed(make: Make, control: bool) -> None:
    writer = make(QueueLimits())
    writer.server.write_error = OSError("reset")
    assert not (writer.offer_control(Payload("a")) if control else await writer.send(Payload("a")))
    assert len(writer.failures) == 1


async def test_a_write_that_fails_while_it_waits_is_a_failure_reported_once(make: Make) -> None:
    writer = make(QueueLimits(messages=2))
    writer.server.stall()
    writer.give("a")
    writer.give("b")
    waiting = asyncio.create_task(writer.send(Payload("c")))
    await turns()
    writer.server.fail_pending(OSError("reset"))
    assert await waiting is False
    await writer.join()
    assert ([str(one) for one in writer.failures], writer.queue.discarded) == (["reset"], 2)


async def test_a_queued_write_that_raises_is_a_failure_too(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    writer.give("a")
    writer.give("b")
    writer.server.write_error = RuntimeError("closed")
    writer.server.resume()
    await writer.join()
    assert [str(one) for one in writer.failures] == ["closed"]
    assert writer.queue.discarded == 1


async def test_a_failure_after_the_stop_is_no_news(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    writer.give("a")
    await turns()
    writer.server.fail_pending(OSError("reset"))
    writer.stop()
    await writer.join()
    assert writer.failures == []


async def test_a_write_that_fails_as_it_is_cancelled_is_no_news_either(make: Make) -> None:
    writer = make(QueueLimits())
    transport = writer.server

    async def fails_late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("reset") from None

    transport.write = lambda payload: fails_late()  # type: ignore[method-assign]  # a server of its own kind
    writer.give("a")
    await turns()
    writer.stop()
    await writer.join()
    assert (writer.failures, writer.queue.discarded) == ([], 1)


async def test_a_write_that_the_server_cancels_is_a_failure(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    writer.give("a")
    writer.give("b")
    await turns()
    assert writer.server.pending is not None
    writer.server.pending.cancel()
    await writer.join()
    assert [type(one) for one in writer.failures] == [asyncio.CancelledError]
    assert (writer.queue.discarded, writer.idle) == (2, True)


async def test_a_full_queue_does_what_the_policy_says(make: Make) -> None:
    writer = make(QueueLimits(messages=2))
    writer.server.stall()
    writer.give("a")
    assert writer.give("b 1", Overflow.CONFLATE, "b") is Offer.ACCEPTED
    assert writer.give("b 2", Overflow.CONFLATE, "b") is Offer.ACCEPTED
    assert writer.give("c", Overflow.CLOSE) is Offer.OVERFLOWED
    assert writer.give("c", Overflow.DROP_NEWEST) is Offer.DROPPED
    writer.server.resume()
    await writer.join()
    assert writer.server.taken == ["a", "b 2"]


async def test_an_overflow_episode_is_reported_once_at_half_full(make: Make) -> None:
    writer = make(QueueLimits(messages=4))
    writer.server.stall()
    for text in "abcdefg":
        writer.give(text, Overflow.DROP_OLDEST)
    await turns()
    for seen in ([], [Dropped(oldest=3, bytes=3)], [Dropped(oldest=3, bytes=3)]):
        writer.server.take_one()
        await turns()
        assert writer.episodes == seen
    writer.server.resume()
    await writer.join()
    assert writer.server.taken == ["a", "e", "f", "g"]


async def test_control_has_space_of_its_own_until_that_is_full_too(make: Make) -> None:
    writer = make(QueueLimits(messages=1))
    writer.server.stall()
    writer.give("a")
    accepted = [writer.offer_control(Payload(str(number))) for number in range(20)]
    assert accepted == [True] * 16 + [False] * 4
    writer.server.resume()
    await writer.join()
    assert writer.server.taken == ["a", *map(str, range(16))]


async def test_five_thousand_awaited_sends_in_a_row_all_arrive(make: Make) -> None:
    writer = make(QueueLimits(messages=10))
    writer.server.stall()

    async def server() -> None:
        while len(writer.server.taken) < 5000:
            writer.server.take_one()
            await asyncio.sleep(0)

    serving = asyncio.create_task(server())
    async with asyncio.timeout(SOON * 5):
        for number in range(5000):
            assert await writer.send(Payload(str(number)))
        await serving
    assert writer.server.taken == [str(number) for number in range(5000)]
    assert writer.queue.high_water <= 10


async def test_waiting_for_the_writer_can_be_cancelled_and_stops_nothing(make: Make) -> None:
    writer = make(QueueLimits())
    writer.server.stall()
    writer.give("a")
    joining = asyncio.create_task(writer.join())
    await turns()
    joining.cancel()
    await asyncio.wait((joining,))
    writer.server.resume()
    await writer.join()
    assert writer.server.taken == ["a"]


async def test_who_waits_for_a_half_empty_queue_waits_for_the_end_of_the_episode(make: Make) -> None:
    writer = make(QueueLimits(messages=4))
    await writer.until_half_empty()  # there is no episode
    writer.server.stall()
    for text in "abcde":
        writer.give(text, Overflow.DROP_NEWEST)
    waiting = [asyncio.create_task(writer.until_half_empty()) for _ in range(2)]
    await turns()
    for done in (False, True):
        assert [one.done() for one in waiting] == [False, False]
        writer.server.take_one()
        await turns()
        assert [one.done() for one in waiting] == [done, done]
    await writer.until_half_empty()


@pytest.mark.parametrize("late", [False, True])
async def test_nobody_waits_for_the_queue_of_a_writer_that_was_stopped(make: Make, late: bool) -> None:
    writer = make(QueueLimits(messages=1))
    writer.server.stall()
    for text in "ab":
        writer.give(text, Overflow.DROP_NEWEST)
    waiting = None if late else asyncio.create_task(writer.until_half_empty())
    await turns()
    writer.stop()
    async with asyncio.timeout(SOON):
        await (writer.until_half_empty() if waiting is None else waiting)
