"""Overview: what goes on in the examples of this process, once a second, while somebody looks at the gallery."""

import asyncio
import os
import time
from typing import Any

from pydantic import BaseModel

from fastapi_rooms import ConnectionManager, Hub, RoomManager
from fastapi_rooms.brokers.url import broker_from_url

BROKER = os.environ.get("ROOMS_BROKER")
ROOM = "gallery"
INTERVAL = 1.0


class Example(BaseModel):
    """An example now: its connections, and how many messages a second they get."""

    connections: int
    rate: float


class Seen(BaseModel):
    """What the front page shows. `broker` is the kind of broker, or `None`; `peers` are the other processes."""

    examples: dict[str, Example]
    broker: str | None
    connected: bool
    peers: int


class Overview(Hub[None]):
    """Looks at managers that it is told of; whoever looks at the gallery is in its one room."""

    managers: dict[str, ConnectionManager[Any, Any]]
    producer: asyncio.Task[None] | None = None

    async def authorize(self, connection: object, room: str) -> bool:
        return room == ROOM

    async def on_room_active(self, room: str) -> None:
        self.producer = asyncio.create_task(self.produce())

    async def on_room_idle(self, room: str) -> None:
        if self.producer:
            self.producer.cancel()
            await asyncio.wait([self.producer])
            self.producer = None

    async def produce(self) -> None:
        at, sent = time.monotonic(), self.sent()
        while True:
            await self.broadcast_here(self.seen(sent, time.monotonic() - at), room=ROOM, key="seen")
            at, sent = time.monotonic(), self.sent()
            await asyncio.sleep(INTERVAL)

    def sent(self) -> dict[str, int]:
        """Messages to clients since the start, for each example."""
        return {name: manager.statistics().total.sent for name, manager in self.managers.items()}

    def seen(self, before: dict[str, int], seconds: float) -> Seen:
        now = self.sent()
        examples = {
            name: Example(connections=len(manager), rate=(now[name] - before[name]) / max(seconds, INTERVAL / 2))
            for name, manager in self.managers.items()
        }
        healths = [one.health() for one in self.managers.values() if isinstance(one, RoomManager)]
        healthy = [one for one in healths if one is not None]
        return Seen(
            examples=examples,
            broker=type(self.broker).__name__.removesuffix("Broker") if self.broker else None,
            connected=all(one.connected for one in healthy),
            peers=max((one.peers for one in healthy), default=0),
        )


overview = Overview(broker=broker_from_url(BROKER, prefix="overview") if BROKER else None)
