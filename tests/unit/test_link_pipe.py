"""A link whose server takes frames: pings, pongs, failures, and how it ends."""

import asyncio
import logging
import random

import pytest

from fastapi_rooms import link as link_module
from fastapi_rooms.errors import CloseCode, DisconnectReason
from fastapi_rooms.link import Link
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import FrameClient
from fastapi_rooms.testing import eventually
from unit.fakes import SHORT, SOON, FakeOwner, FakeTransport, ending, finished
from unit.frame_fakes import FakeServer, piped_link, turns

HELLO = Payload("hello")
PINGS = Heartbeat(interval=SHORT, timeout=SOON, message=None)
HASTY_PINGS = Heartbeat(interval=SHORT, timeout=SHORT, message=None)


def client_of(server: FakeServer) -> FrameClient:
    assert server.client is not None
    return server.client


async def test_broadcasts_gather_while_the_server_has_space() -> None:
    server = FakeServer()
    link = await piped_link(server)
    assert link.writer.recipient.pipe is link.transport.pipe is not None
    server.wire.fill()
    assert link.writer.recipient.pipe is None
    server.wire.resume()
    assert link.writer.recipient.pipe is not None
    await finished(link)
    assert link.writer.recipient.pipe is None


async def test_before_it_is_open_nobody_gathers() -> None:
    server = FakeServer()
    link = await piped_link(server)
    link.writer.refuse()
    client_of(server).resumed()
    assert (link.writer.recipient.pipe, link.deliver(HELLO, Overflow.CLOSE)) == (None, None)
    await finished(link)


async def test_a_quiet_client_gets_a_ping_and_lives_if_it_answers() -> None:
    server = FakeServer()
    link = await piped_link(server, heartbeat=PINGS)
    assert server.stopped_keepalive == 1
    for pings in range(1, 4):
        await eventually(lambda pings=pings: server.pings == pings)  # type: ignore[misc]  # bound at once
        client_of(server).pong()
    assert (link.disconnect, server.wire.writes) == (None, [])
    await finished(link)


async def test_a_client_that_answers_no_ping_is_dead() -> None:
    server = FakeServer()
    link = await piped_link(server, heartbeat=HASTY_PINGS)
    await eventually(lambda: link.disconnect is not None)
    assert (ending(link), server.pings) == ((DisconnectReason.HEARTBEAT_TIMEOUT, 4012), 1)
    await link.finish()
    assert server.taken[-1]["code"] == 4012


async def test_a_client_that_vanished_with_a_full_buffer_is_noticed() -> None:
    server = FakeServer()
    queue = QueueLimits(send_timeout=None, close_timeout=SHORT)
    link = await piped_link(server, queue=queue, heartbeat=HASTY_PINGS)
    server.wire.fill()
    link.deliver(HELLO, Overflow.CLOSE)
    await eventually(lambda: link.disconnect is not None)
    assert (ending(link), server.pings) == ((DisconnectReason.HEARTBEAT_TIMEOUT, 4012), 1)
    await finished(link)


async def test_a_message_is_life_as_well_as_a_pong() -> None:
    server = FakeServer()
    link = await piped_link(server, heartbeat=PINGS)
    await eventually(lambda: server.pings == 1)
    server.messages.put_nowait({"type": "websocket.receive", "text": "alive"})
    await eventually(lambda: server.pings == 2)
    assert link.disconnect is None
    await finished(link)


@pytest.mark.usefixtures("time_by_turns")
async def test_before_it_takes_messages_no_client_is_asked_for_life() -> None:
    server = FakeServer()
    link = await piped_link(server, heartbeat=HASTY_PINGS)
    link.writer.refuse()
    await asyncio.sleep(SHORT * 6)
    assert (server.pings, link.disconnect) == (0, None)
    await finished(link)


async def test_without_a_heartbeat_the_server_goes_on_with_its_pings() -> None:
    server = FakeServer()
    link = await piped_link(server)
    client_of(server).pong()
    assert (server.stopped_keepalive, server.pings) == (0, 0)
    await finished(link)


async def test_a_heartbeat_that_is_a_message_leaves_the_servers_pings_alone() -> None:
    server = FakeServer()
    link = await piped_link(server, heartbeat=Heartbeat(interval=SHORT, timeout=SOON), beat=Payload("beat"))
    await eventually(lambda: len(server.frames) == 1)
    assert (server.frames[0].data, server.pings, server.stopped_keepalive) == (b"beat", 0, 0)
    await finished(link)


async def test_a_server_that_stops_twice_sends_each_client_away_once() -> None:
    server = FakeServer()
    link = await piped_link(server, limits=Limits(shutdown_spread=SHORT))
    assert client_of(server).stopping()
    assert client_of(server).stopping()
    await eventually(lambda: link.disconnect is not None)
    await finished(link)
    assert [event["code"] for event in server.taken if event["type"] == "websocket.close"] == [1012]


async def test_pongs_do_not_answer_a_heartbeat_that_is_a_message() -> None:
    server = FakeServer()
    link = await piped_link(server, heartbeat=Heartbeat(interval=SHORT, timeout=SHORT), beat=Payload("beat"))
    for _ in range(40):  # the browser answers the server's own pings, the page says nothing
        if link.disconnect is None:
            client_of(server).pong()
            await asyncio.sleep(SHORT / 4)
    end = ending(link)
    await finished(link)
    assert end == (DisconnectReason.HEARTBEAT_TIMEOUT, 4012)


