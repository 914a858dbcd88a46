"""Messages around the server, and everything else through it: one client, the server played by the test."""

import asyncio

import pytest

from fastapi_rooms.batch import FULL
from fastapi_rooms.errors import RoomsError
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone
from fastapi_rooms.transports.gathered import GatheredTransport
from unit.fakes import SHORT
from unit.frame_fakes import BINARY, TEXT, FakeServer, OnWire, accepted, gathered, inflate, turns


class Owner:
    """Notes what a pipe tells its owner."""

    def __init__(self, *, leaves_later: bool = False) -> None:
        self.ready: list[bool] = []
        self.errors: list[Exception] = []
        self.pongs = 0
        self.transport: GatheredTransport | None = None
        self._leaves_later = leaves_later

    def watches(self, transport: GatheredTransport) -> None:
        self.transport = transport
        transport.watch(self)

    def pipe_changed(self) -> None:
        assert self.transport is not None
        self.ready.append(self.transport.ready)

    def pipe_failed(self, error: Exception) -> None:
        self.errors.append(error)

    def pipe_stuck(self) -> None: ...

    def peer_lives(self) -> None:
        self.pongs += 1

    def server_stops(self) -> bool:
        return self._leaves_later


async def test_before_accept_no_frames_can_be_written() -> None:
    transport = gathered(FakeServer())
    assert (transport.ready, transport.unsent()) == (False, 0)
    with pytest.raises(ConnectionResetError):
        transport.write(Payload("early"))
    with pytest.raises(ConnectionError, match="from accept on"):
        transport.write_frames(b"")


async def test_accept_passes_on_subprotocol_and_headers_and_attaches() -> None:
    server = FakeServer(window_bits=11)
    transport = gathered(server)
    await transport.accept(subprotocol="chat", headers=[(b"x-a", b"b")])
    assert server.taken == [{"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-a", b"b")]}]
    assert server.client is transport
    assert (transport.ready, transport.window_bits, transport.pipe, transport.direct) == (
        True,
        11,
        transport,
        None,
    )


async def test_a_connection_that_has_ended_already_takes_no_frames() -> None:
    server = FakeServer()
    server.refuses = True
    transport = await accepted(server, queue_bytes=8)
    assert (transport.ready, server.wire.limit) == (False, 64 * 1024)
    with pytest.raises(ConnectionResetError, match="takes no messages any more"):
        transport.write(Payload("late"))


async def test_a_server_whose_buffer_is_full_at_accept_is_waited_for() -> None:
    server = FakeServer()
    server.wire.fill()
    transport = await accepted(server)
    assert not transport.ready
    server.wire.resume()
    assert transport.ready


@pytest.mark.parametrize(
    ("queue_bytes", "limit"), [(None, 64 * 1024), (1024 * 1024, 64 * 1024), (64 * 1024, 16 * 1024), (3, 1)]
)
async def test_the_servers_buffer_is_a_part_of_a_small_queue(queue_bytes: int | None, limit: int) -> None:
    server = FakeServer()
    await accepted(server, queue_bytes=queue_bytes)
    assert server.wire.limit == limit


async def test_a_buffer_that_its_new_limit_makes_full_pauses_at_once() -> None:
    server = FakeServer()
    server.wire.stall()
    server.wire.write(bytes(100))
    owner = Owner()
    transport = gathered(server, queue_bytes=200)
    owner.watches(transport)
    await transport.accept(subprotocol=None, headers=())
    assert (transport.ready, owner.ready[-1]) == (False, False)


async def test_the_messages_of_a_turn_are_one_write() -> None:
    server = FakeServer()
    transport = await accepted(server)
    for message in ("a", b"b", "ü"):
        assert transport.write(Payload(message)) is None
    assert server.wire.writes == []
    await turns(1)
    assert len(server.wire.writes) == 1
    assert server.frames == [OnWire(TEXT, b"a"), OnWire(BINARY, b"b"), OnWire(TEXT, "ü".encode())]


