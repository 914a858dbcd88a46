"""`RoomManager`: rooms on top of connections."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.websockets import WebSocket

from fastapi_rooms.brokers.interface import Broker
from fastapi_rooms.closing import check_close_code
from fastapi_rooms.cluster.cluster import BrokerHealth
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.connection import Connection
from fastapi_rooms.delivering import deliver, from_thread
from fastapi_rooms.errors import CloseCode, ConfigurationError, DisconnectReason
from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.hooks import MessageT, UserT
from fastapi_rooms.manager import NO_HEADERS, UNSET, ConnectionManager, Unset
from fastapi_rooms.memberships import Joined, Memberships
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.room import Count, Member, Members, Room
from fastapi_rooms.room_hooks import RoomHooks
from fastapi_rooms.send_queue import check_size
from fastapi_rooms.session import Session
from fastapi_rooms.workers import several_workers


class RoomManager(RoomHooks[UserT], ConnectionManager[UserT, MessageT]):
    """Connections that join rooms; everything of `ConnectionManager`, and rooms.

    A connection may be in several rooms. A room exists while it has a member; nothing is kept of an empty one,
    and a million memberships cost the same for each operation as a thousand. For one connection the hooks run
    in order: `on_connect`, `on_join` for each room, messages, `on_leave` for each room, `on_disconnect`.

    With a broker the rooms span processes: whatever is sent to a room, a user or everyone reaches their
    connections everywhere, at most once, in the order in which one process sent it. While the broker is out of
    reach, in this process alone. A manager with a broker needs its `lifespan`.

    Args:
        queue: See `ConnectionManager`.
        overflow: See there.
        limits: See there.
        rate_limit: See there.
        heartbeat: See there.
        broker: What carries messages between processes. `None`: there is only this one.
    """

    broker: Broker | None = None

    def __init__(
        self,
        *,
        queue: QueueLimits | Unset = UNSET,
        overflow: Overflow | Unset = UNSET,
        limits: Limits | Unset = UNSET,
        rate_limit: RateLimit | Unset | None = UNSET,
        heartbeat: Heartbeat | Unset | None = UNSET,
        broker: Broker | Unset | None = UNSET,
    ) -> None:
        super().__init__(queue=queue, overflow=overflow, limits=limits, rate_limit=rate_limit, heartbeat=heartbeat)
        kind = type(self)
        watch_rooms = (
            kind.on_room_active is not RoomHooks.on_room_active or kind.on_room_idle is not RoomHooks.on_room_idle
        )
        self._memberships = Memberships(self._host, self, watch_rooms=watch_rooms)
        self._host.extension = self._memberships
        self.broker = self.broker if isinstance(broker, Unset) else broker
        self._clustered: Clustered | None = None
        if self.broker is not None:
            self._clustered = Clustered(self, self._deliver_here, self._host, self._memberships, self.broker)
            self._memberships.reach = self._clustered

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

    async def members(self, room: str) -> Members:
        """See `Room.members`."""
        here = [Member(connection_id=one.id, user_id=one.user_id) for one in self.members_here(room)]
        if self._clustered is None:
            return Members(here)
        others, missing = await self._clustered.members(room)
        members = Members([*here, *(Member(connection_id=one, user_id=user) for one, user in others)])
        members.missing = missing
        return members

    async def count(self, room: str) -> Count:
        """See `Room.count`."""
        if self._clustered is None:
            return Count(self.count_here(room))
        others, missing = await self._clustered.count(room)
        count = Count(self.count_here(room) + others)
        count.missing = missing
        return count

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
        self._check_processes()
        if self._clustered is not None:
            self._clustered.check_started()
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
            room: To whom. Omitted: every connection. An explicit `None` is a `TypeError`: it would turn a
                missing room name into a message to everyone.
            exclude: See there.
            exclude_users: See there.
            key: See there.

        Raises:
            TypeError: `room` is not a `str`.
        """
        if isinstance(room, Unset):
            return await self._send(message, exclude=exclude, exclude_users=exclude_users, key=key)
        if not isinstance(room, str):
            raise TypeError(f"broadcast(room={room!r}): omit room to reach everyone, or give a room's name")
        return await self._send(message, room=room, exclude=exclude, exclude_users=exclude_users, key=key)

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
        return from_thread(self._host, call, timeout)

    async def close_room(self, room: str, *, code: int | None = None, reason: str = "") -> int:
        """End all memberships of a room, in every process, with `on_leave` for each.

        Args:
            room: Which.
            code: Close the members' connections too, with this code. `None`: they stay connected.
            reason: For those that are closed.

        Returns:
            How many members it had here.

        Raises:
            ConfigurationError: The code may not be sent.
        """
        if code is not None:
            check_close_code(code)
        if self._clustered is not None:
            return await self._clustered.close_room(room, code=code, reason=reason)
        members = self._host.registry.in_room(room)
        if code is None:
            await asyncio.gather(*(self.leave(connection, room) for connection in members))
        else:
            for connection in members:
                connection.link.shut(DisconnectReason.CLOSED, code, reason, flush=True)
            await asyncio.gather(*(connection.link.closed() for connection in members))
        return len(members)

    async def send_to_user(self, user_id: str, message: object, *, key: str | None = None) -> Delivery:
        """Send one message to all connections of one user, in every process, as `broadcast` does."""
        return await self._send(message, user=str(user_id), key=key)

    async def disconnect_user(
        self, user_id: str, *, code: int = CloseCode.FORBIDDEN, reason: str = "signed out"
    ) -> int:
        """As `ConnectionManager.disconnect_user`, in every process.

        Returns:
            How many were closed here. With a broker their close frames may still be on their way.
        """
        if self._clustered is None:
            return await super().disconnect_user(user_id, code=code, reason=reason)
        check_close_code(code)
        return await self._clustered.disconnect_user(str(user_id), code=code, reason=reason)

    def health(self) -> BrokerHealth | None:
        """How the broker is; `None` where there is none.

        Raises:
            ConfigurationError: There is one, and `lifespan` does not run.
        """
        return None if self._clustered is None else self._clustered.health()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """As `ConnectionManager.lifespan`; connects to the broker, and lets go of it after the last connection.

        A broker that is out of reach keeps the app from nothing: it is said, and tried again.

        Raises:
            ConfigurationError: The server runs several workers, and there is no broker to join them.
        """
        self._check_processes()
        try:
            async with super().lifespan(app):
                if self._clustered is not None:
                    await self._clustered.start()
                yield
        finally:
            if self._clustered is not None:
                await self._clustered.stop()

    def _check_processes(self) -> None:
        workers = None if self.broker is not None and self.broker.shared else several_workers()
        if workers is not None:
            raise ConfigurationError(
                f"{workers}, and this RoomManager's rooms are in the memory of one: members in different workers "
                "would not hear each other. Give it a broker, RoomManager(broker=broker_from_url('redis://...')), "
                "or run one worker; broker=MemoryBroker(per_process=True) says that each worker has its own rooms"
            )

    async def _send(
        self,
        message: object,
        *,
        room: str | None = None,
        user: str | None = None,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
    ) -> Delivery:
        payload = Payload.of(message)
        check_size(payload, self.queue)
        send = self._deliver_here if self._clustered is None else self._clustered.broadcast
        return await send(payload, room=room, user=user, exclude=exclude, exclude_users=exclude_users, key=key)

    async def _deliver_here(
        self,
        payload: Payload,
        *,
        room: str | None,
        user: str | None,
        exclude: Exclude,
        exclude_users: str | Collection[str],
        key: str | None,
    ) -> Delivery:
        registry = self._host.registry
        recipients: Iterable[Connection[UserT]] = registry
        overflow = None
        if room is not None:
            recipients = registry.in_room(room)
            policy = self.room_policy(room)
            overflow = None if policy is None else policy.overflow
        elif user is not None:
            recipients = registry.of_user(user)
        return await deliver(
            self._host,
            recipients,
            payload,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            overflow=overflow,
            scope=None if overflow is None else room,
        )
