"""The standard way to a client: an ASGI WebSocket, on any server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final, cast

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketState

from fastapi_rooms.errors import CloseCode, RoomsError
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import DirectSend, Gone
from fastapi_rooms.transports.servers import find_transport, is_finished_by_threads, is_steppable, unwrap
from fastapi_rooms.transports.stepping import step

logger = logging.getLogger("fastapi_rooms")

_FOREIGN_TURN: Final = 0.001
"""Granian's own threads finish each send: they need time, and turns of our loop give them none."""

_COME_BACK: Final = frozenset(code.value for code in CloseCode if code.reconnect)


class WebSocketTransport:
    """A `Transport` over a Starlette `WebSocket`.

    It takes the socket over: reading from the raw `websocket` raises an error that names the connection's
    methods, and closing it is harmless once the connection has ended.
    """

    __slots__ = ("_receive", "_send", "_websocket", "direct", "pipe", "turn")

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._receive = websocket._receive
        self._send = unwrap(websocket._send)
        self.direct = cast("DirectSend", self._send) if is_steppable(self._send) else None
        self.pipe = None
        self.turn = _FOREIGN_TURN if is_finished_by_threads(self._send) else 0.0

    def write(self, payload: Payload) -> Awaitable[None] | None:
        """Pass one message to the server; see `Transport.write`."""
        return self.pass_on(payload.event)

    def pass_on(self, event: Message) -> Awaitable[None] | None:
        """Pass one ASGI event to the server, as `write` does a message."""
        if self.direct is not None:
            return step(self.direct(event))
        return _Later(self, event)

    async def receive(self) -> str | bytes | Gone:
        """The next message; see `Transport.receive`."""
        try:
            message = await self._receive()
        except Exception as error:  # noqa: BLE001 - whatever a server raises here, there will be no more
            logger.debug("receive raised, the peer is gone: %r", error)
            message = {"type": "websocket.disconnect", "code": 1006}
        if message["type"] != "websocket.receive":
            self._websocket.client_state = WebSocketState.DISCONNECTED
            return Gone(message.get("code") or 1005, message.get("reason") or "")
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        return text if text is not None else data or b""

    async def accept(self, *, subprotocol: str | None, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Complete the handshake, where the endpoint has not done so itself, and take the socket over."""
        try:
            if self._websocket.application_state is WebSocketState.CONNECTING:
                await self._websocket.accept(subprotocol=subprotocol, headers=headers)
        except BaseException:
            self._websocket._send = _ignore
            raise
        self._websocket._receive = _refuse_to_read

    def retire(self) -> None:
        """What else is sent through the raw socket goes nowhere: closing twice is harmless."""
        self._websocket._send = _ignore

    async def close(self, *, code: int, reason: str) -> None:
        """Send the close frame; see `Transport.close`."""
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            raise
        except Exception:
            if code == 1000 or code >= 3000:
                raise
            code = 4000 if code in _COME_BACK else 1000
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def abort(self) -> bool:
        """Drop the peer at once where the server lets us; see `Transport.abort`."""
        transport = find_transport(self._send)
        if transport is None:
            return False
        transport.abort()
        return True

    def discard_unsent_after(self, delay: float | None, *, unanswered: bool = False) -> None:
        """Abort later what is stuck then; see `Transport.discard_unsent_after`."""
        transport = find_transport(self._send)
        if transport is not None and delay is not None and (unanswered or _has_unsent(transport)):
            stuck = _is_open if unanswered else _has_unsent
            asyncio.get_running_loop().call_later(delay, _abort_if, stuck, transport)


class _Later:
    """A send that starts when it is awaited, so that one that never is leaves no coroutine behind."""

    __slots__ = ("_event", "_transport")

    def __init__(self, transport: WebSocketTransport, event: Message) -> None:
        self._transport = transport
        self._event = event

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run().__await__()

    async def _run(self) -> None:
        await self._transport._send(self._event)


async def _refuse_to_read() -> Message:
    raise RoomsError(
        "this WebSocket is read by its Connection: use connection.receive_text(), receive_bytes(), "
        "receive_json() or `async for message in connection`"
    )


async def _ignore(message: Message) -> None:
    """Starlette, and tutorial code, may close once more: harmless."""


def _abort_if(stuck: Callable[[asyncio.WriteTransport], bool], transport: asyncio.WriteTransport) -> None:
    if stuck(transport):
        transport.abort()


def _has_unsent(transport: asyncio.WriteTransport) -> bool:
    return _unsent(transport) > 0


def _is_open(transport: asyncio.WriteTransport) -> bool:
    """The kernel may hold what the transport does not, the close frame too, whose answer the server awaits."""
    return _unsent(transport) > 0 or not transport.is_closing()


def _unsent(transport: asyncio.WriteTransport) -> int:
    try:
        return transport.get_write_buffer_size()
    except (AttributeError, RuntimeError):  # it is closed: asyncio's TLS transport, and uvloop's
        return 0
