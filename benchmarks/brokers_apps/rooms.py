"""`RoomManager` with a broker, with its defaults; a member's server is a stub that takes everything at once."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

from starlette.types import Message

from benchmarks.brokers_apps.contract import Deliver, Publish
from benchmarks.silent import SilentClient
from fastapi_rooms import RoomManager
from fastapi_rooms.brokers.url import broker_from_url


class _Member(SilentClient):
    __module__ = SilentClient.__module__

    def __init__(self, deliver: Deliver) -> None:
        super().__init__()
        self._deliver = deliver

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            self._deliver(message["text"])
        else:
            await super().send(message)


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    async with _manager(url) as manager:
        yield lambda room, text: manager.broadcast(text, room=room)


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    async with _manager(url) as manager, AsyncExitStack() as stack:
        for room in rooms:
            websocket = _Member(deliver).websocket()
            await stack.enter_async_context(manager.connect(websocket, room=room))
        yield


@asynccontextmanager
async def _manager(url: str) -> AsyncGenerator[RoomManager]:
    if url.startswith("postgresql:"):  # only then is its driver needed
        await import_module("fastapi_rooms.brokers.postgres").PostgresBroker(url).create_schema()
    manager = RoomManager(broker=broker_from_url(url))
    async with manager.lifespan():
        yield manager
