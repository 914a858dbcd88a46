"""One uvicorn protocol in memory, with a client that can stop reading, on a transport that counts its bytes."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, cast

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CONNECTING
from websockets.uri import parse_uri

HIGH_WATER = 64 * 1024
LOW_WATER = HIGH_WATER // 4


@dataclass
class Received:
    """What the client got.

    Attributes:
        messages: In their order.
        code: The close frame's, if one came.
        pongs: How many pings were answered.
    """

    messages: list[str | bytes] = field(default_factory=list)
    code: int | None = None
    pongs: int = 0


class Wire(asyncio.Transport):
    """The server's transport and the client at its other end."""

    def __init__(self, protocol: WebSocketsSansIOProtocol, *, window_bits: int | None) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 50000)})
        self.received = Received()
        self.writes = 0
        self.stalled = False
        self._protocol = protocol
        self._buffer = bytearray()
        self._paused = False
        self._closing = False
        self._high = HIGH_WATER
        extensions = None
        if window_bits is not None:
            extensions = [
                ClientPerMessageDeflateFactory(server_max_window_bits=window_bits, client_max_window_bits=True)
            ]
        self.client = ClientProtocol(parse_uri("ws://127.0.0.1/ws"), extensions=extensions, max_size=None)

    def open(self) -> None:
        """Connect and ask for the WebSocket."""
        self._protocol.connection_made(self)
        self.client.send_request(self.client.connect())
        self.flush_client()

    def flush_client(self) -> None:
        """Pass to the server what the client has written."""
        data = b"".join(self.client.data_to_send())
        if data and not self._closing:
            self._protocol.data_received(data)

    def resume(self) -> None:
        """The client reads again, and has read everything that was waiting."""
        self.stalled = False
        self._deliver()

    def write(self, data: Any) -> None:
        if self._closing:
            return
        self.writes += 1
        self._buffer += data
        if not self.stalled:
            self._deliver()
        elif len(self._buffer) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self._buffer.clear()
        self.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def _deliver(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if data and not self.client.eof_sent:
            self.client.receive_data(data)
            self._take_events()
        if self._paused and len(self._buffer) <= LOW_WATER:
            self._paused = False
            self._protocol.resume_writing()

    def _take_events(self) -> None:
        for event in self.client.events_received():
            if isinstance(event, Response):
                assert event.status_code == 101
            elif isinstance(event, Frame):
                self._take(event)
        assert self.client.parser_exc is None or self.client.close_rcvd is not None, self.client.parser_exc
        if self.client.state is not CONNECTING:
            asyncio.get_running_loop().call_soon(self.flush_client)

    def _take(self, frame: Frame) -> None:
        assert self.received.code is None, "a frame after the close frame"
        match frame.opcode:
            case Opcode.TEXT:
                self.received.messages.append(bytes(frame.data).decode())
            case Opcode.BINARY:
                self.received.messages.append(bytes(frame.data))
            case Opcode.PONG:
                self.received.pongs += 1
            case Opcode.CLOSE:
                assert self.client.close_rcvd is not None
                self.received.code = self.client.close_rcvd.code


def serve(app: Any, protocol: type[WebSocketsSansIOProtocol], *, window_bits: int | None) -> Wire:
    """`app` on a protocol of uvicorn, with one client; `window_bits`: what it offers for compression."""
    config = uvicorn.Config(
        app, ws=cast("Any", protocol), interface="asgi3", lifespan="off", log_config=None, ws_ping_interval=None
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config.load()
    wire = Wire(protocol(config, ServerState(), {}), window_bits=window_bits)
    wire.open()
    return wire
