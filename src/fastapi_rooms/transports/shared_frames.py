"""uvicorn's WebSocket protocol, opened for frames that were built once for many clients.

    uvicorn app:app --ws fastapi_rooms.transports.shared_frames:SharedFramesProtocol

Managers use it without a line changed. Endpoints of other kinds run on it as on uvicorn's own protocol.
"""

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from fastapi_rooms.errors import MissingExtra
from fastapi_rooms.frames import PLAIN, WINDOW_BITS
from fastapi_rooms.ports import SHARED_FRAMES_EXTENSION, FrameClient

try:
    import uvicorn
    from uvicorn._types import ASGISendEvent
    from uvicorn.config import Config
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
    from uvicorn.server import ServerState
    from websockets.exceptions import NegotiationError
    from websockets.extensions import Extension
    from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
    from websockets.frames import Frame
    from websockets.protocol import OPEN
except ImportError as error:
    raise MissingExtra(extra="uvicorn", feature="SharedFramesProtocol") from error

logger = logging.getLogger("fastapi_rooms")

KNOWN_UVICORN: Final = ((0, 52, 1), (0, 55))
"""The first version that we know, and the first that we do not know yet."""


class _SharedDeflate(ServerPerMessageDeflateFactory):
    """Declines a window of 256 bytes, which zlib cannot keep to and websockets before 17.2 accepts."""

    def process_request_params(
        self, params: Sequence[tuple[str, str | None]], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[tuple[str, str | None]], PerMessageDeflate]:
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < WINDOW_BITS.start:
            raise NegotiationError(f"windows have at least {WINDOW_BITS.start} bits here")
        return answer, extension


_DEFLATE: Final = _SharedDeflate(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=WINDOW_BITS[-1],
    client_max_window_bits=WINDOW_BITS[-1],
    compress_settings={"memLevel": 5},
)


class SharedFramesProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websockets-sansio protocol, which offers itself in `scope["extensions"]` as a `FrameServer`.

    It writes no messages by itself. It sees to it that what was gathered goes out before uvicorn writes anything
    that must come later, and nothing after a close frame (RFC 6455 §5.5.1).

    Compression is negotiated so that one compressed frame serves many: no context takeover by the server (RFC 7692
    §7.1.1.1), nor by the client, whose window would stay in our memory, and windows of at most 4 KiB.

    With a version of uvicorn that is not known it warns once, offers nothing, and is uvicorn's own.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._client: FrameClient | None = None
        self._served = self.app
        if not is_known(uvicorn.__version__):
            _warn_once(uvicorn.__version__)
            return
        self.app = self._serve
        if config.ws_per_message_deflate:
            self.conn.available_extensions = [_DEFLATE]

    @property
    def window_bits(self) -> int:
        """The window that compressed messages may use, as negotiated; 0: none."""
        for extension in self.conn.extensions:
            if isinstance(extension, PerMessageDeflate):
                return extension.local_max_window_bits
        return PLAIN

    def attach(self, client: FrameClient) -> bool:
        """Tell `client` from now on; see `FrameServer.attach`."""
        if self._client is not None or self.disconnected or self.close_sent:
            return False
        if self.conn.state is not OPEN or self.transport.is_closing():
            return False
        self._client = client
        return True

    def ping(self) -> None:
        """Send a ping, if the connection is open; one that waits for its pong is not waited for any more."""
        if self._client is not None:
            self.pending_ping_payload = os.urandom(4)
            self.ping_sent_at = self.loop.time()
            self.conn.send_ping(self.pending_ping_payload)
            self.transport.write(b"".join(self.conn.data_to_send()))

    async def send(self, message: ASGISendEvent) -> None:
        """What others than the client send comes after what it gathered."""
        while (client := self._client) is not None:
            await self.writable.wait()
            client.flush()
            if self.writable.is_set():
                break
        if message["type"] == "websocket.close":
            self._end()
        await super().send(message)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        super().pause_writing()
        if self._client is not None:
            self._client.paused()

    def resume_writing(self) -> None:
        """The transport's buffer has space again."""
        super().resume_writing()
        if self._client is not None:
            self._client.resumed()

    def handle_events(self) -> None:
        """What came may have made websockets answer with a close frame, which any handler may write."""
        if self._client is not None and self.conn.state is not OPEN:
            self._end()
        super().handle_events()

    def handle_pong(self, event: Frame) -> None:
        """A pong is a sign of life."""
        if self._client is not None:
            self._client.pong()
        super().handle_pong(event)

    def handle_parser_exception(self) -> None:
        """The close frame that names what was wrong comes last."""
        self._end()
        super().handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """No pong came in time."""
        self._end()
        super().keepalive_timeout()

    def shutdown(self) -> None:
        """The server stops: at once, or when the client says so."""
        if self._client is not None and self._client.stopping():
            self.stop_keepalive()
            return
        self._end()
        super().shutdown()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From now on the transport's pauses are ours: uvicorn says so only after the first data."""
        super().connection_made(transport)
        self.transport.set_protocol(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        super().connection_lost(exc)
        self._end()
        self.app = self._served  # our own method would keep us alive

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, Any] = scope["extensions"]
        extensions[SHARED_FRAMES_EXTENSION] = {"server": self}
        try:
            await self._served(scope, receive, send)
        finally:
            self._end()  # uvicorn closes the transport now
            extensions.pop(SHARED_FRAMES_EXTENSION, None)

    def _end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            if not self.disconnected:
                client.flush()
            client.ended()


@cache
def is_known(version: str) -> bool:
    """Whether this version of uvicorn is one that we know."""
    first, end = KNOWN_UVICORN
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return first <= numbers < end


@cache
def _warn_once(version: str) -> None:
    first, end = (".".join(map(str, one)) for one in KNOWN_UVICORN)
    logger.warning(
        "SharedFramesProtocol does not know uvicorn %s (it knows %s up to, not including, %s): messages take the "
        "standard way. Everything works; broadcasts are slower. Update fastapi-rooms, or pin uvicorn",
        version,
        first,
        end,
    )
