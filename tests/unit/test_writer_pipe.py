"""The writer of a client whose server takes frames: when it gathers, when it queues, and what counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import Dropped, Offer
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.writer import Writer
from unit.fakes import SOON, FakeOwner, FakeTransport, finished, make_link
from unit.frame_fakes import FakeServer, piped_link, turns

SMALL = QueueLimits(messages=None, bytes=1000)  # of which the server's buffer may hold 250

Make = Callable[..., Awaitable["Piped"]]


class Piped:
    """A writer, and what is around it.

    Attributes:
        server: The server that takes frames.
        owner: Who is told of dropped messages.
    """

    server: FakeServer
    owner: FakeOwner
    writer: Writer
    transport: GatheredTransport

    async def open(self, queue: QueueLimits | None = None) -> "Piped":
        self.server, self.owner = FakeServer(), FakeOwner()
        self.link = await piped_link(self.server, self.owner, queue=queue)
        self.writer = self.link.writer
        assert isinstance(self.link.transport, GatheredTransport)
        self.transport = self.link.transport
        return self

    def give(self, size: int, overflow: Overflow = Overflow.CLOSE, key: str | None = None) -> Offer:
        return self.writer.offer(Payload("x" * size), overflow=overflow, key=key)

    @property
    def held(self) -> int:
        return self.transport.unsent()

    @property
    def received(self) -> list[int]:
        """The size of each message that the peer got."""
        return [len(frame.data) for frame in self.server.frames]


@pytest.fixture
async def piped() -> AsyncIterator[Make]:
    made: list[Piped] = []

    async def piped(queue: QueueLimits | None = None) -> Piped:
        made.append(await Piped().open(queue))
        return made[-1]

    yield piped
    for one in made:
        await finished(one.link)


async def test_broadcasts_may_gather_while_messages_are_taken_and_nothing_is_in_flight(piped: Make) -> None:
    one = await piped()
    writer = one.writer
    assert (writer.recipient.pipe, writer.recipient.direct) == (one.transport, None)
    one.server.wire.fill()
    assert writer.recipient.pipe is None
    one.server.wire.resume()
    assert writer.recipient.pipe is one.transport
    writer.refuse()
    assert writer.recipient.pipe is None
    writer.admit()
    assert writer.recipient.pipe is one.transport
    writer.stop()
    assert writer.recipient.pipe is None


async def test_before_messages_are_taken_nobody_gathers() -> None:
    server = FakeServer()
    link = await piped_link(server)
    link.writer.refuse()
    server.wire.fill()
    server.wire.resume()
    assert link.writer.recipient.pipe is None
    await finished(link)


async def test_a_transport_without_a_pipe_has_none() -> None:
    link = make_link(FakeTransport())
    assert link.writer.recipient.pipe is None
    await finished(link)


async def test_what_waits_in_the_queue_keeps_later_messages_from_being_gathered(piped: Make) -> None:
    one = await piped()
    one.server.wire.fill()
    for size in (1, 2):
        assert one.give(size) is Offer.ACCEPTED
    await turns()
    one.server.wire.resume()
    assert one.writer.recipient.pipe is None  # there is space, but the queue goes first
    assert one.give(3) is Offer.ACCEPTED
    await one.writer.join()
    assert one.writer.recipient.pipe is one.transport
    one.give(4)
    await turns(1)
    assert one.server.wire.received.endswith(b"".join(Payload("x" * size).frame(0) for size in (1, 2, 3, 4)))


@pytest.mark.parametrize("size", [0, 200])
async def test_a_ready_pipe_takes_everything_without_a_task(piped: Make, size: int) -> None:
    one = await piped()
    assert one.give(size) is Offer.ACCEPTED
    assert one.writer.offer_control(Payload("c"))
    assert await one.writer.send(Payload("s"))
    assert (one.writer.idle, one.writer.sent, one.writer.sent_bytes) == (True, 3, size + 2)
    await turns(1)
    assert (one.received, one.writer.sent, len(one.server.wire.writes)) == ([size, 1, 1], 3, 1)


async def test_messages_are_counted_once_however_they_went(piped: Make) -> None:
    one = await piped()
    one.give(1)
    await turns(1)
    one.server.wire.fill()
    one.give(2)
    one.give(3)
    await turns()
    assert (one.writer.sent, one.writer.sent_bytes) == (1, 1)
    one.server.wire.resume()
    await one.writer.join()
    one.give(4)
    assert (one.writer.sent, one.writer.sent_bytes, one.writer.queue.discarded) == (4, 10, 0)


@pytest.mark.parametrize(
    ("overflow", "outcome", "waits"),
    [
        (Overflow.CLOSE, Offer.OVERFLOWED, [100, 500]),
        (Overflow.DROP_NEWEST, Offer.DROPPED, [100, 500]),
        (Overflow.DROP_OLDEST, Offer.ACCEPTED, [100, 101]),
        (Overflow.CONFLATE, Offer.OVERFLOWED, [100, 500]),
    ],
)
async def test_what_the_server_holds_counts_for_each_policy(
    piped: Make, overflow: Overflow, outcome: Offer, waits: list[int]
) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    one.give(300)
    await turns(1)
    assert (one.held, one.transport.ready) == (304, False)
    assert [one.give(100, overflow, "a"), one.give(500, overflow, "b")] == [Offer.ACCEPTED, Offer.ACCEPTED]
    assert one.writer.queue.size == 904
    assert one.give(101, overflow, "c") is outcome
    one.server.wire.resume()
    await one.writer.join()
    await turns(1)
    assert one.received == [300, *waits]


async def test_a_newer_message_replaces_the_queued_one_beside_what_the_server_holds(piped: Make) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    one.give(300)
    await turns(1)
    assert one.give(100, Overflow.CONFLATE, "in flight") is Offer.ACCEPTED
    assert one.give(500, Overflow.CONFLATE, "k") is Offer.ACCEPTED
    assert one.give(597, Overflow.CONFLATE, "k") is Offer.OVERFLOWED
    assert one.give(596, Overflow.CONFLATE, "k") is Offer.ACCEPTED
    one.server.wire.resume()
    await one.writer.join()
    await turns(1)
    assert one.received == [300, 100, 596]


async def test_an_awaited_send_does_not_wait_for_what_only_the_server_holds(piped: Make) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    one.give(1000)
    await turns(1)
    sends = [asyncio.create_task(one.writer.send(Payload("x" * size))) for size in (900, 901, 902, 1000)]
    await turns()
    assert [send.done() for send in sends] == [True, False, False, False]  # the first is in flight
    one.server.wire.resume()
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*sends) == [True] * 4
        await one.writer.join()
    await turns(1)
    assert one.received == [1000, 900, 901, 902, 1000]


@pytest.mark.parametrize("bound", [1, 3, 4, 100, 1000])
async def test_awaited_sends_all_arrive_with_the_smallest_queue_and_a_peer_that_reads_now_and_then(
    piped: Make, bound: int
) -> None:
    one = await piped(QueueLimits(bytes=bound))
    messages = [min(bound, size) for size in (1, 1000, 2, 500, 0, 999)] * 5

    async def peer() -> None:
        for number in range(10**6):
            await asyncio.sleep(0)
            (one.server.wire.stall if number % 7 < 5 else one.server.wire.resume)()

    reading = asyncio.create_task(peer())
    async with asyncio.timeout(SOON * 5):
        for size in messages:
            assert await one.writer.send(Payload("x" * size))
        await one.writer.join()
    reading.cancel()
    await asyncio.wait((reading,))
    one.server.wire.resume()
    await turns()
    assert one.received == messages


async def test_a_message_that_waits_when_the_connection_ends_is_a_failure_and_is_discarded(piped: Make) -> None:
    one = await piped()
    one.server.wire.fill()
    one.give(1)
    one.give(2)
    await turns()
    one.server.wire.reset()
    await one.writer.join()
    assert (one.writer.queue.discarded, one.writer.sent) == (2, 0)


async def test_stopping_while_the_buffer_is_full_leaves_nothing(piped: Make) -> None:
    one = await piped()
    one.server.wire.fill()
    one.give(1)
    waiting = asyncio.create_task(one.writer.send(Payload("x" * 1024 * 1024)))
    await turns()
    one.writer.stop()
    assert await waiting is False
    await one.writer.join()
    before = one.server.wire.buffered
    one.server.wire.resume()
    await turns()
    assert (one.server.wire.received, one.writer.queue.discarded) == (before, 1)


async def test_a_full_queue_still_has_space_for_control_beside_what_the_server_holds(piped: Make) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    one.give(300)
    await turns(1)
    one.give(100)
    assert one.give(597) is Offer.OVERFLOWED
    assert one.writer.offer_control(Payload("x" * 597))
    one.server.wire.resume()
    await one.writer.join()
    await turns(1)
    assert one.received == [300, 100, 597]


@pytest.mark.parametrize("stalls_again", [False, True])
async def test_an_episode_that_ends_while_the_server_holds_much_is_reported_once_it_is_gone(
    piped: Make, stalls_again: bool
) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    one.give(300)
    await turns(1)
    assert one.give(600) is Offer.ACCEPTED
    assert one.give(500, Overflow.DROP_NEWEST) is Offer.DROPPED
    one.server.wire.resume()
    if stalls_again:
        one.server.wire.stall()
    await one.writer.join()
    await turns()
    one.server.wire.resume()
    await turns()
    assert (one.received, one.writer.queue.size) == ([300, 600], 0)
    assert one.owner.dropped == [Dropped(newest=1, bytes=500)]


async def test_an_episode_is_reported_when_the_server_holds_little(piped: Make) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    one.give(300)
    await turns(1)
    assert one.give(200) is Offer.ACCEPTED
    assert one.give(900, Overflow.DROP_NEWEST) is Offer.DROPPED
    one.server.wire.resume()
    await one.writer.join()
    assert one.owner.dropped == [Dropped(newest=1, bytes=900)]


async def test_what_one_turn_gathers_for_a_stalled_client_stays_within_its_bound(piped: Make) -> None:
    one = await piped(SMALL)
    one.server.wire.stall()
    for _ in range(100):
        one.give(100, Overflow.DROP_NEWEST)
    assert one.writer.queue.size <= 1000 + 100
    one.server.wire.resume()
    await one.writer.join()


async def test_messages_that_could_not_be_written_are_counted_once(piped: Make) -> None:
    one = await piped()
    for size in (1, 2, 3):
        one.give(size)
    one.server.wire.error = OSError("reset")
    await turns(1)
    assert not one.writer.accepting
    assert one.writer.sent + one.writer.queue.discarded == 3


async def test_a_batch_that_could_not_be_written_stops_the_message_that_waits_behind_it(piped: Make) -> None:
    one = await piped()
    one.give(1)
    one.server.wire.fill()
    one.give(2)
    one.server.wire.error = OSError("reset")
    await turns()
    assert not one.writer.accepting
    await one.writer.join()
    writers = [task for task in asyncio.all_tasks() if task.get_name() == "fastapi_rooms writer"]
    one.server.wire.error = None
    before = len(one.server.wire.buffered)
    one.server.wire.resume()
    await turns()
    assert (writers, len(one.server.wire.received)) == ([], before)


async def test_a_batch_that_could_not_be_written_after_the_stop_is_no_news(piped: Make) -> None:
    one = await piped()
    one.give(1)
    one.writer.stop()
    one.server.wire.error = OSError("reset")
    await turns()
    assert one.link.disconnect is None
    one.server.wire.error = None


async def test_a_message_that_waited_and_could_not_be_written_ends_its_writer(piped: Make) -> None:
    one = await piped()
    one.server.wire.fill()
    one.give(100_000)  # too much to be gathered
    one.give(1)
    await turns()
    one.server.wire.error = OSError("reset")
    one.server.wire.resume()
    async with asyncio.timeout(SOON):
        await one.writer.join()
    await turns()
    assert (one.writer.idle, one.writer.accepting, one.writer.recipient.pipe, one.transport.batch) == (
        True,
        False,
        None,
        None,
    )
    assert one.server.wire.writes == []