async def test_a_client_that_only_answers_pings_is_idle() -> None:
    server = FakeServer()
    link = await piped_link(server, limits=Limits(idle_timeout=SHORT * 2))
    for _ in range(40):  # the server's own pings, or ours
        if link.disconnect is None:
            client_of(server).pong()
            await asyncio.sleep(SHORT / 4)
    end = ending(link)
    await finished(link)
    assert end == (DisconnectReason.IDLE_TIMEOUT, 4012)


async def test_a_ping_needs_a_server_that_sends_them() -> None:
    transport = FakeTransport()
    link = Link(
        transport,
        FakeOwner(),
        queue=QueueLimits(),
        overflow=Overflow.CLOSE,
        limits=Limits(),
        rate_limit=None,
        heartbeat=HASTY_PINGS,
        beat=None,
    )
    link.start()
    link.open()
    await eventually(lambda: link.disconnect is not None)
    assert transport.taken == []
    await link.finish()


async def test_what_could_not_be_written_leaves_the_reader_time_to_say_why() -> None:
    server = FakeServer()
    link = await piped_link(server)
    assert link.deliver(HELLO, Overflow.CLOSE) is not None
    server.wire.error = OSError("reset")
    await turns(2)
    assert (link.disconnect, link.writer.recipient.pipe, link.deliver(HELLO, Overflow.CLOSE)) == (None, None, None)
    server.wire.reset()
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.CLIENT, 1006)
    await link.finish()


async def test_what_could_not_be_written_ends_the_link_if_the_reader_stays_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="fastapi_rooms")
    monkeypatch.setattr(link_module, "BROKEN_GRACE", SHORT)
    server = FakeServer()
    link = await piped_link(server)
    link.deliver(HELLO, Overflow.CLOSE)
    server.wire.error = OSError("reset")
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.CLIENT, 1011)
    assert [record.levelname for record in caplog.records if "a write failed" in record.message] == ["DEBUG"]
    await finished(link)


async def test_what_was_gathered_goes_before_the_close_frame() -> None:
    server = FakeServer()
    link = await piped_link(server)
    link.deliver(HELLO, Overflow.CLOSE)
    link.shut(DisconnectReason.CLOSED, 4000, "why")
    await link.finish()
    assert [frame.data for frame in server.frames] == [b"hello"]
    assert server.taken[-1] == {"type": "websocket.close", "code": 4000, "reason": "why"}


async def test_what_is_queued_goes_before_the_close_frame_where_it_is_flushed() -> None:
    server = FakeServer()
    link = await piped_link(server, queue=QueueLimits(bytes=400))
    server.wire.stall()
    for size in (200, 1, 2):
        link.deliver(Payload("x" * size), Overflow.CLOSE)
        await turns(1)
    link.shut(DisconnectReason.CLOSED, 1000, flush=True)
    await turns()
    assert server.taken[-1]["type"] == "websocket.accept"
    server.wire.resume()
    await link.finish()
    assert [len(frame.data) for frame in server.frames] == [200, 1, 2]
    assert server.taken[-1]["type"] == "websocket.close"


async def test_a_client_that_reads_nothing_is_closed_at_the_deadline_and_dropped() -> None:
    server = FakeServer()
    link = await piped_link(server, queue=QueueLimits(send_timeout=SHORT, close_timeout=SHORT))
    server.wire.fill()
    link.deliver(HELLO, Overflow.CLOSE)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.SEND_TIMEOUT, 4008)
    await link.finish()
    await eventually(lambda: server.wire.aborts == 1)


async def test_a_server_that_stops_lets_a_spread_client_stay_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    spreads: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        spreads.append((least, most))
        return SHORT

    monkeypatch.setattr(random, "uniform", uniform)
    server = FakeServer()
    link = await piped_link(server, limits=Limits(shutdown_spread=9.0))
    assert client_of(server).stopping()
    assert (link.disconnect, spreads) == (None, [(0, 9.0)])
    link.deliver(HELLO, Overflow.CLOSE)
    await eventually(lambda: link.disconnect is not None)
    assert ending(link) == (DisconnectReason.SHUTDOWN, CloseCode.SERVICE_RESTART)
    await link.finish()
    assert [frame.data for frame in server.frames] == [b"hello"]
    assert (server.taken[-1]["code"], server.taken[-1]["reason"]) == (1012, "the server is restarting")


async def test_without_a_spread_the_server_sends_everyone_away_itself() -> None:
    server = FakeServer()
    link = await piped_link(server)
    assert not client_of(server).stopping()
    assert link.disconnect is None
    await finished(link)


async def test_a_link_that_has_ended_does_not_hold_the_server_up() -> None:
    server = FakeServer()
    link = await piped_link(server, limits=Limits(shutdown_spread=SHORT))
    client = client_of(server)
    link.shut(DisconnectReason.CLOSED, 1000)
    assert not client.stopping()
    await link.finish()


@pytest.mark.usefixtures("time_by_turns")
async def test_a_client_that_leaves_before_it_is_sent_away_is_not_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    server = FakeServer()
    link = await piped_link(server, limits=Limits(shutdown_spread=SHORT * 5))
    assert client_of(server).stopping()
    server.messages.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await eventually(lambda: link.disconnect is not None)
    await asyncio.sleep(SHORT * 6)
    assert ending(link) == (DisconnectReason.CLIENT, 1001)
    assert [message["type"] for message in server.taken] == ["websocket.accept"]
    await link.finish()
