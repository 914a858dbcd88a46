"""`Room`: a handle on one room of a manager, and who is in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol

from fastapi_rooms.connection import Connection
from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.history_ports import Remembered
from fastapi_rooms.hooks import UserT
from fastapi_rooms.memberships import Joined
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceView


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a room, wherever it is connected.

    Attributes:
        connection_id: The `id` of the connection.
        user_id: Whose it is, or `None`.
    """

    connection_id: str
    user_id: str | None


class Members(tuple[Member, ...]):
    """The members of a room, everywhere.

    Attributes:
        missing: Ids of processes that did not say theirs in time: those members are not among these.
    """

    missing: frozenset[str] = frozenset()


class Count(int):
    """How many members a room has, everywhere.

    Attributes:
        missing: Ids of processes that did not say theirs in time: those members are not counted.
    """

    missing: frozenset[str] = frozenset()


class Rooms(Protocol[UserT]):
    """What a handle asks of its manager."""

    def members_here(self, room: str) -> tuple[Connection[UserT], ...]:
        """The members in this process."""
        ...

    async def members(self, room: str) -> Members:
        """The members everywhere."""
        ...

    async def count(self, room: str) -> Count:
        """How many they are."""
        ...

    async def broadcast(
        self,
        message: object,
        *,
        room: str,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Delivery:
        """Send a message to the members."""
        ...

    async def join(
        self, connection: Connection[UserT], room: str, *, since: str | Position | None = None
    ) -> Joined:
        """Make a connection a member."""
        ...

    async def position(self, room: str) -> Position:
        """Where its history is."""
        ...

    async def past(self, room: str, *, last: int) -> list[Remembered]:
        """The last of its history."""
        ...

    async def who(self, room: str) -> PresenceView:
        """Who is present."""
        ...

    async def update_presence(
        self, connection: Connection[UserT], room: str, metadata: Mapping[str, object]
    ) -> bool:
        """What is told of a member."""
        ...

    async def leave(self, connection: Connection[UserT], room: str) -> bool:
        """End a membership."""
        ...

    async def close_room(self, room: str, *, code: int | None = None, reason: str = "") -> int:
        """End all memberships."""
        ...


class Room(Generic[UserT]):
    """A light handle on one room of a manager.

    Attributes:
        name: The room's name.
    """

    __slots__ = ("_manager", "name")

    def __init__(self, manager: Rooms[UserT], name: str) -> None:
        self._manager = manager
        self.name = name

    def __repr__(self) -> str:
        return f"<Room {self.name!r}: {len(self.connections)} connections here>"

    @property
    def connections(self) -> tuple[Connection[UserT], ...]:
        """A snapshot of the members in this process, in the order of joining."""
        return self._manager.members_here(self.name)

    async def members(self) -> Members:
        """The members everywhere; other processes have `BrokerTimings.answer` seconds to say theirs."""
        return await self._manager.members(self.name)

    async def count(self) -> Count:
        """How many members there are everywhere; other processes have `BrokerTimings.answer` seconds to say."""
        return await self._manager.count(self.name)

    async def broadcast(
        self,
        message: object,
        *,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Delivery:
        """Send one message to the members; see `RoomManager.broadcast`."""
        return await self._manager.broadcast(
            message,
            room=self.name,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            idempotency_key=idempotency_key,
            version=version,
        )

    async def join(self, connection: Connection[UserT], *, since: str | Position | None = None) -> Joined:
        """Make a connection a member; see `RoomManager.join`."""
        return await self._manager.join(connection, self.name, since=since)

    async def position(self) -> Position:
        """Where the room's history is now; see `RoomManager.position`."""
        return await self._manager.position(self.name)

    async def history(self, *, last: int = 50) -> list[Remembered]:
        """The last messages of the room's history, oldest first; see `RoomManager.past`."""
        return await self._manager.past(self.name, last=last)

    async def presence(self) -> PresenceView:
        """Who is present; see `RoomManager.who`."""
        return await self._manager.who(self.name)

    async def update_presence(self, connection: Connection[UserT], metadata: Mapping[str, object]) -> bool:
        """Tell everybody this of a member; see `RoomManager.update_presence`."""
        return await self._manager.update_presence(connection, self.name, metadata)

    async def leave(self, connection: Connection[UserT]) -> bool:
        """End a membership; see `RoomManager.leave`."""
        return await self._manager.leave(connection, self.name)

    async def close(self, *, code: int | None = None, reason: str = "") -> int:
        """End all memberships; see `RoomManager.close_room`."""
        return await self._manager.close_room(self.name, code=code, reason=reason)
