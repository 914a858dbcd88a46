"""Clients that other people wrote, each as strict as they made it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any, Final, Protocol

import picows
import picows.websockets
import websockets.asyncio.client
import websockets.sync.client

from .reader import Message

TIMEOUT: Final = 10.0
LARGEST: Final = 8 * 1024 * 1024


class Peer(Protocol):
    """What a test does with any of them."""

    async def send(self, message: Message) -> None:
        """Send one message."""
        ...

    async def receive(self) -> Message:
        """The next message; an error of the client's own if it does not like a byte."""
        ...


class _Asyncio:
    """`websockets`, and the client of `picows.websockets`, which has the same methods."""

    def __init__(
        self, connection: "websockets.asyncio.client.ClientConnection | picows.websockets.ClientConnection"
    ) -> None:
        self._connection = connection

    async def send(self, message: Message) -> None:
        await self._connection.send(message)

    async def receive(self) -> Message:
        async with asyncio.timeout(TIMEOUT):
            return await self._connection.recv()


class _Sync:
    """`websockets`, blocking, in a thread."""

    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: Message) -> None:
        await asyncio.to_thread(self._connection.send, message)

    async def receive(self) -> Message:
        return await asyncio.to_thread(self._connection.recv, TIMEOUT)


class _Picows(picows.WSListener):
    """picows' own client; it has no permessage-deflate."""

    def __init__(self) -> None:
        self.transport: picows.WSTransport | None = None
        self._came: asyncio.Queue[Message | picows.WSCloseCode] = asyncio.Queue()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        assert frame.fin, "the server sends whole messages"
        if frame.msg_type == picows.WSMsgType.TEXT:
            self._came.put_nowait(frame.get_payload_as_utf8_text())
        elif frame.msg_type == picows.WSMsgType.BINARY:
            self._came.put_nowait(frame.get_payload_as_bytes())
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            self._came.put_nowait(frame.get_close_code())

    async def send(self, message: Message) -> None:
        assert self.transport is not None
        if isinstance(message, str):
            self.transport.send(picows.WSMsgType.TEXT, message.encode())
        else:
            self.transport.send(picows.WSMsgType.BINARY, message)

    async def receive(self) -> Message:
        async with asyncio.timeout(TIMEOUT):
            came = await self._came.get()
        assert not isinstance(came, picows.WSCloseCode), f"closed with {came}"
        return came


Tls = ssl.SSLContext | None
Opener = Callable[[str, str | None, Tls], AbstractAsyncContextManager[Peer]]
"""What opens a connection to a URL, with `compression` as in `websockets` ("deflate" or `None`)."""


@asynccontextmanager
async def with_websockets(url: str, compression: str | None, tls: Tls) -> AsyncIterator[Peer]:
    """`websockets`, asyncio."""
    opening = websockets.asyncio.client.connect(url, compression=compression, ssl=tls, max_size=LARGEST)
    async with opening as connection:
        _check(compression, connection.response)
        yield _Asyncio(connection)
    assert connection.protocol.close_code == 1000


@asynccontextmanager
async def with_websockets_sync(url: str, compression: str | None, tls: Tls) -> AsyncIterator[Peer]:
    """`websockets`, blocking."""

    stack = ExitStack()

    def connect() -> websockets.sync.client.ClientConnection:
        opening = websockets.sync.client.connect(url, compression=compression, ssl=tls, max_size=LARGEST)
        return stack.enter_context(opening)

    connection = await asyncio.to_thread(connect)
    try:
        _check(compression, connection.response)
        yield _Sync(connection)
    finally:
        await asyncio.to_thread(stack.close)
    assert connection.protocol.close_code == 1000


@asynccontextmanager
async def with_picows_websockets(url: str, compression: str | None, tls: Tls) -> AsyncIterator[Peer]:
    """The client that picows makes after `websockets`, on its own parser; it knows permessage-deflate."""
    opening = picows.websockets.connect(url, compression=compression, ssl=tls, proxy=None, max_size=LARGEST)
    async with opening as connection:
        _check(compression, connection.response)
        yield _Asyncio(connection)
    assert connection.close_code == 1000


@asynccontextmanager
async def with_picows(url: str, compression: str | None, tls: Tls) -> AsyncIterator[Peer]:
    """picows' own client; it has no permessage-deflate."""
    assert compression is None
    transport, listener = await picows.ws_connect(_Picows, url, ssl_context=tls, max_frame_size=LARGEST)
    assert isinstance(listener, _Picows)
    yield listener
    transport.send_close(picows.WSCloseCode.OK)
    async with asyncio.timeout(TIMEOUT):
        await transport.wait_disconnected()
    closed = transport.close_handshake.recv
    assert closed is not None
    assert closed.code == picows.WSCloseCode.OK


def _check(compression: str | None, response: Any) -> None:
    answer = response.headers.get("Sec-WebSocket-Extensions")
    assert (compression is None) == (answer is None), f"{compression} was asked for, and {answer} negotiated"
