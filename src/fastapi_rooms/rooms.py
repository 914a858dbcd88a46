"""`RoomManager`: rooms on top of connections, and `Room`, a handle on one of them."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

from starlette.websockets import WebSocket

from fastapi_rooms.closing import check_close_code
from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import DisconnectReason
from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.hooks import MessageT, UserT
from fastapi_rooms.manager import NO_HEADERS, UNSET, ConnectionManager, Unset
from fastapi_rooms.memberships import Joined, Memberships
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit, RoomPolicy
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a room, wherever it is connected.

    Attributes:
        connection_id: The `id` of the connection.
        user_id: Whose it is, or `None`.
    """

    connection_id: str
    user_id: str | None


class RoomManager(ConnectionManager[UserT, MessageT]):
    """Connections that join rooms; everything of `ConnectionManager`, and rooms.

    A connection may be in several rooms. A room exists while it has a member; nothing is kept of an empty one,
    and a million memberships cost the same for each operation as a thousand. For one connection the hooks run
    in order: `on_connect`, `on_join` for each room, messages, `on_leave` for each room, `on_disconnect`.
    """

    def __init__(
        self,
        *,
        queue: QueueLimits | Unset = UNSET,
        overflow: Overflow | Unset = UNSET,
        limits: Limits | Unset = UNSET,
        rate_limit: RateLimit | Unset | None = UNSET,
        heartbeat: Heartbeat | Unset | None = UNSET,
    ) -> None:
        super().__init__(queue=queue, overflow=overflow, limits=limits, rate_limit=rate_limit, heartbeat=heartbeat)
        kind = type(self)
        watch_rooms = (
            kind.on_room_active is not RoomManager.on_room_active
            or kind.on_room_idle is not RoomManager.on_room_idle
        )
        self._memberships = Memberships(self._host, self, watch_rooms=watch_rooms)
        self._host.extension = self._memberships

    async def authorize(self, connection: Connection[UserT], room: str) -> bool:
        """Whether the connection may join; asked before every join. By default: yes.

        For the room given to `connect` it runs before accept, so a refusal is an HTTP 403 (with
        `authenticate=`, whose user is known later: close code 4507). It may raise `HTTPException` for another
        status. What else it raises refuses, is logged, and reported to `on_error`.
        """
        return True

    async def on_join(self, connection: Connection[UserT], room: str) -> None:
        """The connection is a member; broadcasts to the room reach it already."""

    async def on_leave(self, connection: Connection[UserT], room: str) -> None:
        """The connection is no member any more. Runs if and only if `on_join` began."""

    async def on_room_active(self, room: str) -> None:
        """The room's first member is here. Joins wait for it before their `on_join`: do not join it from here."""

    async def on_room_idle(self, room: str) -> None:
        """The room's last member is gone. Never overlaps `on_room_active` of the same room."""

    def room_policy(self, room: str) -> RoomPolicy | None:
        """How this room differs from the manager; `None`, the default: not at all.

        Called for every broadcast to the room: a pure and quick function of the name.
        """
        return None

    @property
    def rooms(self) -> tuple[str, ...]:
        """The names of the rooms that have a member here."""
        return tuple(self._host.registry.rooms)

    def room(self, name: str) -> "Room[UserT]":
        """A handle on a room, whether or not it has members. Costs nothing to make or to keep."""
        return Room(self, name)

    def members_here(self, room: str) -> tuple[Connection[UserT], ...]:
        """A snapshot of a room's members in this process, in the order of joining."""
        return self._host.registry.in_room(room)

    def count_here(self, room: str) -> int:
        """How many members a room has in this process; O(1)."""
        return self._host.registry.count_in_room(room)

    def connect(
        self,
        websocket: WebSocket,
        *,
        user: UserT | None = None,
        user_id: str | None = None,
        expires_at: float | None = None,
        authenticate: Authenticator | None = None,
        subprotocol: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = NO_HEADERS,
        room: str | None = None,
    ) -> Session[UserT]:
        """As `ConnectionManager.connect`, and join a room on arrival.

        Args:
            websocket: See there, as for all other arguments.
            user: See there.
            user_id: See there.
            expires_at: See there.
            authenticate: See there.
            subprotocol: See there.
            headers: See there.
            room: Authorized before accept, joined after `on_connect`. `None`: no room yet.

        Raises:
            ConnectionRefused: `authorize` refused (403), or as there.
        """
        return self._session(
            websocket,
            user=user,
            user_id=user_id,
            expires_at=expires_at,
            authenticate=authenticate,
            subprotocol=subprotocol,
            headers=headers,
            room=room,
        )

    async def serve(
        self,
        websocket: WebSocket,
        *,
        user: UserT | None = None,
        user_id: str | None = None,
        expires_at: float | None = None,
        authenticate: Authenticator | None = None,
        subprotocol: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = NO_HEADERS,
        room: str | None = None,
    ) -> None:
        """As `ConnectionManager.serve`, and join a room on arrival; see `connect`."""
        await self._serve(
            self.connect(
                websocket,
                user=user,
                user_id=user_id,
                expires_at=expires_at,
                authenticate=authenticate,
                subprotocol=subprotocol,
                headers=headers,
                room=room,
            )
        )

    async def join(self, connection: Connection[UserT], room: str) -> Joined:
        """Make a connection a member, if `authorize` allows it; then run `on_join`.

        Raises:
            JoinRefused: `authorize` said no, or a limit did. The connection is unharmed.
            ConnectionClosed: The connection has ended.
        """
        return await self._memberships.join(connection, room)

    async def leave(self, connection: Connection[UserT], room: str) -> bool:
        """End a membership and run `on_leave`.

        Called from a hook it does not wait for `on_leave`, which runs when that connection's `on_join` has ended.

        Returns:
            Whether the connection was a member.
        """
        return await self._memberships.leave(connection, room)

    async def broadcast(
        self,
        message: object,
        *,
        room: str | Unset = UNSET,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
    ) -> Delivery:
        """Send one message to a room; encoded once, and no client is waited for.

        Args:
            message: See `ConnectionManager.broadcast`, as for all other arguments.
            room: To whom. Omitted: every connection here. An explicit `None` is a `TypeError`: it would turn a
                missing room name into a message to everyone.
            exclude: See there.
            exclude_users: See there.
            key: See there.

        Raises:
            TypeError: `room` is not a `str`.
        """
        if isinstance(room, Unset):
            return await super().broadcast(message, exclude=exclude, exclude_users=exclude_users, key=key)
        if not isinstance(room, str):
            raise TypeError(f"broadcast(room={room!r}): omit room to reach everyone, or give a room's name")
        policy = self.room_policy(room)
        own = None if policy is None else policy.overflow
        return await self._deliver(
            self._host.registry.in_room(room),
            message,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            overflow=own,
            scope=None if own is None else room,
        )

    def broadcast_from_thread(
        self,
        message: object,
        *,
        room: str | Unset = UNSET,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        timeout: float | None = 10.0,
    ) -> Delivery:
        """`broadcast` for threads; see `ConnectionManager.broadcast_from_thread`."""
        call = partial(self.broadcast, message, room=room, exclude=exclude, exclude_users=exclude_users, key=key)
        return self._from_thread(call, timeout)

    async def close_room(self, room: str, *, code: int | None = None, reason: str = "") -> int:
        """End all memberships of a room here, with `on_leave` for each.

        Args:
            room: Which.
            code: Close the members' connections too, with this code. `None`: they stay connected.
            reason: For those that are closed.

        Returns:
            How many members it had.

        Raises:
            ConfigurationError: The code may not be sent.
        """
        members = self._host.registry.in_room(room)
        if code is None:
            await asyncio.gather(*(self.leave(connection, room) for connection in members))
        else:
            check_close_code(code)
            for connection in members:
                connection.link.shut(DisconnectReason.CLOSED, code, reason, flush=True)
            await asyncio.gather(*(connection.link.closed() for connection in members))
        return len(members)