async def test_what_is_gathered_counts_as_taken_at_once() -> None:
    server = FakeServer()
    transport = await accepted(server)
    for text in ("a", "bb"):
        transport.write(Payload(text))
    assert (transport.sent, transport.sent_bytes, transport.unsent()) == (2, 3, 3)
    await turns(1)
    assert (transport.sent, transport.sent_bytes, transport.unsent()) == (2, 3, 0)


async def test_a_client_with_compression_gets_large_messages_compressed() -> None:
    server = FakeServer(window_bits=10)
    transport = await accepted(server)
    transport.write(Payload("x" * 5000))
    transport.write(Payload("x"))
    await turns(1)
    large, small = server.frames
    assert (large.compressed, inflate(large.data, 10)) == (True, b"x" * 5000)
    assert small == OnWire(TEXT, b"x")


async def test_much_is_written_at_once() -> None:
    server = FakeServer()
    transport = await accepted(server)
    transport.write(Payload(bytes(FULL)))
    assert (len(server.wire.writes), transport.batch, transport.sent) == (1, None, 1)
    transport.write(Payload("more"))
    await turns(1)
    assert [len(frame.data) for frame in server.frames] == [FULL, 4]


async def test_flushing_writes_what_was_gathered_once() -> None:
    server = FakeServer()
    transport = await accepted(server)
    transport.flush()
    transport.write(Payload("a"))
    transport.flush()
    transport.flush()
    assert server.frames == [OnWire(TEXT, b"a")]
    await turns(2)
    assert len(server.wire.writes) == 1


async def test_a_full_buffer_makes_writes_wait_and_space_lets_them_go_on() -> None:
    server, owner = FakeServer(), Owner()
    transport = await accepted(server, queue_bytes=400)
    owner.watches(transport)
    server.wire.stall()
    transport.write(Payload("x" * 100))
    await turns(1)
    assert (transport.ready, owner.ready) == (False, [False])
    pending = transport.write(Payload("later"))
    assert pending is not None
    waiting = asyncio.ensure_future(pending)
    await turns()
    assert not waiting.done()
    server.wire.resume()
    await waiting
    await turns(1)
    assert owner.ready == [False, True]
    assert [frame.data for frame in server.frames] == [b"x" * 100, b"later"]


async def test_space_that_is_gone_again_before_a_write_went_on_makes_it_wait_again() -> None:
    server = FakeServer()
    transport = await accepted(server, queue_bytes=400)
    server.wire.fill()
    pending = transport.write(Payload("later"))
    assert pending is not None
    waiting = asyncio.ensure_future(pending)
    await turns()
    server.wire.resume()
    server.wire.fill()
    await turns()
    assert not waiting.done()
    server.wire.resume()
    await waiting
    await turns(1)
    assert server.wire.received.endswith(Payload("later").frame(0))


async def test_a_buffer_that_has_space_before_the_write_is_awaited_is_not_waited_for() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.fill()
    pending = transport.write(Payload("a"))
    server.wire.resume()
    assert pending is not None
    await pending
    assert transport.sent == 1


async def a_write_that_waits() -> tuple[FakeServer, GatheredTransport, "asyncio.Future[None]"]:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.fill()
    pending = transport.write(Payload("a"))
    assert pending is not None
    waiting = asyncio.ensure_future(pending)
    await turns()
    return server, transport, waiting


async def test_a_cancelled_write_leaves_nothing() -> None:
    server, transport, waiting = await a_write_that_waits()
    waiting.cancel()
    await asyncio.wait((waiting,))
    before = len(server.wire.buffered)
    server.wire.resume()
    await turns()
    assert (len(server.wire.received), transport.batch, transport.sent) == (before, None, 0)


async def test_a_write_that_is_never_awaited_leaves_no_coroutine() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.fill()
    assert transport.write(Payload("a")) is not None
    server.wire.resume()
    await turns()
    assert transport.sent == 0


async def test_a_write_whose_connection_ends_meanwhile_raises() -> None:
    server, transport, waiting = await a_write_that_waits()
    server.wire.reset()
    with pytest.raises(ConnectionResetError):
        await waiting
    assert transport.sent == 0


