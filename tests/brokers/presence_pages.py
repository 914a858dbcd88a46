"""Clients of rooms with presence: each keeps a list of who is there, from a snapshot and diffs."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import Connection, Presence, PresenceDiff, RoomManager
from fastapi_rooms.brokers import Broker
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.testing import Client, eventually

from .engines import Engine
from .scale import LONGER
from .workers import SOON

_PREFIXES = itertools.count()

PATIENT = Presence(grace=60.0, ttl=120.0, refresh=25.0, interval=0.0)
"""Nobody leaves, unless on purpose."""

HASTY = Presence(grace=0.3, ttl=60.0, refresh=0.3, interval=0.0)
"""Who has gone leaves soon, and what was lost is noticed soon."""

BRIEF = Presence(grace=0.2, ttl=max(6.0, 2.0 * LONGER), refresh=0.5 * LONGER, interval=0.0)
"""A process that is dead is given up soon, and one that is late is not."""


class Shown(RoomManager[Any, Any]):
    """Clients get a snapshot when they join, and then diffs. Who is called "ghost" is not shown."""

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        return None if connection.user_id == "ghost" else {"tab": connection.http.query_params.get("tab", "")}

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        await connection.send({"snapshot": await self.who(room)})

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        await self.broadcast_here({"diff": diff}, room=room)


class Page:
    """What one client knows.

    Attributes:
        users: For each user the metadata of its tabs; empty where there are too many.
        count: How many there are.
        seen: All that was news, in order: "+ann", "-bob", "~ann".
        bytes: All that it was sent.
    """

    def __init__(self, receive: Callable[[], Awaitable[str | bytes]]) -> None:
        self._receive = receive
        self.users: dict[str, list[str]] = {}
        self.count = 0
        self.seen: list[str] = []
        self.bytes = 0
        self._version: int | None = None

    async def until(self, condition: Callable[["Page"], bool], *, within: float = SOON) -> None:
        """Read until it is so."""
        async with asyncio.timeout(within):
            while self._version is None or not condition(self):
                text = await self._receive()
                self.bytes += len(text)
                self._take(json.loads(text))

    async def until_there(self, *users: str) -> None:
        """Read until these, and no others, are there."""
        await self.until(lambda page: page.users.keys() == set(users))

    async def until_seen(self, *words: str) -> None:
        """Read until all of these were told."""
        await self.until(lambda page: set(words) <= set(page.seen))

    def _take(self, message: dict[str, Any]) -> None:
        if "snapshot" in message:
            snapshot = message["snapshot"]
            self._version, self.count = snapshot["version"], snapshot["count"]
            self.users = {user: _tabs(tabs) for user, tabs in snapshot["users"].items()}
            return
        diff = message.get("diff")
        if diff is None or self._version is None or diff["version"] <= self._version:
            return
        self._version, self.count = diff["version"], diff["count"]
        if not diff["listed"]:
            self.users = {}
        for sign, kind in (("+", "joins"), ("~", "updates")):
            for user, tabs in diff[kind].items():
                if self.users.get(user) != _tabs(tabs):  # else it was in the snapshot
                    self.users[user] = _tabs(tabs)
                    self.seen.append(sign + user)
        for user in diff["leaves"]:
            self.users.pop(user, None)
            self.seen.append("-" + user)


def _tabs(tabs: list[dict[str, Any]]) -> list[str]:
    return [tab["metadata"].get("tab", "") for tab in tabs]


class Process:
    """What one process has."""

    def __init__(self, broker: Broker, presence: Presence) -> None:
        self.manager = Shown(broker=broker, presence=presence)
        routes = [WebSocketRoute("/{room}/{user}", self._endpoint), WebSocketRoute("/{room}", self._endpoint)]
        self.client = Client(Starlette(lifespan=self.manager.lifespan, routes=routes), timeout=SOON)
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def page(self, room: str, user: str | None, *, tab: str = "") -> AsyncIterator[Page]:
        """A client in a room, which has its snapshot."""
        path = f"/{room}" if user is None else f"/{room}/{user}"
        async with self.client.websocket(f"{path}?tab={tab}") as socket:
            page = Page(socket.receive_text)
            await page.until(lambda _: True)
            yield page

    def pretend(self, room: str, user: str) -> None:
        """Somebody is in a room, as presence knows it: a thousand sockets would take long."""
        assert isinstance(self.manager._across, Clustered)
        presences = self.manager._across._presences
        http = SimpleNamespace(query_params={})
        presences.enter(cast("Connection[Any]", SimpleNamespace(id=f"of {user}", user_id=user, http=http)), room)

    def connections(self, user: str) -> list[Connection[Any]]:
        return [one for one in self.manager.connections if one.user_id == user]

    async def start(self) -> None:
        await self._stack.enter_async_context(self.client)

    async def stop(self) -> None:
        """Its lifespan ends; clients that are still there are sent away."""
        await self._stack.aclose()

    async def _endpoint(self, websocket: WebSocket) -> None:
        room, user = websocket.path_params["room"], websocket.path_params.get("user")
        await self.manager.serve(websocket, room=room, user_id=user)


@asynccontextmanager
async def processes(engine: Engine, presence: Presence, *, count: int = 2) -> AsyncIterator[list[Process]]:
    """So many, which know of each other."""
    prefix = f"presence{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        some = [Process(engine.broker(prefix=prefix), presence) for _ in range(count)]
        for one in some:
            await one.start()
            stack.push_async_callback(one.stop)
        for one in some:
            await eventually(partial(_knows, one, count - 1), timeout=SOON)
        yield some


def _knows(process: Process, others: int) -> bool:
    health = process.manager.health()
    return health is not None and health.peers == others
