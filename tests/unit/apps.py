"""Managers that note what happens to them, and apps of one endpoint."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import (
    Connection,
    Disconnect,
    Dropped,
    InvalidMessage,
    Limits,
    QueueLimits,
    RoomManager,
)
from fastapi_rooms.testing import Client, WaitTimeout, eventually
from unit.fakes import SHORT

Endpoint = Callable[[WebSocket], Awaitable[None]]

QUICK = QueueLimits(messages=4, send_timeout=1.0, close_timeout=0.1)
BRIEF = Limits(handler_grace=SHORT, hook_timeout=SHORT * 3, authentication_timeout=SHORT * 5)


class Noting(RoomManager[Any, Any]):
    """Notes every hook in `log`, in words; `holds` makes a hook wait, `errors` makes it raise.

    Attributes:
        log: Such as "connect", "join red", "disconnect client 1001".
        holds: What a hook waits for, by its first word in the log.
        errors: What it raises then.
    """

    queue = QUICK

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.log: list[str] = []
        self.holds: dict[str, asyncio.Event] = {}
        self.errors: dict[str, BaseException] = {}
        self.dropped: list[Dropped] = []
        self.reported: list[BaseException] = []

    async def authorize(self, connection: Connection[Any], room: str) -> bool:
        await self._note("authorize", room)
        return room != "secret"

    async def on_connect(self, connection: Connection[Any]) -> None:
        await self._note("connect")

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        await self._note("join", room)

    async def on_message(self, connection: Connection[Any], message: Any) -> None:
        await self._note("message", str(message))

    async def on_invalid_message(self, connection: Connection[Any], error: InvalidMessage) -> None:
        await self._note("invalid")
        await super().on_invalid_message(connection, error)

    async def on_leave(self, connection: Connection[Any], room: str) -> None:
        await self._note("leave", room)

    async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
        await self._note("disconnect", f"{disconnect.reason.value} {disconnect.code}")

    async def on_overflow(self, connection: Connection[Any], dropped: Dropped) -> None:
        self.dropped.append(dropped)
        await self._note("overflow")

    async def on_error(self, connection: Connection[Any], error: BaseException) -> None:
        self.reported.append(error)
        await self._note("error")

    async def _note(self, hook: str, more: str = "") -> None:
        self.log.append(f"{hook} {more}".strip())
        if hook in self.holds:
            await self.holds[hook].wait()
        if hook in self.errors:
            raise self.errors[hook]

    def hold(self, hook: str) -> asyncio.Event:
        """Make a hook wait until the event is set."""
        self.holds[hook] = asyncio.Event()
        return self.holds[hook]

    async def noted(self, entry: str, *, times: int = 1) -> None:
        """Wait until a hook was called."""
        try:
            await eventually(lambda: self.log.count(entry) >= times)
        except WaitTimeout as error:
            error.add_note(f"{entry!r} is not in {self.log}")
            raise

    async def emptied(self) -> None:
        """Wait until nothing is left of any connection, its hooks included."""
        await eventually(lambda: not self._host.sessions, awaited="the last session to end")


def app_of(endpoint: Endpoint, manager: RoomManager[Any, Any] | None = None) -> Starlette:
    """An app whose one WebSocket endpoint has the path `/{room}`; with a manager, in its lifespan."""
    lifespan = None if manager is None else manager.lifespan
    return Starlette(routes=[WebSocketRoute("/{room}", endpoint)], lifespan=lifespan)


def client_of(endpoint: Endpoint, manager: RoomManager[Any, Any] | None = None, **options: Any) -> Client:
    """A client of `app_of` these."""
    return Client(app_of(endpoint, manager), **options)


def room_of(websocket: WebSocket) -> str:
    """The room that the client asked for."""
    return str(websocket.path_params["room"])


def staying(manager: RoomManager[Any, Any], **options: Any) -> Endpoint:
    """An endpoint that joins the room of the path and echoes until the client leaves."""

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room=room_of(websocket), **options) as connection:
            async for message in connection:
                await connection.send(message)

    return endpoint


async def for_ever() -> None:
    """Only a cancellation ends it."""
    await asyncio.Event().wait()
