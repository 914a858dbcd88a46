"""`RoomManager`: rooms on top of connections."""

from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.websockets import WebSocket

from fastapi_rooms.across import Across, Alone
from fastapi_rooms.brokers.interface import Broker
from fastapi_rooms.brokers.memory import MemoryBroker
from fastapi_rooms.closing import check_close_code
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.connection import Connection
from fastapi_rooms.delivering import deliver_to, from_thread
from fastapi_rooms.errors import CloseCode, ConfigurationError
from fastapi_rooms.fanout import Delivery, Exclude, Missed
from fastapi_rooms.history_policy import PolicyOf, policy_of
from fastapi_rooms.hooks import MessageT, UserT
from fastapi_rooms.manager import NO_HEADERS, UNSET, ConnectionManager, Unset, room_named
from fastapi_rooms.memberships import Joined, Memberships
from fastapi_rooms.options import Heartbeat, History, Limits, Overflow, Presence, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.position import Position
from fastapi_rooms.presence_ports import PresenceOf, presence_of
from fastapi_rooms.room import Room
from fastapi_rooms.room_hooks import RoomHooks
from fastapi_rooms.room_queries import RoomQueries
from fastapi_rooms.send_queue import check_size
from fastapi_rooms.session import Session
from fastapi_rooms.workers import refuse_several_workers


