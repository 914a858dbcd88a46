"""A room full of people who are present, without sockets."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.silent import SilentClient
from fastapi_rooms import Connection, Presence, PresenceDiff, RoomManager
from fastapi_rooms.brokers import Broker

ROOM: Final = "everyone"
PATIENCE_SECONDS: Final = 120.0


class Attended(RoomManager):
    """Notes what it is told of the room.

    Attributes:
        told: How many users there were, as it was last told.
    """

    def __init__(self, broker: Broker, presence: Presence | None) -> None:
        super().__init__(broker=broker, presence=presence)
        self.told = 0
        self._news = asyncio.Event()

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        self.told = diff.count
        self._news.set()

    async def until(self, users: int) -> None:
        """Wait until it was told of so many.

        Raises:
            TimeoutError: It was not.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.told != users:
                self._news.clear()
                await self._news.wait()


@dataclass
class Crowd:
    """Connections of one process, each of a user of its own."""

    manager: Attended
    members: list[Connection] = field(default_factory=list)
    guests: list[Connection] = field(default_factory=list)


@asynccontextmanager
async def crowd(
    name: str, broker: Broker, presence: Presence | None, *, members: int, guests: int
) -> AsyncGenerator[Crowd]:
    """So many members of the room, and so many who are in no room yet, until the block is left."""
    one = Crowd(Attended(broker, presence))
    async with one.manager.lifespan(), AsyncExitStack() as stack:
        for kind, number in ((one.members, members), (one.guests, guests)):
            for _ in range(number):
                user = f"{name}-{len(one.members) + len(one.guests)}"
                websocket = SilentClient().websocket()
                kind.append(await stack.enter_async_context(one.manager.connect(websocket, user_id=user)))
        for connection in one.members:
            await one.manager.join(connection, ROOM)
        yield one


async def settled(crowds: Sequence[Crowd], users: int) -> None:
    """Wait until every process was told of so many users."""
    for one in crowds:
        await one.manager.until(users)
