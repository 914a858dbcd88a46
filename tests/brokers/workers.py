"""Several managers on one engine, as several processes have them: each with a broker, and clients, of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import Connection, Limits, RoomManager
from fastapi_rooms.brokers import Broker
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.testing import Client, WebSocketSession

from .scale import LONGER

SOON = max(20.0, 5.0 * LONGER)
"""Seconds that a test waits for what should happen at once: a busy machine may be late."""


class Manager(RoomManager[Any, Any]):
    """Notes what its broker does.

    Attributes:
        log: Such as "lost", "restored", "continuity lobby".
        joined: Who has joined, by user.
    """

    def __init__(self, broker: Broker, **options: Any) -> None:
        super().__init__(broker=broker, limits=Limits(hook_timeout=2.0), **options)
        self.log: list[str] = []
        self.left: list[tuple[str | None, str]] = []
        self._noted = asyncio.Condition()

    async def on_broker_lost(self, error: Exception) -> None:
        await self._note("lost")

    async def on_broker_restored(self) -> None:
        await self._note("restored")

    async def on_continuity_lost(self, room: str) -> None:
        await self._note(f"continuity {room}")

    async def on_leave(self, connection: Connection[Any], room: str) -> None:
        self.left.append((connection.user_id, room))

    async def logged(self, *words: str) -> None:
        """Wait until all of these were noted."""
        async with asyncio.timeout(SOON), self._noted:
            await self._noted.wait_for(lambda: all(word in self.log for word in words))

    async def _note(self, word: str) -> None:
        async with self._noted:
            self.log.append(word)
            self._noted.notify_all()


class Worker:
    """What one process has.

    Attributes:
        manager: Its manager.
        client: In-memory clients of its app.
    """

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self._stack = AsyncExitStack()
        app = Starlette(lifespan=manager.lifespan, routes=[WebSocketRoute("/{user}", self._endpoint)])
        self.client = Client(app, timeout=SOON)

    async def join(self, user: str, *rooms: str) -> WebSocketSession:
        """A client of this user, in these rooms."""
        socket = await self._stack.enter_async_context(self.client.websocket(f"/{user}"))
        await socket.send_text(json.dumps(rooms))
        assert await socket.receive_text() == "joined"
        return socket

    def hears_room(self, room: str) -> bool:
        """Whether it listens to the room's channel."""
        assert isinstance(self.manager._across, Clustered)
        cluster = self.manager._across.cluster
        return cluster.subscriptions.hears(cluster.channels.room(room))

    async def __aenter__(self) -> "Worker":
        await self._stack.enter_async_context(self.client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def _endpoint(self, websocket: WebSocket) -> None:
        user = websocket.path_params["user"]
        async with self.manager.connect(websocket, user_id=user) as connection:
            async for rooms in connection.iter_json():
                for room in rooms:
                    await self.manager.join(connection, room)
                await connection.send("joined")


MakeWorker = Callable[[], Worker]


@asynccontextmanager
async def workers(count: int, make: Callable[[], Manager]) -> AsyncIterator[list[Worker]]:
    """So many workers."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Worker(make())) for _ in range(count)]