class RoomManager(RoomHooks[UserT], RoomQueries[UserT], ConnectionManager[UserT, MessageT]):
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
        history: What is kept of rooms' messages, for clients that come back: the same for all rooms, or a pure and
            quick function of a room's name, which may say `None`. `None` (default): nothing. Without a broker it
            is kept in this process's memory, by a `MemoryBroker`.
        presence: How it is known who is in rooms: likewise. `None` (default): it is not.
    """

    broker: Broker | None = None
    history: History | PolicyOf | None = None
    presence: Presence | PresenceOf | None = None

    def __init__(
        self,
        *,
        queue: QueueLimits | Unset = UNSET,
        overflow: Overflow | Unset = UNSET,
        limits: Limits | Unset = UNSET,
        rate_limit: RateLimit | Unset | None = UNSET,
        heartbeat: Heartbeat | Unset | None = UNSET,
        broker: Broker | Unset | None = UNSET,
        history: History | PolicyOf | Unset | None = UNSET,
        presence: Presence | PresenceOf | Unset | None = UNSET,
    ) -> None:
        super().__init__(queue=queue, overflow=overflow, limits=limits, rate_limit=rate_limit, heartbeat=heartbeat)
        kind = type(self)
        watch_rooms = (
            kind.on_room_active is not RoomHooks.on_room_active or kind.on_room_idle is not RoomHooks.on_room_idle
        )
        self._memberships = Memberships(self._host, self, watch_rooms=watch_rooms)
        self._host.extension = self._memberships
        self.broker = self.broker if isinstance(broker, Unset) else broker
        self.history = self.history if isinstance(history, Unset) else history
        self.presence = self.presence if isinstance(presence, Unset) else presence
        kept = None if self.history is None else policy_of(self.history)
        if kept is not None and self.overflow is Overflow.CONFLATE:
            raise ConfigurationError("Overflow.CONFLATE replaces messages, and a history promises all: choose one")
        if (kept or self.presence) is not None and self.broker is None:
            self.broker = MemoryBroker()
        self._across: Across = Alone(self._deliver_here, self._memberships, self._disconnect_here)
        if self.broker is not None:
            clustered = Clustered(
                self,
                self._deliver_here,
                self._host,
                self._memberships,
                self.broker,
                policy_of=kept,
                presence_of=presence_of(self.presence),
            )
            self._across = self._memberships.reach = clustered

    def room(self, name: str) -> "Room[UserT]":
        """A handle on a room, whether or not it has members. Costs nothing to make or to keep."""
        return Room(self, name)

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
        since: str | Position | None = None,
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
            since: The position that the client brought for it; see `join`.

        Raises:
            ConnectionRefused: `authorize` refused (403), or as there.
        """
        refuse_several_workers(alone=self.broker is None or not self.broker.shared)
        self._across.check_started()
        session = self._session(
            websocket,
            user=user,
            user_id=user_id,
            expires_at=expires_at,
            authenticate=authenticate,
            subprotocol=subprotocol,
            headers=headers,
            room=room,
        )
        session.since = since
        return session

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
        since: str | Position | None = None,
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
                since=since,
            )
        )

    async def join(
        self, connection: Connection[UserT], room: str, *, since: str | Position | None = None
    ) -> Joined:
        """Make a connection a member, if `authorize` allows it; then run `on_join`.

        Args:
            connection: Who.
            room: Which.
            since: In a room with a history: a position, as `encode` gave it to the client. All messages after it
                are sent first, then live ones, with no gap and nothing twice; or none, and `Joined` says why. What
                is no position of this room is one of another epoch. `None`: the member begins here.

        Raises:
            JoinRefused: `authorize` said no, or a limit did. The connection is unharmed.
            ConnectionClosed: The connection has ended.
        """
        return await self._memberships.join(connection, room, since)

    def joined(self, connection: Connection[UserT], room: str) -> Joined | None:
        """What `join` returned, or would have for the room given to `connect`; `None`: it is no member."""
        return self._memberships.joined(connection, room)

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
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Delivery:
        """Send one message to a room; encoded once, and no client is waited for.

        Args:
            message: See `ConnectionManager.broadcast`, as for all other arguments.
            room: To whom. Omitted: every connection. An explicit `None` is a `TypeError`: it would turn a
                missing room name into a message to everyone.
            exclude: See there.
            exclude_users: See there.
            key: See there; and in a room with `History(on_join="keys")`: whose latest message this is.
            idempotency_key: In a room with a history: the same once more, within five minutes, is not published
                again, so that a retry is safe. `None`: it is.
            version: In a room with a history: published only if it is more than that of the last message that had
                one. `None`: in any case.

        Raises:
            TypeError: `room` is not a `str`.
            BrokerUnavailable: The room has a history, and the broker is out of reach, or did not answer in time:
                then it may have been published all the same.
        """
        return await self._send(
            message,
            room=room_named(room),
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            idempotency_key=idempotency_key,
            version=version,
        )

    async def update_presence(
        self, connection: Connection[UserT], room: str, metadata: Mapping[str, object]
    ) -> bool:
        """Tell everybody in the room this of the connection from now on: a JSON object, which replaces the last.

        Returns:
            Whether it is a member that is, or now will be, shown.

        Raises:
            MetadataTooLarge: It has more than `Presence.metadata_bytes`.
            NoPresence: The room has none.
            UnencodableMessage: It is no JSON object, or the connection has no user.
        """
        return self._across.update_presence(connection, room, metadata)

    async def broadcast_here(
        self,
        message: object,
        *,
        room: str,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
    ) -> Delivery:
        """Send one message to a room's members in this process alone, and keep it in no history.

        For what each process knows by itself, as in `on_presence`. Arguments as for `broadcast`.
        """
        check_size(payload := Payload.of(message), self.queue)
        users = (exclude_users,) if isinstance(exclude_users, str) else exclude_users
        return await self._deliver_here(
            payload, room=room, user=None, exclude=exclude, exclude_users=users, key=key
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
        return from_thread(self._host, call, timeout)

    async def close_room(self, room: str, *, code: int | None = None, reason: str = "") -> int:
        """End all memberships of a room, in every process, with `on_leave` for each.

        Args:
            room: Which.
            code: Close the members' connections too, with this code. `None`: they stay connected.
            reason: For those that are closed.

        Returns:
            How many members it had here. With a broker others may hear of it later: who joins there meanwhile may
            be sent away, too.

        Raises:
            ConfigurationError: The code may not be sent.
        """
        if code is not None:
            check_close_code(code)
        return await self._across.close_room(room, code=code, reason=reason)

    async def send_to_user(self, user_id: str, message: object, *, key: str | None = None) -> Delivery:
        """Send one message to all connections of one user, in every process, as `broadcast` does."""
        return await self._send(message, user=str(user_id), key=key)

    async def disconnect_user(
        self, user_id: str, *, code: int = CloseCode.FORBIDDEN, reason: str = "signed out"
    ) -> int:
        """As `ConnectionManager.disconnect_user`, in every process.

        Returns:
            How many were closed here. With a broker their close frames may still be on their way, and a connection
            that the user makes at another process meanwhile may be closed, too.
        """
        check_close_code(code)
        return await self._across.disconnect_user(str(user_id), code=code, reason=reason)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """As `ConnectionManager.lifespan`; connects to the broker, and lets go of it after the last connection.

        A broker that is out of reach keeps the app from nothing: it is said, and tried again.

        Raises:
            ConfigurationError: The server runs several workers, and there is no broker to join them.
        """
        refuse_several_workers(alone=self.broker is None or not self.broker.shared)
        try:
            async with super().lifespan(app):
                await self._across.start()
                yield
        finally:
            await self._across.stop()

    def _deliver_here(
        self,
        payload: Payload,
        *,
        room: str | None,
        user: str | None,
        exclude: Exclude,
        exclude_users: Collection[str],
        key: str | None,
        missed: Missed | None = None,
    ) -> Awaitable[Delivery]:
        return deliver_to(
            self._host,
            self,
            payload,
            room=room,
            user=user,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            missed=missed,
        )

    async def _disconnect_here(self, user_id: str, code: int, reason: str) -> int:
        return await super().disconnect_user(user_id, code=code, reason=reason)

    def _send(
        self,
        message: object,
        *,
        room: str | None = None,
        user: str | None = None,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Awaitable[Delivery]:
        payload = Payload.of(message)
        check_size(payload, self.queue)
        return self._across.broadcast(
            payload,
            room=room,
            user=user,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            idempotency_key=idempotency_key,
            version=version,
        )
