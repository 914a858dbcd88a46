"""Clients of `SharedFramesProtocol`, real but for the socket."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.extensions import ClientExtensionFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from fastapi_rooms.gather import Gatherer
from fastapi_rooms.payload import Payload
from fastapi_rooms.testing import eventually
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.shared_frames import SharedFramesProtocol
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.frame_fakes import OnWire, Wire, split_frames, turns


class Session:
    """One client of an app on `SharedFramesProtocol`, in memory: real but for the socket.

    Attributes:
        wire: The server's end of the socket.
        protocol: The server's protocol.
        client: The client's, of websockets.
        response: The answer to the handshake.
    """

    response: Response

    def __init__(
        self,
        app: ASGIApp,
        *,
        path: str = "/",
        extensions: Sequence[ClientExtensionFactory] | None = None,
        **options: Any,
    ) -> None:
        config = uvicorn.Config(
            app,
            interface="asgi3",
            ws=SharedFramesProtocol,
            lifespan="off",
            log_config=None,
            **options,
        )
        config.load()
        self.state = ServerState()
        self.wire = Wire()
        self.wire.protocol = self.protocol = SharedFramesProtocol(config, self.state, {})
        self.client = ClientProtocol(parse_uri(f"ws://test{path}"), extensions=extensions)
        self._read = 0

    async def open(self) -> None:
        """Connect, and wait for the answer to the handshake."""
        self.protocol.connection_made(self.wire)
        self.client.send_request(self.client.connect())
        self.transmit()
        await eventually(lambda: b"\r\n\r\n" in self.wire.received)
        self._read = self.wire.received.index(b"\r\n\r\n") + 4
        self.client.receive_data(self.wire.received[: self._read])
        (self.response,) = cast("list[Response]", self.client.events_received())
        assert self.client.handshake_exc is None

    def transmit(self) -> None:
        """Pass to the server what the client has to send, all in one segment."""
        self.protocol.data_received(b"".join(self.client.data_to_send()))

    async def finish(self) -> None:
        """The client vanishes, and nothing is left of the connection."""
        self.wire.abort()
        if self.state.tasks:
            await asyncio.wait(set(self.state.tasks))
        await turns(2)

    @property
    def sent(self) -> bytes:
        """All that the server wrote after the handshake."""
        return self.wire.received.partition(b"\r\n\r\n")[2]

    @property
    def frames(self) -> list[OnWire]:
        """The frames that the server wrote."""
        return split_frames(self.sent)

    def read(self) -> list[str | bytes]:
        """The messages that have come since the last call; what the client answers waits for `transmit`."""
        self.client.receive_data(self.wire.received[self._read :])
        self._read = len(self.wire.received)
        frames = cast("list[Frame]", self.client.events_received())
        assert self.client.parser_exc is None
        return [
            bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
            for frame in frames
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]


class Visit(Session):
    """A session whose endpoint accepts with a `GatheredTransport`, and then does what the test says.

    Attributes:
        transport: The server's way to the client.
        websocket: The endpoint's.
        over: Set to let the endpoint return.
    """

    transport: GatheredTransport
    websocket: WebSocket

    def __init__(
        self,
        *,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        error: Exception | None = None,
        **options: Any,
    ) -> None:
        super().__init__(self._app, extensions=extensions, **options)
        self.over = asyncio.Event()
        self._error = error
        self._accepted = asyncio.Event()

    async def open(self) -> None:
        """Connect, and wait until frames can be written."""
        await super().open()
        await eventually(self._accepted.is_set)

    async def finish(self) -> None:
        """Let the endpoint return, and leave nothing."""
        self.over.set()
        await super().finish()

    def gather(self, *texts: str) -> None:
        """Send messages, which wait for the end of the turn."""
        for text in texts:
            assert self.transport.write(Payload(text)) is None

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.websocket = WebSocket(scope, receive, send)
        gatherer = Gatherer(asyncio.get_running_loop())
        self.transport = GatheredTransport(
            WebSocketTransport(self.websocket), self.protocol, gatherer, queue_bytes=None
        )
        await self.transport.accept(subprotocol=None, headers=())
        self._accepted.set()
        await self.over.wait()
        if self._error is not None:
            raise self._error
