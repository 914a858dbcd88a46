"""The way to a hub that is a WebSocket."""

import ssl
from collections.abc import Mapping
from typing import Any, Final

from fastapi_rooms.client.returning import BROKEN, End
from fastapi_rooms.client.wire import CannotOpen, WireEnded
from fastapi_rooms.errors import MissingExtra
from fastapi_rooms.protocol.reading import SUBPROTOCOL

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.typing import Subprotocol
except ImportError as error:
    raise MissingExtra(extra="client", feature="RoomsClient") from error

_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of one message of the server's; several frames may share it."""

_GOODBYE: Final = 1.0
"""Seconds for the closing handshake."""


class WebSocketOpener:
    """Opens WebSockets.

    Args:
        url: Of the hub's WebSocket.
        headers: Sent with the handshake.
        tls: For `wss://`; `None`: as Python does by default.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._headers = headers
        self._options: dict[str, Any] = {} if tls is None else {"ssl": tls}

    async def open(self) -> "WebSocketWire":
        """See `Opener`."""
        try:
            socket = await connect(
                self._url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers=self._headers,
                open_timeout=None,  # the client has one for all that comes before `connected`
                close_timeout=_GOODBYE,
                ping_interval=None,  # the hub's heartbeat is for that
                max_size=_LONGEST,
                **self._options,
            )
        except Exception as error:
            raise CannotOpen(End(reason=_why(error)), answered=_answered(error)) from error
        wire = WebSocketWire(socket)
        if socket.subprotocol != SUBPROTOCOL:
            await wire.close(politely=False)
            raise CannotOpen(End(reason=f"the server does not speak {SUBPROTOCOL}"), answered=True)
        return wire


class WebSocketWire:
    """An open WebSocket; see `Wire`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        """See `Wire`."""
        try:
            return await self._socket.recv()
        except ConnectionClosed as error:
            raise WireEnded(_end_of(error)) from None

    async def send(self, frames: str) -> None:
        """See `Wire`."""
        try:
            await self._socket.send(frames)
        except ConnectionClosed as error:
            raise WireEnded(_end_of(error)) from None

    async def close(self, *, politely: bool) -> None:
        """See `Wire`."""
        try:
            if politely:
                await self._socket.close()
        finally:
            self._socket.transport.abort()
            await self._socket.wait_closed()


def _end_of(error: ConnectionClosed) -> End:
    """What the server's close frame says; where we were the first to end it, it is broken."""
    if error.rcvd is None or error.rcvd_then_sent is False:
        return End(BROKEN, error.sent.reason if error.sent is not None else "the connection broke")
    return End(error.rcvd.code, error.rcvd.reason)


def _answered(error: Exception) -> bool:
    """Whether somebody was there: one who resets the connection is."""
    return isinstance(error, (ConnectionResetError, BrokenPipeError)) or not isinstance(error, OSError)


def _why(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"the server answered {error.response.status_code} instead of opening a WebSocket"
    return str(error) or type(error).__name__