async def test_what_is_held_for_the_client_is_gathered_or_in_the_servers_buffer() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.stall()
    transport.write(Payload("x" * 10))
    transport.flush()
    transport.write(Payload("x" * 5))
    assert transport.unsent() == 12 + 5
    server.wire.resume()
    assert transport.unsent() == 5


async def test_nothing_is_held_for_a_client_that_is_gone() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.stall()
    transport.write(Payload("x"))
    transport.flush()
    server.wire.close()
    assert (server.wire.get_write_buffer_size(), transport.unsent()) == (3, 0)


async def test_nothing_is_held_for_a_client_that_takes_no_frames_any_more() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.stall()
    transport.write(Payload("x"))
    transport.flush()
    assert transport.unsent() == 3
    server.end()
    assert transport.unsent() == 0


async def test_after_the_end_nothing_is_written() -> None:
    server, owner = FakeServer(), Owner()
    transport = await accepted(server)
    owner.watches(transport)
    transport.write(Payload("a"))
    server.end()
    await turns()
    assert (server.wire.writes, transport.batch, transport.ready, owner.ready) == ([], None, False, [False])
    transport.resumed()
    assert not transport.ready


async def test_what_counts_as_taken_still_does_after_the_peer_vanished() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.reset()  # which the server is told only after this turn
    for text in ("a", "bb"):
        transport.write(Payload(text))
    before = (transport.sent, transport.sent_bytes)
    await turns()
    assert (transport.sent, transport.sent_bytes) == before == (2, 3)


async def test_a_write_that_raises_is_told_to_the_owner() -> None:
    server, owner = FakeServer(), Owner()
    transport = await accepted(server)
    transport.write(Payload("nobody is told"))
    server.wire.error = OSError("reset")
    await turns(1)
    owner.watches(transport)
    transport.write(Payload("a"))
    await turns(1)
    assert (owner.errors, transport.batch) == ([server.wire.error], None)


async def test_pongs_and_the_servers_end_are_told_to_the_owner() -> None:
    owner = Owner(leaves_later=True)
    transport = await accepted(FakeServer())
    transport.pong()
    assert not transport.stopping()
    owner.watches(transport)
    transport.pong()
    assert (transport.stopping(), owner.pongs) == (True, 1)


async def test_pings_are_the_servers_to_send() -> None:
    server = FakeServer()
    transport = await accepted(server)
    transport.take_over_pings()
    transport.ping()
    transport.ping()
    assert (server.stopped_keepalive, server.pings) == (1, 2)


async def test_messages_are_received_through_the_server() -> None:
    disconnect = {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}
    server = FakeServer({"type": "websocket.receive", "text": "a"}, disconnect)
    transport = await accepted(server)
    assert [await transport.receive(), await transport.receive()] == ["a", Gone(1001, "bye")]


async def test_what_was_gathered_goes_before_the_close_frame() -> None:
    server = FakeServer()
    transport = await accepted(server)
    transport.write(Payload("a"))
    await transport.close(code=4000, reason="why")
    assert server.taken[1:] == [{"type": "websocket.close", "code": 4000, "reason": "why"}]
    assert server.frames == [OnWire(TEXT, b"a")]


async def test_the_raw_socket_is_read_by_its_connection_and_closing_it_late_is_harmless() -> None:
    server = FakeServer()
    transport = await accepted(server)
    with pytest.raises(RoomsError, match=r"connection\.receive_text"):
        await server.websocket.receive_text()
    transport.retire()
    await server.websocket.close(1011)
    assert [message["type"] for message in server.taken] == ["websocket.accept"]


async def test_it_aborts_through_the_server() -> None:
    server = FakeServer()
    transport = await accepted(server)
    assert transport.abort()
    assert server.wire.aborts == 1
    await turns()
    assert not transport.ready


async def test_bytes_that_the_peer_does_not_take_are_dropped_later() -> None:
    server = FakeServer()
    transport = await accepted(server)
    server.wire.fill()
    transport.discard_unsent_after(SHORT)
    await asyncio.sleep(SHORT * 2)
    assert server.wire.aborts == 1
