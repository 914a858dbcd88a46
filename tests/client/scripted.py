"""A hub that says what a test wants it to say, on a real WebSocket."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from fastapi_rooms.client import RoomsClient
from fastapi_rooms.protocol.reading import SUBPROTOCOL
from unit.fakes import SOON

Frame = dict[str, Any]

AT_ONCE: Any = {"min_delay": 0.001, "max_delay": 0.01}
"""Options of a client that comes back at once."""


class Line:
    """One connection of a client, as the hub has it.

    Attributes:
        closed: The client's close code, once it is gone.
    """

    def __init__(self, socket: ServerConnection) -> None:
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._socket = socket
        self._heard: deque[Frame] = deque()

    async def hear(self, kind: str) -> Frame:
        """The next frame, which is of this type."""
        async with asyncio.timeout(SOON):
            while not self._heard:
                message = json.loads(await self._socket.recv())
                self._heard.extend(message if isinstance(message, list) else [message])
        frame = self._heard.popleft()
        assert frame["type"] == kind, frame
        return frame

    async def say(self, *frames: Frame) -> None:
        await self._socket.send(json.dumps(frames))

    async def say_raw(self, message: str | bytes) -> None:
        await self._socket.send(message)

    async def welcome(self, *, heartbeat: float | None = None, user: str | None = "ann") -> Frame:
        """Answer `connect`; it."""
        connect = await self.hear("connect")
        told = {"protocol": "rooms.v1", "connection": "c", "user": user, "heartbeat": heartbeat}
        await self.say({"type": "connected", "id": connect["id"], **told})
        return connect

    async def admit(self, **joined: Any) -> Frame:
        """Answer `join`; it."""
        join = await self.hear("join")
        await self.say({"type": "joined", "id": join["id"], "room": join["room"], **joined})
        return join

    async def close(self, code: int, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def drop(self) -> None:
        """Break it, without a word."""
        self._socket.transport.abort()


class ScriptedHub:
    """Where clients come to.

    Attributes:
        url: For a client.
        opened: How many have come.
    """

    url: str

    def __init__(self) -> None:
        self.opened = 0
        self._lines: asyncio.Queue[Line] = asyncio.Queue()

    async def line(self) -> Line:
        """The next connection."""
        async with asyncio.timeout(SOON):
            return await self._lines.get()

    async def asked(self) -> tuple[Line, Frame]:
        """The next connection that says `connect`, and that: where time is short, some are given up before."""
        while True:
            line = await self.line()
            with suppress(ConnectionClosed):
                return line, await line.hear("connect")

    async def _serve(self, socket: ServerConnection) -> None:
        line = Line(socket)
        self.opened += 1
        self._lines.put_nowait(line)
        await socket.wait_closed()
        try:
            await socket.recv()
        except ConnectionClosed as error:
            line.closed.set_result(1006 if error.rcvd is None else error.rcvd.code)


@asynccontextmanager
async def scripted(*, protocol: str | None = SUBPROTOCOL) -> AsyncIterator[ScriptedHub]:
    """A hub that does nothing by itself."""
    hub = ScriptedHub()
    options: Any = {"subprotocols": None if protocol is None else [Subprotocol(protocol)], "ping_interval": None}
    async with serve(hub._serve, "127.0.0.1", 0, close_timeout=1, **options) as server:
        hub.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/live"
        yield hub


@asynccontextmanager
async def talking(**options: Any) -> AsyncIterator[tuple[RoomsClient, ScriptedHub]]:
    """A client that comes back at once, and its hub."""
    async with scripted() as hub, RoomsClient(hub.url, transport="websocket", **{**AT_ONCE, **options}) as client:
        yield client, hub


async def connected(hub: ScriptedHub, **options: Any) -> Line:
    """The next connection, welcomed."""
    line = await hub.line()
    await line.welcome(**options)
    return line
