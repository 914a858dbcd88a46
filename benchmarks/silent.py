"""A WebSocket without a socket, for what is measured inside one process."""

import asyncio

from starlette.types import Message
from starlette.websockets import WebSocket


class SilentClient:
    """A client that says nothing, on a server that takes everything."""

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
