"""Busiest: the busiest rooms and the slowest clients of this process, for the dashboard."""

from collections.abc import Iterator
from heapq import nlargest
from typing import Any

from pydantic import BaseModel

from fastapi_rooms import Connection, ConnectionManager, RoomManager

MOST = 5
"""Rows of each table."""


class BusyRoom(BaseModel):
    """A room, and how many messages a second its members got (those of their other rooms included)."""

    example: str
    room: str
    members: int
    rate: float


class SlowClient(BaseModel):
    """A client for which messages wait, or waited in vain: `age` in seconds is that of the oldest."""

    example: str
    client: str
    queued: int
    queued_bytes: int
    age: float
    dropped: int


class Busiest:
    """Looks through all connections of some managers, which costs a few microseconds for each of them."""

    def __init__(self) -> None:
        self.managers: dict[str, ConnectionManager[Any, Any]] = {}
        self._sent: dict[str, int] = {}

    def rooms(self, seconds: float) -> list[BusyRoom]:
        """The busiest since the last look, so many seconds ago."""
        sent = {connection.id: connection.statistics().sent for _, connection in self._connections()}
        news = {each: count - self._sent.get(each, 0) for each, count in sent.items()}
        self._sent = sent
        rooms = (
            BusyRoom(
                example=name,
                room=room,
                members=manager.count_here(room),
                rate=sum(news[member.id] for member in manager.members_here(room)) / seconds,
            )
            for name, manager in self.managers.items()
            if isinstance(manager, RoomManager)
            for room in manager.rooms
        )
        return nlargest(MOST, rooms, key=lambda one: (one.rate, one.members))

    def clients(self) -> list[SlowClient]:
        """Of those for which something waits or was dropped: first whose oldest message has waited longest."""
        clients = (self._client(name, connection) for name, connection in self._connections())
        slow = (one for one in clients if one.queued or one.dropped)
        return nlargest(MOST, slow, key=lambda one: (one.age, one.queued_bytes, one.dropped))

    def _client(self, name: str, connection: Connection[Any]) -> SlowClient:
        figures = connection.statistics()
        drops = figures.dropped
        return SlowClient(
            example=name,
            client=connection.id[-8:],
            queued=figures.queued,
            queued_bytes=figures.queued_bytes,
            age=figures.oldest_queued_age,
            dropped=drops.oldest + drops.newest,
        )

    def _connections(self) -> Iterator[tuple[str, Connection[Any]]]:
        for name, manager in self.managers.items():
            for connection in manager.connections:
                yield name, connection
