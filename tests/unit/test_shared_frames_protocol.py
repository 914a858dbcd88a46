"""uvicorn's protocol with shared frames, real but for the socket: what goes before what, and what ends it."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone
from fastapi_rooms.testing import eventually
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.frame_fakes import CLOSE, PING, PONG, TEXT, OnWire, turns
from unit.frame_sessions import Session, Visit

Open = Callable[..., Awaitable[Visit]]
End = Callable[[Visit], Awaitable[None]]

A, B = OnWire(TEXT, b"a"), OnWire(TEXT, b"b")


@pytest.fixture
async def visit() -> AsyncIterator[Open]:
    """Opens connections, and leaves nothing of them."""
    visits: list[Visit] = []

    async def visit(**options: Any) -> Visit:
        visits.append(Visit(**options))
        await visits[-1].open()
        return visits[-1]

    yield visit
    for one in visits:
        await one.finish()


def close_frame(code: int, reason: str = "") -> OnWire:
    return OnWire(CLOSE, code.to_bytes(2) + reason.encode())


async def closed_by_us(visit: Visit) -> None:
    await visit.transport.close(code=4000, reason="why")


async def closed_by_the_endpoint(visit: Visit) -> None:
    await visit.websocket.close(4000, "why")


async def closed_by_the_client(visit: Visit) -> None:
    visit.client.send_close(4000, "why")
    visit.transmit()


async def closed_by_the_client_after_a_ping(visit: Visit) -> None:
    visit.client.send_ping(b"are you there")
    await closed_by_the_client(visit)


async def stopped(visit: Visit) -> None:
    visit.protocol.shutdown()


async def not_answered(visit: Visit) -> None:
    visit.protocol.keepalive_timeout()


async def sent_nonsense(visit: Visit) -> None:
    visit.protocol.data_received(b"\x83\x80\x00\x00\x00\x00")


async def sent_what_is_not_text(visit: Visit) -> None:
    visit.protocol.data_received(b"\x81\x81\x00\x00\x00\x00\xff")


ENDS: list[tuple[End, list[int], int]] = [
    (closed_by_us, [CLOSE], 4000),
    (closed_by_the_endpoint, [CLOSE], 4000),
    (closed_by_the_client, [CLOSE], 4000),
    (closed_by_the_client_after_a_ping, [PONG, CLOSE], 4000),
    (stopped, [CLOSE], 1012),
    (not_answered, [CLOSE], 1011),
    (sent_nonsense, [CLOSE], 1002),
    (sent_what_is_not_text, [CLOSE], 1007),
]
ends = pytest.mark.parametrize("end", [end for end, _, _ in ENDS], ids=lambda end: end.__name__)


@pytest.mark.parametrize(("end", "last", "code"), ENDS, ids=[end.__name__ for end, _, _ in ENDS])
async def test_what_was_gathered_goes_out_before_the_close_frame(
    visit: Open, end: End, last: list[int], code: int
) -> None:
    one = await visit()
    one.gather("a", "b")
    await end(one)
    assert one.frames[:2] == [A, B]
    assert [frame.opcode for frame in one.frames[2:]] == last
    assert int.from_bytes(one.frames[-1].data[:2]) == code
    assert (one.transport.ready, one.transport.unsent()) == (False, 0)


@ends
async def test_nothing_follows_the_close_frame(visit: Open, end: End) -> None:
    one = await visit()
    await end(one)
    before = one.wire.received
    with pytest.raises(ConnectionResetError):
        one.transport.write(Payload("late"))
    one.transport.ping()
    one.transport.flush()
    await turns()
    assert one.wire.received == before


@ends
async def test_nothing_follows_the_close_frame_of_a_client_that_reads_late(visit: Open, end: End) -> None:
    one = await visit()
    one.wire.stall()
    one.gather("a")
    one.transport.flush()
    one.gather("b")
    await end(one)
    one.transport.flush()
    await turns()
    one.wire.resume()
    assert [frame for frame in one.frames if frame.opcode == TEXT] == [A, B]
    assert (one.frames[:2], one.frames[-1].opcode) == ([A, B], CLOSE)


async def test_an_endpoint_that_returns_leaves_nothing_unsent(visit: Open) -> None:
    one = await visit()
    one.gather("a", "b")
    one.over.set()
    await eventually(one.wire.is_closing)
    assert (one.frames, one.transport.ready) == ([A, B], False)


@pytest.mark.parametrize("error", [ValueError("oops"), RoomsError("oops")])
async def test_an_endpoint_that_raises_leaves_nothing_unsent_either(visit: Open, error: Exception) -> None:
    one = await visit(error=error)
    one.gather("a", "b")
    one.over.set()
    await eventually(one.wire.is_closing)
    assert (one.frames, one.transport.ready) == ([A, B], False)


async def test_a_lost_connection_is_not_written_to(visit: Open) -> None:
    one = await visit()
    one.wire.reset(ConnectionResetError("reset"))
    one.gather("a")
    await turns()
    assert (one.sent, one.wire.late, one.transport.ready) == (b"", [], False)
    assert await one.transport.receive() == Gone(1005)


async def test_what_the_endpoint_sends_itself_comes_after_what_was_gathered(visit: Open) -> None:
    one = await visit()
    one.gather("a")
    await one.websocket.send_text("raw")
    one.gather("b")
    await one.websocket.send_bytes(b"raw")
    assert one.read() == ["a", "raw", "b", b"raw"]


async def test_what_the_endpoint_sends_itself_waits_for_space_behind_what_was_gathered(visit: Open) -> None:
    one = await visit()
    one.wire.limit = 100
    one.wire.stall()
    raw = asyncio.create_task(one.websocket.send_text("raw"))
    one.gather("a" * 200)
    await turns()
    assert (raw.done(), one.transport.ready) == (False, False)
    one.wire.resume()
    await raw
    assert one.read() == ["a" * 200, "raw"]


async def test_what_the_endpoint_sends_itself_keeps_behind_what_is_gathered_once_there_is_space(
    visit: Open,
) -> None:
    one = await visit()
    one.wire.limit = 100
    one.wire.stall()
    raw = asyncio.create_task(one.websocket.send_text("raw"))
    one.gather("a" * 200)
    await turns()
    one.wire.resume()
    one.gather("b")
    await raw
    assert one.read() == ["a" * 200, "b", "raw"]


@pytest.mark.parametrize("raw_first", [True, False])
async def test_who_waits_for_space_gets_it_first_come_first_served(visit: Open, raw_first: bool) -> None:
    one = await visit()
    one.wire.limit = 100
    one.wire.stall()
    one.gather("a" * 200)
    await turns()
    sending = [asyncio.create_task(one.websocket.send_text("raw"))] if raw_first else []
    await turns()
    pending = one.transport.write(Payload("b"))
    assert pending is not None
    waiting = asyncio.ensure_future(pending)
    sending = sending or [asyncio.create_task(one.websocket.send_text("raw"))]
    await turns()
    one.wire.resume()
    await asyncio.gather(waiting, *sending)
    await turns()
    assert one.read()[1:] == (["raw", "b"] if raw_first else ["b", "raw"])


async def test_a_write_stands_in_line_for_space_before_it_is_awaited(visit: Open) -> None:
    one = await visit()
    one.wire.limit = 100
    one.wire.stall()
    one.gather("a" * 200)
    await turns()
    pending = one.transport.write(Payload("b"))
    assert pending is not None
    raw = asyncio.create_task(one.websocket.send_text("raw"))  # runs before the task that awaits the write
    waiting = asyncio.ensure_future(pending)
    await turns()
    one.wire.resume()
    await asyncio.gather(waiting, raw)
    await turns()
    assert one.read()[1:] == ["b", "raw"]


async def test_a_client_that_leaves_while_the_endpoint_waits_for_space_is_gone(visit: Open) -> None:
    one = await visit()
    one.wire.fill()
    raw = asyncio.create_task(one.websocket.send_text("raw"))
    await turns()
    one.wire.reset()
    with pytest.raises(WebSocketDisconnect):
        await raw


async def test_closing_waits_for_space_and_what_was_gathered_meanwhile_goes_first(visit: Open) -> None:
    one = await visit()
    one.wire.fill()
    closing = asyncio.create_task(one.transport.close(code=1000, reason=""))
    await turns()
    assert not closing.done()
    one.wire.received += b"\x82\x7f" + len(one.wire.buffered).to_bytes(8)  # a frame of what filled it
    one.wire.resume()
    one.gather("a")
    await closing
    assert one.frames[1:] == [A, close_frame(1000)]


async def test_a_full_buffer_pauses_the_client_and_space_resumes_it(visit: Open) -> None:
    one = await visit()
    one.wire.fill()
    assert (one.transport.ready, one.protocol.writable.is_set()) == (False, False)
    one.wire.resume()
    assert (one.transport.ready, one.protocol.writable.is_set()) == (True, True)


async def test_before_accept_the_buffer_is_uvicorns_own_affair() -> None:
    one = Visit()
    one.protocol.connection_made(one.wire)
    one.wire.fill()
    assert not one.protocol.writable.is_set()
    one.wire.resume()
    assert one.protocol.writable.is_set()
    await one.finish()


async def test_pings_of_our_own_have_a_payload_and_their_pong_is_told(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await visit()
    pongs: list[str] = []
    monkeypatch.setattr(type(one.transport), "pong", lambda _: pongs.append("pong"))
    one.transport.ping()
    one.transport.ping()
    first, second = one.frames
    assert (first.opcode, second.opcode, len(first.data), len(second.data)) == (PING, PING, 4, 4)
    assert first.data != second.data
    one.read()
    one.transmit()
    assert pongs == ["pong", "pong"]
    assert one.protocol.pending_ping_payload is None


async def test_a_pong_after_the_end_is_nobodys(visit: Open) -> None:
    one = await visit()
    one.transport.ping()
    one.read()
    await one.transport.close(code=1000, reason="")
    one.transmit()
    assert one.protocol.pending_ping_payload is None


async def test_uvicorn_pings_until_somebody_takes_over(visit: Open) -> None:
    one = await visit(ws_ping_interval=0.001, ws_ping_timeout=60.0)
    await eventually(lambda: len(one.frames) == 1)
    one.read()
    one.transmit()
    await eventually(lambda: len(one.frames) == 2)
    one.transport.take_over_pings()
    one.read()
    one.transmit()
    await asyncio.sleep(0.02)
    assert [frame.opcode for frame in one.frames] == [PING, PING]
    assert (one.protocol.ping_timer, one.protocol.pong_timer) == (None, None)
    one.transport.ping()
    one.read()
    one.transmit()
    assert (one.protocol.ping_timer, len(one.frames)) == (None, 3)


async def test_a_ping_is_answered_at_once(visit: Open) -> None:
    one = await visit()
    one.gather("a")
    one.client.send_ping(b"x")
    one.transmit()
    await turns(1)
    assert one.frames == [OnWire(PONG, b"x"), A]


async def test_a_client_that_leaves_later_is_not_sent_away_at_once(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await visit(ws_ping_interval=60.0)
    monkeypatch.setattr(type(one.transport), "stopping", lambda _: True)
    one.protocol.shutdown()
    one.gather("a")
    await turns(1)
    assert (one.frames, one.wire.is_closing(), one.protocol.ping_timer) == ([A], False, None)
    await one.transport.close(code=1012, reason="")
    assert one.frames == [A, close_frame(1012)]


async def test_attaching_to_a_connection_that_has_ended_is_refused(visit: Open) -> None:
    one = await visit()
    await closed_by_us(one)
    assert not one.protocol.attach(one.transport)


@pytest.mark.parametrize("end", [closed_by_the_client, not_answered, stopped], ids=lambda end: end.__name__)
async def test_attaching_is_refused_however_it_ended(visit: Open, end: End) -> None:
    one = await visit()
    await end(one)
    assert not one.protocol.attach(one.transport)


async def test_attaching_is_refused_once_the_peer_is_lost_or_the_transport_closes(visit: Open) -> None:
    one, other = await visit(), await visit()
    one.wire.reset()
    await turns()
    other.wire.stall()
    other.gather("a")
    other.transport.flush()
    other.wire.close()
    assert not one.protocol.attach(one.transport)
    assert not other.protocol.attach(other.transport)


async def test_messages_from_the_client_arrive_as_ever(visit: Open) -> None:
    one = await visit()
    for text in (b"a", "ü".encode()):
        one.client.send_text(text)
    one.client.send_binary(b"b")
    one.transmit()
    assert [await one.transport.receive() for _ in range(3)] == ["a", "ü", b"b"]


async def test_a_second_client_of_one_connection_is_turned_away_and_the_first_hears_of_pauses(visit: Open) -> None:
    one = await visit()
    second = GatheredTransport(
        WebSocketTransport(one.websocket), one.protocol, Gatherer(asyncio.get_running_loop()), queue_bytes=None
    )
    await second.accept(subprotocol=None, headers=())
    assert not second.ready
    one.protocol.pause_writing()
    assert not one.transport.ready
    one.protocol.resume_writing()
    assert one.transport.ready


async def test_the_transport_tells_its_pauses_before_the_endpoint_runs(visit: Open) -> None:
    one = await visit()
    assert one.wire.told is one.protocol


async def test_a_connection_without_a_manager_leaves_no_cycle_behind() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        await receive()

    one = Session(app)
    await one.open()
    ended = weakref.ref(one.protocol)
    await one.finish()
    one.wire.told = None
    one.wire.protocol = asyncio.Protocol()
    gc.disable()
    try:
        del one
        await turns(2)
        assert ended() is None
    finally:
        gc.enable()
