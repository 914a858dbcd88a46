"""A socket in memory, frames as they are on it, and a server that takes them."""

import asyncio
import zlib
from typing import NamedTuple

from starlette.types import Message
from starlette.websockets import WebSocket

from fastapi_rooms.frames import PLAIN
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.link import Link
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import FrameClient
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.fakes import FakeOwner

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_TAIL = b"\x00\x00\xff\xff"


class OnWire(NamedTuple):
    """A frame as it was sent: not masked, not fragmented."""

    opcode: int
    data: bytes
    compressed: bool = False


def split_frames(data: bytes) -> list[OnWire]:
    """Read frames, strictly; fails on anything that is not a whole number of a server's frames."""
    frames: list[OnWire] = []
    while data:
        first, length, start = data[0], data[1], 2
        assert first & 0x80, "a fragment"
        assert not length & 0x80, "masked"
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start])
        assert len(data) >= start + length, "cut off"
        frames.append(OnWire(first & 0x0F, data[start : start + length], bool(first & 0x40)))
        data = data[start + length :]
    return frames


def inflate(data: bytes, window_bits: int) -> bytes:
    """Decompress one message with a window of exactly so many bits, and nothing before it."""
    return zlib.decompressobj(-window_bits).decompress(data + _TAIL)


async def turns(count: int = 5) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Protocol(asyncio.Protocol):
    """Where a `Wire` begins."""


class Wire(asyncio.Transport):
    """A socket without a kernel: what the peer takes, and what waits while it does not read.

    Attributes:
        protocol: Whom it tells.
        told: Who asked to be told.
        writes: The data of each write.
        late: What was written after the connection was lost, which nobody gets.
        received: What the peer got.
        buffered: What waits.
        limit: The buffer's high-water mark: above it the protocol is paused, as asyncio does it.
        error: What the next writes raise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol = Protocol()
        self.told: asyncio.BaseProtocol | None = None
        self.writes: list[bytes] = []
        self.late: list[bytes] = []
        self.received = b""
        self.buffered = b""
        self.limit = 64 * 1024
        self.aborts = 0
        self.error: Exception | None = None
        self._reads = True
        self._paused = False
        self._closing = False
        self._lost = False

    # What servers call.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.error is not None:
            raise self.error
        if self._lost:
            self.late.append(bytes(data))
            return
        self.writes.append(bytes(data))
        if self._reads:
            self.received += data
        else:
            self.buffered += data
            self._pause_if_full()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self.buffered:
                self._lose(None)

    def abort(self) -> None:
        self.aborts += 1
        self.reset(None)

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return len(self.buffered)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.limit = high
        self._pause_if_full()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.told = protocol

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    # What the test calls.

    def stall(self) -> None:
        """The peer reads no more."""
        self._reads = False

    def resume(self) -> None:
        """The peer reads again, all of it."""
        self._reads = True
        self.received, self.buffered = self.received + self.buffered, b""
        if self._closing:
            self._lose(None)
        elif self._paused:
            self._paused = False
            self.protocol.resume_writing()

    def reset(self, error: Exception | None = None) -> None:
        """The peer is gone."""
        self._closing = True
        self.buffered = b""
        self._lose(error)

    def fill(self) -> None:
        """Stall, with a full buffer."""
        self.stall()
        self.buffered += bytes(self.limit + 1)
        self._pause_if_full()

    def _pause_if_full(self) -> None:
        if len(self.buffered) > self.limit and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)


class FakeServer(asyncio.Protocol):
    """A `FrameServer`, and the ASGI server around it, played by the test.

    Attributes:
        taken: ASGI messages in the order in which they came.
        websocket: The endpoint's.
        client: Whom it tells, once attached.
        refuses: Whether `attach` finds the connection ended.
        stopped_keepalive: How often its own pings were stopped.
        pings: How many were sent.
    """

    def __init__(self, *messages: Message, window_bits: int = PLAIN) -> None:
        self.writable = asyncio.Event()
        self.writable.set()
        self.wire = Wire()
        self.wire.protocol = self
        self.window_bits = window_bits
        self.client: FrameClient | None = None
        self.refuses = False
        self.stopped_keepalive = 0
        self.pings = 0
        self.taken: list[Message] = []
        self.websocket = WebSocket({"type": "websocket", "headers": []}, self.receive, self.send)
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in ({"type": "websocket.connect"}, *messages):
            self.messages.put_nowait(message)

    @property
    def transport(self) -> asyncio.Transport:
        return self.wire

    def attach(self, client: FrameClient) -> bool:
        self.client = None if self.refuses else client
        return not self.refuses

    def stop_keepalive(self) -> None:
        self.stopped_keepalive += 1

    def ping(self) -> None:
        self.pings += 1

    def pause_writing(self) -> None:
        self.writable.clear()
        if self.client is not None:
            self.client.paused()

    def resume_writing(self) -> None:
        self.writable.set()
        if self.client is not None:
            self.client.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self.end()
        self.messages.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def end(self) -> None:
        """No frames can be written any more."""
        client, self.client = self.client, None
        if client is not None:
            client.ended()

    async def receive(self) -> Message:
        return await self.messages.get()

    async def send(self, message: Message) -> None:
        if self.client is not None:
            self.client.flush()
        self.taken.append(message)
        if message["type"] == "websocket.close":
            self.end()
            self.messages.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    @property
    def frames(self) -> list[OnWire]:
        """What the peer got."""
        return split_frames(self.wire.received)


def gathered(
    server: FakeServer, gatherer: Gatherer | None = None, *, queue_bytes: int | None = None
) -> GatheredTransport:
    """A transport over a fake server, not accepted yet."""
    gatherer = gatherer or Gatherer(asyncio.get_running_loop())
    return GatheredTransport(WebSocketTransport(server.websocket), server, gatherer, queue_bytes=queue_bytes)


async def accepted(
    server: FakeServer, gatherer: Gatherer | None = None, *, queue_bytes: int | None = None
) -> GatheredTransport:
    """A transport over a fake server, accepted."""
    transport = gathered(server, gatherer, queue_bytes=queue_bytes)
    await transport.accept(subprotocol=None, headers=())
    return transport


async def piped_link(
    server: FakeServer,
    owner: FakeOwner | None = None,
    *,
    queue: QueueLimits | None = None,
    limits: Limits | None = None,
    heartbeat: Heartbeat | None = None,
    beat: Payload | None = None,
    gatherer: Gatherer | None = None,
) -> Link:
    """A link over a fake server that takes frames: accepted, started and open; without `beat` it sends pings."""
    queue = queue or QueueLimits()
    transport = gathered(server, gatherer, queue_bytes=queue.bytes)
    link = Link(
        transport,
        owner or FakeOwner(),
        queue=queue,
        overflow=Overflow.CLOSE,
        limits=limits or Limits(),
        rate_limit=None,
        heartbeat=heartbeat,
        beat=beat,
    )
    await transport.accept(subprotocol=None, headers=())
    link.start()
    link.open()
    return link
