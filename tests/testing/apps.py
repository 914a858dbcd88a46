"""Small ASGI apps for the tests of the client."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send

Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


async def accept(receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Puppet:
    """An endpoint that accepts and then does nothing until `release`: the test plays the app by hand."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self._receive: Receive | None = None
        self._send: Send | None = None
        self._release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        await accept(receive, send)
        await self._release.wait()

    def release(self) -> None:
        self._release.set()

    async def receive(self) -> Message:
        assert self._receive is not None
        return await self._receive()

    async def send(self, message: Message) -> None:
        assert self._send is not None
        await self._send(message)

    async def text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.send({"type": "websocket.close", "code": code, "reason": reason})
