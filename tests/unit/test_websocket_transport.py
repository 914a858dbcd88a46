import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketState

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.fakes import SHORT


class Wire:
    """An asyncio transport with bytes that the peer has not taken."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.error: Exception | None = None
        self.aborts = 0
        self.closing = False

    def abort(self) -> None:
        self.aborts += 1

    def get_write_buffer_size(self) -> int:
        if self.error is not None:
            raise self.error
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing


class Server:
    """One ASGI WebSocket, played by the test."""

    def __init__(self, *messages: Message, transport: Wire | None = None) -> None:
        self.transport = transport
        self.sent: list[Message] = []
        self.messages = [{"type": "websocket.connect"}, *messages]
        self.on_send: Callable[[Message], Awaitable[None]] | None = None

    async def receive(self) -> Message:
        if not self.messages:
            raise RuntimeError("receive after the disconnect")
        return self.messages.pop(0)

    async def send(self, message: Message) -> None:
        if self.on_send is not None:
            await self.on_send(message)
        self.sent.append(message)

    def websocket(self) -> WebSocket:
        return WebSocket({"type": "websocket", "headers": []}, self.receive, self.send)


async def accepted(server: Server) -> tuple[WebSocketTransport, WebSocket]:
    websocket = server.websocket()
    transport = WebSocketTransport(websocket)
    await transport.accept(subprotocol="chat", headers=[(b"x-a", b"b")])
    return transport, websocket


def fails(*codes: int) -> Callable[[Message], Awaitable[None]]:
    async def on_send(message: Message) -> None:
        if message["type"] == "websocket.close" and message["code"] in codes:
            raise ValueError(f"invalid close code {message['code']}")

    return on_send


async def test_it_accepts_with_subprotocol_and_headers() -> None:
    server = Server()
    await accepted(server)
    assert server.sent == [{"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-a", b"b")]}]


async def test_it_does_not_accept_what_the_endpoint_has_accepted() -> None:
    server = Server()
    websocket = server.websocket()
    await websocket.accept()
    await WebSocketTransport(websocket).accept(subprotocol=None, headers=())
    assert len(server.sent) == 1


async def test_after_a_failed_accept_the_raw_socket_is_harmless() -> None:
    server = Server()

    async def gone(message: Message) -> None:
        raise OSError("gone")

    server.on_send = gone
    websocket = server.websocket()
    with pytest.raises((OSError, RuntimeError)):
        await WebSocketTransport(websocket).accept(subprotocol=None, headers=())
    server.on_send = None
    await websocket.close()
    assert server.sent == []


async def test_after_accept_the_raw_socket_says_how_to_read() -> None:
    _, websocket = await accepted(Server({"type": "websocket.receive", "text": "a"}))
    with pytest.raises(RoomsError, match=r"connection\.receive_text"):
        await websocket.receive_text()


async def test_after_the_end_closing_the_raw_socket_is_harmless() -> None:
    server = Server()
    transport, websocket = await accepted(server)
    transport.retire()
    await websocket.close(1011)
    assert [message["type"] for message in server.sent] == ["websocket.accept"]


@pytest.mark.parametrize(
    ("message", "received"),
    [
        ({"type": "websocket.receive", "text": "a"}, "a"),
        ({"type": "websocket.receive", "text": "", "bytes": None}, ""),
        ({"type": "websocket.receive", "bytes": b"a", "text": None}, b"a"),
        ({"type": "websocket.receive", "bytes": b""}, b""),
        ({"type": "websocket.disconnect", "code": 1001, "reason": "bye"}, Gone(1001, "bye")),
        ({"type": "websocket.disconnect", "code": None, "reason": None}, Gone(1005)),
        ({"type": "websocket.disconnect"}, Gone(1005)),
    ],
)
async def test_what_servers_deliver_becomes_messages(message: Message, received: object) -> None:
    transport, websocket = await accepted(Server(message))
    assert await transport.receive() == received
    assert (websocket.client_state is WebSocketState.DISCONNECTED) is isinstance(received, Gone)


async def test_a_server_that_raises_at_receive_has_lost_the_peer() -> None:
    transport, _ = await accepted(Server())
    assert await transport.receive() == Gone(1006)


async def test_a_server_that_is_not_known_gets_its_sends_in_a_task() -> None:
    server = Server()
    transport, _ = await accepted(server)
    pending = transport.write(Payload("a"))
    unused = transport.write(Payload("b"))
    assert pending is not None
    assert unused is not None
    await asyncio.create_task(_await(pending))
    assert server.sent[1:] == [{"type": "websocket.send", "text": "a"}]


async def test_a_known_server_is_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "__module__", "uvicorn.protocols")
    server = Server()
    transport, _ = await accepted(server)
    assert transport.write(Payload(b"a")) is None
    assert server.sent[1:] == [{"type": "websocket.send", "bytes": b"a"}]


async def test_it_closes_with_code_and_reason() -> None:
    server = Server()
    transport, _ = await accepted(server)
    await transport.close(code=4000, reason="why")
    assert server.sent[1:] == [{"type": "websocket.close", "code": 4000, "reason": "why"}]


@pytest.mark.parametrize(("code", "instead"), [(1012, 4000), (1011, 4000), (1009, 1000), (1003, 1000)])
async def test_a_server_that_refuses_a_code_gets_one_with_the_same_advice(code: int, instead: int) -> None:
    server = Server()
    server.on_send = fails(code)
    transport, _ = await accepted(server)
    await transport.close(code=code, reason="why")
    assert [message.get("code") for message in server.sent[1:]] == [instead]


@pytest.mark.parametrize("code", [1000, 3000, 4008])
async def test_a_close_that_fails_for_another_reason_raises(code: int) -> None:
    server = Server()
    server.on_send = fails(code)
    transport, _ = await accepted(server)
    with pytest.raises(ValueError, match="invalid close code"):
        await transport.close(code=code, reason="")


async def test_a_lost_peer_is_not_closed_twice() -> None:
    server = Server()
    transport, _ = await accepted(server)
    attempts: list[Message] = []

    async def gone(message: Message) -> None:
        attempts.append(message)
        raise OSError("gone")

    server.on_send = gone
    with pytest.raises(OSError, match="gone"):
        await transport.close(code=1011, reason="")
    assert len(attempts) == 1


async def test_it_aborts_where_the_server_lets_it() -> None:
    wire = Wire(unsent=0)
    transport, _ = await accepted(Server(transport=wire))
    assert transport.abort()
    assert wire.aborts == 1
    transport, _ = await accepted(Server())
    assert not transport.abort()


async def test_bytes_that_the_peer_does_not_take_are_dropped_later() -> None:
    wire = Wire(unsent=1)
    transport, _ = await accepted(Server(transport=wire))
    transport.discard_unsent_after(SHORT)
    assert wire.aborts == 0
    await asyncio.sleep(SHORT * 2)
    assert wire.aborts == 1


async def test_bytes_that_it_takes_in_time_are_not() -> None:
    wire = Wire(unsent=1)
    transport, _ = await accepted(Server(transport=wire))
    transport.discard_unsent_after(SHORT)
    wire.unsent = 0
    await asyncio.sleep(SHORT * 2)
    assert wire.aborts == 0


@pytest.mark.parametrize(("wire", "delay"), [(Wire(unsent=0), SHORT), (Wire(unsent=1), None), (None, SHORT)])
async def test_nothing_is_dropped_later_if_there_is_nothing_or_no_deadline(
    wire: Wire | None, delay: float | None
) -> None:
    transport, _ = await accepted(Server(transport=wire))
    transport.discard_unsent_after(delay)
    await asyncio.sleep(SHORT * 2)
    assert wire is None or wire.aborts == 0


@pytest.mark.parametrize(("closing", "aborts"), [(False, 1), (True, 0)])
async def test_a_peer_that_did_not_read_is_dropped_unless_it_answers_the_close(closing: bool, aborts: int) -> None:
    wire = Wire(unsent=0)  # the kernel holds the close frame
    transport, _ = await accepted(Server(transport=wire))
    transport.discard_unsent_after(SHORT, unanswered=True)
    wire.closing = closing
    await asyncio.sleep(SHORT * 2)
    assert wire.aborts == aborts


@pytest.mark.parametrize("error", [AttributeError("asyncio's TLS"), RuntimeError("uvloop's")])
async def test_a_transport_that_is_closed_has_nothing_left_to_drop(error: Exception) -> None:
    wire = Wire(unsent=1)
    transport, _ = await accepted(Server(transport=wire))
    transport.discard_unsent_after(SHORT)
    wire.error = error
    await asyncio.sleep(SHORT * 2)
    transport.discard_unsent_after(SHORT)
    assert wire.aborts == 0


async def _await(pending: Any) -> None:
    await pending