class Room(Generic[UserT]):
    """A light handle on one room of a manager.

    Attributes:
        name: The room's name.
    """

    __slots__ = ("_manager", "name")

    def __init__(self, manager: RoomManager[UserT, Any], name: str) -> None:
        self._manager = manager
        self.name = name

    def __repr__(self) -> str:
        return f"<Room {self.name!r}: {len(self.connections)} connections here>"

    @property
    def connections(self) -> tuple[Connection[UserT], ...]:
        """A snapshot of the members in this process, in the order of joining."""
        return self._manager.members_here(self.name)

    async def members(self) -> tuple[Member, ...]:
        """The members everywhere."""
        return tuple(Member(connection_id=one.id, user_id=one.user_id) for one in self.connections)

    async def count(self) -> int:
        """How many members there are everywhere."""
        return self._manager.count_here(self.name)

    async def broadcast(
        self,
        message: object,
        *,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
    ) -> Delivery:
        """Send one message to the members; see `RoomManager.broadcast`."""
        return await self._manager.broadcast(
            message, room=self.name, exclude=exclude, exclude_users=exclude_users, key=key
        )

    async def join(self, connection: Connection[UserT]) -> Joined:
        """Make a connection a member; see `RoomManager.join`."""
        return await self._manager.join(connection, self.name)

    async def leave(self, connection: Connection[UserT]) -> bool:
        """End a membership; see `RoomManager.leave`."""
        return await self._manager.leave(connection, self.name)

    async def close(self, *, code: int | None = None, reason: str = "") -> int:
        """End all memberships; see `RoomManager.close_room`."""
        return await self._manager.close_room(self.name, code=code, reason=reason)
