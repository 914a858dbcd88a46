"""Who is connected, and who is in which room. Synchronous: between two awaits it is always consistent."""

from collections.abc import Collection, Iterator
from typing import Any, Generic

from typing_extensions import TypeVar

from fastapi_rooms.connection import Connection

UserT = TypeVar("UserT", default=Any)


class Registry(Generic[UserT]):
    """Indexes by id, by user and by room; every operation is O(1) in their sizes.

    A connection's own rooms are kept on the connection, so leaving all of them costs what it is in. Users and
    rooms vanish with their last connection. Snapshots are the very same until somebody comes or goes: they take
    eight bytes for each connection, and for each member of a larger room that was told something.

    Args:
        keep_from: Members of a room from which its snapshot is kept: smaller ones are quickly made.
    """

    __slots__ = ("_connections", "_everyone", "_keep_from", "_rooms", "_snapshots", "_users")

    def __init__(self, *, keep_from: int = 32) -> None:
        self._keep_from = keep_from
        self._connections: dict[str, Connection[UserT]] = {}
        self._users: dict[str, dict[Connection[UserT], None]] = {}
        self._rooms: dict[str, dict[Connection[UserT], None]] = {}
        self._everyone: tuple[Connection[UserT], ...] | None = None
        self._snapshots: dict[str, tuple[Connection[UserT], ...]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, connection: Connection[UserT]) -> bool:
        return connection.id in self._connections

    def __iter__(self) -> Iterator[Connection[UserT]]:
        """A snapshot, in the order of connecting: what happens meanwhile does not disturb it."""
        return iter(self.everyone())

    @property
    def users(self) -> Collection[str]:
        """The ids of users with at least one connection."""
        return self._users.keys()

    @property
    def rooms(self) -> Collection[str]:
        """The names of rooms with at least one member."""
        return self._rooms.keys()

    def get(self, connection_id: str) -> Connection[UserT] | None:
        """The connection with this id."""
        return self._connections.get(connection_id)

    def everyone(self) -> tuple[Connection[UserT], ...]:
        """A snapshot of all connections, in the order of connecting."""
        if self._everyone is None:
            self._everyone = tuple(self._connections.values())
        return self._everyone

    def of_user(self, user_id: str) -> tuple[Connection[UserT], ...]:
        """A snapshot of one user's connections."""
        return tuple(self._users.get(user_id, ()))

    def in_room(self, room: str) -> tuple[Connection[UserT], ...]:
        """A snapshot of one room's members, in the order of joining; of a large room the very same as before."""
        snapshot = self._snapshots.get(room)
        if snapshot is None:
            snapshot = tuple(self._rooms.get(room, ()))
            if len(snapshot) >= self._keep_from:
                self._snapshots[room] = snapshot
        return snapshot

    def count_of_user(self, user_id: str) -> int:
        """How many connections a user has."""
        return len(self._users.get(user_id, ()))

    def count_in_room(self, room: str) -> int:
        """How many members a room has."""
        return len(self._rooms.get(room, ()))

    def add(self, connection: Connection[UserT]) -> None:
        """Register a connection, under its user where it has one."""
        self._connections[connection.id] = connection
        self._everyone = None
        self.index_user(connection)

    def index_user(self, connection: Connection[UserT]) -> None:
        """Find the connection under its user from now on; its `user_id` was not known when it was added."""
        if connection.user_id is not None:
            self._users.setdefault(connection.user_id, {})[connection] = None

    def remove(self, connection: Connection[UserT]) -> dict[str, object]:
        """Forget a connection; harmless where it is not registered.

        Returns:
            The rooms it was in, in the order of joining, with the note of each membership.
        """
        if self._connections.pop(connection.id, None) is None:
            return {}
        self._everyone = None
        if connection.user_id is not None:
            _discard(self._users, connection.user_id, connection)
        rooms = connection.memberships or {}
        for room in rooms:
            self._snapshots.pop(room, None)
            _discard(self._rooms, room, connection)
        connection.memberships = None
        return rooms

    def join(self, connection: Connection[UserT], room: str, note: object = None) -> bool:
        """Make a registered connection a member, with a note that the caller may keep with the membership.

        Returns:
            Whether it is one newly; False too where the connection is not registered (any more).
        """
        if connection.id not in self._connections:
            return False
        if connection.memberships is None:
            connection.memberships = {}
        elif room in connection.memberships:
            return False
        connection.memberships[room] = note
        self._rooms.setdefault(room, {})[connection] = None
        self._snapshots.pop(room, None)
        return True

    def leave(self, connection: Connection[UserT], room: str) -> bool:
        """End a membership; False where there was none."""
        if not connection.memberships or room not in connection.memberships:
            return False
        del connection.memberships[room]
        if not connection.memberships:
            connection.memberships = None
        self._snapshots.pop(room, None)
        _discard(self._rooms, room, connection)
        return True


def _discard(index: dict[str, dict[Connection[UserT], None]], name: str, connection: Connection[UserT]) -> None:
    members = index.get(name)
    if members is not None:
        members.pop(connection, None)
        if not members:
            del index[name]
