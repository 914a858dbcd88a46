"""WebSockets without a socket, for what is measured inside one process."""

import asyncio

from starlette.types import Message
from starlette.websockets import WebSocket

from fastapi_rooms.frames import PLAIN
from fastapi_rooms.ports import SHARED_FRAMES_EXTENSION, FrameClient


class SilentClient:
    """A client that says nothing, on a server that takes everything at once."""

    __module__ = "uvicorn.silent"  # the library steps the `send` of servers that it knows: this stands for one

    def __init__(self) -> None:
        self.greeted = False
        self.closed = asyncio.Event()

    def websocket(self) -> WebSocket:
        return WebSocket({"type": "websocket", "headers": []}, self.receive, self.send)

    async def receive(self) -> Message:
        if not self.greeted:
            self.greeted = True
            return {"type": "websocket.connect"}
        await self.closed.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self.closed.set()


class StalledClient(SilentClient):
    """A client that has stopped reading: the server's `send` waits."""

    __module__ = SilentClient.__module__

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            await self.closed.wait()
        await super().send(message)


class SilentFrames(SilentClient):
    """A client that says nothing, on a server that takes frames: `SharedFramesProtocol` without a socket."""

    __module__ = SilentClient.__module__

    def __init__(self) -> None:
        super().__init__()
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport = _Nowhere()
        self.window_bits = PLAIN

    def websocket(self) -> WebSocket:
        scope = {"type": "websocket", "headers": [], "extensions": {SHARED_FRAMES_EXTENSION: {"server": self}}}
        return WebSocket(scope, self.receive, self.send)

    def attach(self, client: FrameClient) -> bool:
        return True

    def stop_keepalive(self) -> None:
        """There is none."""

    def ping(self) -> None:
        """Nobody answers."""


class _Nowhere(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """It is gone."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False
