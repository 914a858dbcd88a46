"""A link whose messages are joined in the standard way: its bounds, deadlines and ends are those of any other."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_rooms.errors import CloseCode, DisconnectReason
from fastapi_rooms.fanout import Delivery, fan_out
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.link import Link
from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import Dropped, Offer
from fastapi_rooms.testing import eventually
from unit.fakes import SHORT, SOON, FakeOwner, ending, finished, make_connection
from unit.frame_fakes import turns
from unit.joined_fakes import StandardServer, joined_link

SMALL = QueueLimits(messages=None, bytes=1000)  # of which 250 are gathered at most


def give(link: Link, size: int, overflow: Overflow = Overflow.CLOSE, key: str | None = None) -> Offer | None:
    return link.deliver(Payload("1" * size), overflow, None, key)


def sizes(server: StandardServer) -> list[int]:
    """The size of each message that the peer got, however they were joined."""
    return [len(one) for text in server.texts for one in str(text).strip("[]").split(",")]


async def stalled(server: StandardServer, link: Link, size: int) -> None:
    """The peer reads no more, and a batch of `size` bytes is on its way."""
    server.stall()
    give(link, size)
    await turns(1)
    assert (link.writer.queue.size, server.waiting) == (size, 1)


async def test_a_thousand_messages_that_wait_are_few_sends() -> None:
    server = StandardServer()
    link = await joined_link(server, queue=QueueLimits(messages=2000))
    server.stall()
    give(link, 1)
    await turns(1)
    for number in range(1000):
        assert link.deliver(Payload(str(number)), Overflow.CLOSE) is Offer.ACCEPTED
    assert link.writer.queue.size == 1 + sum(len(str(number)) for number in range(1000))
    server.resume()
    await link.writer.join()
    await turns()
    first, *rest = server.texts
    assert first == "1"
    assert len(rest) <= 20
    assert [number for text in rest for number in json.loads(str(text))] == list(range(1000))
    assert link.writer.sent == 1001
    await finished(link)


async def test_a_client_that_stalls_is_closed_in_time_though_nothing_else_is_sent() -> None:
    server = StandardServer()
    link = await joined_link(server, queue=QueueLimits(send_timeout=SHORT, close_timeout=SHORT))
    server.stall()
    give(link, 1)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.SEND_TIMEOUT, CloseCode.SLOW_CONSUMER)
    await link.finish()
    assert (server.aborts, server.waiting, server.texts) == (1, 0, [])


@pytest.mark.usefixtures("time_by_turns")
async def test_messages_that_come_meanwhile_do_not_give_a_stalled_client_more_time() -> None:
    server = StandardServer()
    link = await joined_link(server, queue=QueueLimits(send_timeout=SHORT * 5, close_timeout=SHORT))
    server.stall()
    began = asyncio.get_running_loop().time()
    give(link, 1)
    while link.disconnect is None:
        await asyncio.sleep(SHORT)
        give(link, 1)
    assert asyncio.get_running_loop().time() - began < SHORT * 9
    assert ending(link) == (DisconnectReason.SEND_TIMEOUT, CloseCode.SLOW_CONSUMER)
    await link.finish()


@pytest.mark.parametrize(
    ("overflow", "outcome", "waits"),
    [
        (Overflow.CLOSE, Offer.OVERFLOWED, [100, 500]),
        (Overflow.DROP_NEWEST, Offer.DROPPED, [100, 500]),
        (Overflow.DROP_OLDEST, Offer.ACCEPTED, [100, 101]),
        (Overflow.CONFLATE, Offer.OVERFLOWED, [100, 500]),
    ],
)
async def test_what_is_on_its_way_counts_for_each_policy(
    overflow: Overflow, outcome: Offer, waits: list[int]
) -> None:
    server, owner = StandardServer(), FakeOwner()
    link = await joined_link(server, owner, queue=SMALL)
    await stalled(server, link, 300)
    assert [give(link, 100, overflow, "a"), give(link, 500, overflow, "b")] == [Offer.ACCEPTED, Offer.ACCEPTED]
    assert link.writer.queue.size == 900
    queue = link.writer.queue
    assert queue.offer(Payload("1" * 101), overflow=overflow, now=0, key="c") is outcome
    server.resume()
    await link.writer.join()
    await turns()
    assert sizes(server) == [300, *waits]
    assert owner.dropped == (
        [Dropped(oldest=1, bytes=500)]
        if overflow is Overflow.DROP_OLDEST
        else [Dropped(newest=1, bytes=101)]
        if overflow is Overflow.DROP_NEWEST
        else []
    )
    await finished(link)


async def test_what_was_gathered_counts_until_the_server_has_it() -> None:
    server = StandardServer()
    link = await joined_link(server, queue=SMALL)
    for size in (10, 20):
        give(link, size)
    assert link.writer.queue.size == 30
    await turns(1)
    assert (link.writer.queue.size, link.writer.sent, link.writer.sent_bytes) == (0, 2, 30)
    await finished(link)


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.integers(0, 3)), max_size=40))
@settings(deadline=None)
def test_whatever_the_peer_does_what_it_has_not_got_counts_exactly_and_is_bounded(
    story: list[tuple[int, bool, int]],
) -> None:
    async def tell() -> None:
        server = StandardServer()
        link = await joined_link(server, queue=SMALL)
        taken: list[int] = []
        for size, reads, turned in story:
            if give(link, size, Overflow.DROP_NEWEST) is Offer.ACCEPTED:
                taken.append(size)
            (server.resume if reads else server.stall)()
            await turns(turned)
            assert link.writer.queue.size == sum(taken) - sum(sizes(server)) <= 1050
        server.resume()
        await link.writer.join()
        await turns()
        assert sizes(server) == taken
        await finished(link)

    asyncio.run(tell())


async def test_broadcasts_gather_and_share_one_event() -> None:
    servers = [StandardServer() for _ in range(4)]
    gatherer = Gatherer(asyncio.get_running_loop())
    connections = [make_connection(await joined_link(server, gatherer=gatherer)) for server in servers]
    for connection in connections:
        connection.link.writer.refresh()
    servers[1].stall()
    for text in "12":
        delivery, pause = fan_out(connections, Payload(text), overflow=Overflow.CLOSE, gathering=True)
        assert (delivery, pause) == (Delivery(queued=4), None)
    await turns(1)
    assert [connection.pipe is None for connection in connections] == [False, True, False, False]
    fan_out(connections, Payload("3"), overflow=Overflow.CLOSE, gathering=True)
    await turns(1)
    servers[1].resume()
    await turns()
    assert [server.texts for server in servers] == [["[1,2]", "3"]] * 4
    assert len({id(server.taken[1]) for server in servers}) == 1
    for connection in connections:
        await finished(connection.link)


async def test_a_goodbye_comes_after_all_that_was_said() -> None:
    server = StandardServer()
    link = await joined_link(server)
    server.stall()
    give(link, 1)
    await turns(1)
    for size in (2, 3):
        give(link, size)
    link.shut(DisconnectReason.CLOSED, 1000, flush=True)
    await turns()
    server.resume()
    await link.finish()
    assert (sizes(server), server.taken[-1]["type"]) == ([1, 2, 3], "websocket.close")


async def test_a_peer_that_vanishes_leaves_nothing_on_its_way() -> None:
    server = StandardServer()
    link = await joined_link(server)
    await stalled(server, link, 1)
    give(link, 2)
    server.messages.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await eventually(lambda: link.disconnect is not None)
    await link.finish()
    await turns()
    assert (ending(link), server.waiting, server.texts) == ((DisconnectReason.CLIENT, 1006), 0, [])


async def test_a_send_that_fails_ends_the_link() -> None:
    server = StandardServer()
    link = await joined_link(server)
    server.error = OSError("reset")
    give(link, 1)
    await turns(1)
    assert (link.writer.accepting, link.deliver(Payload("2"), Overflow.CLOSE)) == (False, None)
    await finished(link)


async def test_awaited_sends_wait_for_space_and_all_arrive() -> None:
    server = StandardServer()
    link = await joined_link(server, queue=SMALL)
    await stalled(server, link, 900)
    sends = [asyncio.create_task(link.send(Payload("1" * size))) for size in (600, 700, 800)]
    await turns()
    assert [send.done() for send in sends] == [True, False, False]  # the first is next
    server.resume()
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*sends) == [True] * 3
        await link.writer.join()
    await turns()
    assert sizes(server) == [900, 600, 700, 800]
    await finished(link)
