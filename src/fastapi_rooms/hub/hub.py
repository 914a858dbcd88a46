"""`Hub`: a `RoomManager` with the wire protocol `rooms.v1`, and a router."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import Any, TypeVar

from fastapi import APIRouter

from fastapi_rooms.auth.tickets import Tickets
from fastapi_rooms.brokers.interface import Broker
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import ForeignMessage
from fastapi_rooms.errors import AuthenticationError, MessageTooLarge, UnencodableMessage
from fastapi_rooms.fanout import Delivery, Exclude, Missed
from fastapi_rooms.history_policy import PolicyOf, policy_of
from fastapi_rooms.hooks import UserT, expected_end
from fastapi_rooms.hub.commands import Commands, Handler
from fastapi_rooms.hub.exchange import Exchange
from fastapi_rooms.hub.greeting import Greeting, check_heartbeat
from fastapi_rooms.hub.room import HubRoom
from fastapi_rooms.hub.router import make_router
from fastapi_rooms.hub.saying import framed, heard, said, to_nobody
from fastapi_rooms.hub.telling import diff_frame, send_away, snapshot_frame
from fastapi_rooms.hub.uplinks import Uplinks
from fastapi_rooms.identity import user_id_of
from fastapi_rooms.listening import Heard
from fastapi_rooms.manager import UNSET, Unset, room_named
from fastapi_rooms.options import Heartbeat, History, Limits, Overflow, Presence, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceDiff
from fastapi_rooms.presence_ports import PresenceOf, presence_of
from fastapi_rooms.protocol.events import Frame, frame_of
from fastapi_rooms.protocol.server_frames import DroppedFrame, LeftFrame, SessionFrame
from fastapi_rooms.rooms import RoomManager
from fastapi_rooms.send_queue import Dropped, check_size
from fastapi_rooms.session import Session
from fastapi_rooms.transports.sse import SSEStream
from fastapi_rooms.transports.stopping import StopWatch

logger = logging.getLogger("fastapi_rooms")

HandlerT = TypeVar("HandlerT", bound=Handler)


class Hub(RoomManager[UserT, Any]):
    """Rooms for pages that need no endpoint of their own: include the router, load the script, join a room.

    Everything of `RoomManager`: hooks, `authorize`, brokers, history, presence, limits. What is sent is JSON, and
    has the name of an event by which clients listen for it. What clients ask for is answered by handlers (`on`),
    in order, one at a time for each client.

    `message_model`, `on_message`, `on_invalid_message` and `encode` belong to the protocol; all other hooks are
    yours.

    Args:
        auth: What authenticates: a `TokenAuth`, `JWTAuth`, `Tickets`, `auth.requires(...)`, or any other
            authenticator. A token may stand in the handshake, where `auth` looks for it, or in the client's first
            frame. `None` (default): nobody is asked for one, and users are not known.
        tickets: Where `POST /ticket` gets its tickets from; they are taken at `/websocket?ticket=` and
            `/sse?ticket=`. `None` (default): where there is `auth`, and one process, from its memory.
        publish: Whether members may publish by themselves; see `may_publish`.
        return_within: When the server is told to stop, clients are told to come back after so many seconds at
            most, each at another time; then they are closed with 1012. `None`: they choose the time.
        queue: See `RoomManager`, as for all others.
        overflow: See there.
        limits: See there.
        rate_limit: See there; 100 frames a second by default, 512 at once.
        heartbeat: See there; by default 25 s, and 10 s to answer.
        broker: See there.
        history: See there.
        presence: See there.
    """

    publish_by_members: bool = False
    return_within: float | None = 10.0
    rate_limit: RateLimit | None = RateLimit(rate=100, burst=512)  # who comes back may join many rooms at once
    heartbeat: Heartbeat | None = Heartbeat()

    def __init__(
        self,
        *,
        auth: Authenticator | None = None,
        tickets: Tickets | None = None,
        publish: bool | Unset = UNSET,
        return_within: float | Unset | None = UNSET,
        queue: QueueLimits | Unset = UNSET,
        overflow: Overflow | Unset = UNSET,
        limits: Limits | Unset = UNSET,
        rate_limit: RateLimit | Unset | None = UNSET,
        heartbeat: Heartbeat | Unset | None = UNSET,
        broker: Broker | Unset | None = UNSET,
        history: History | PolicyOf | Unset | None = UNSET,
        presence: Presence | PresenceOf | Unset | None = UNSET,
    ) -> None:
        super().__init__(
            queue=queue,
            overflow=overflow,
            limits=limits,
            rate_limit=rate_limit,
            heartbeat=heartbeat,
            broker=broker,
            history=history,
            presence=presence,
        )
        self._host.joins = True
        check_heartbeat(self.heartbeat)
        self.auth = auth
        one_process = self.broker is None or not self.broker.shared
        self.tickets = Tickets() if tickets is None and auth is not None and one_process else tickets
        self.publish_by_members = self.publish_by_members if isinstance(publish, Unset) else publish
        self.return_within = self.return_within if isinstance(return_within, Unset) else return_within
        self.commands = Commands()
        self._presence_of = presence_of(self.presence)
        self._history_of = None if self.history is None else policy_of(self.history)
        self.uplinks = Uplinks(self._across, most=self.limits.message_bytes)
        self._exchanges: dict[Connection[Any], Exchange] = {}
        self._lives = 0

    @cached_property
    def router(self) -> APIRouter:
        """For `app.include_router(hub.router, prefix="/live")`; it brings the hub's `lifespan` with it."""
        return make_router(self)

    def on(self, command: str) -> Callable[[HandlerT], HandlerT]:
        """Handle a command: `@hub.on("say")`.

        The function is called for one frame of a client after the other, and its result is the answer. Its
        parameters are found by annotation: `connection: Connection`, `room: Room` (the client is in it),
        FastAPI dependencies (`Annotated[..., Depends(...)]`, resolved anew for each message, and over before the
        answer), `http: HTTPConnection`, and one more, validated as its annotation says: the data.

        `HubError(code, detail)` answers with an error of yours, `HTTPException` with one after its status; other
        exceptions are logged, reported to `on_error`, and answered with `internal`. A `WebSocketException` ends
        the connection.

        Args:
            command: The name.

        Raises:
            ConfigurationError: The name is taken, or a parameter cannot be given.
        """

        def add(handler: HandlerT) -> HandlerT:
            self.commands.add(command, handler)
            return handler

        return add

    def room(self, name: str) -> HubRoom[UserT]:
        """A handle on a room, whether or not it has members. Costs nothing to make or to keep."""
        return HubRoom(self, name)

    async def may_publish(self, connection: Connection[UserT], room: str, event: str) -> bool:
        """Whether a member may publish an event in a room by itself; by default, what `publish=` says: no.

        It may raise `HTTPException` or `HubError` to say why not.
        """
        return self.publish_by_members

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
        event: str | None = None,
    ) -> Delivery:
        """Say something in a room; see `RoomManager.broadcast`.

        Args:
            message: Anything that JSON takes; text becomes a JSON string.
            room: See there, as for all others.
            exclude: See there.
            exclude_users: See there.
            key: See there.
            idempotency_key: See there.
            version: See there.
            event: By which name clients listen for it. `None`: a model's class name in snake case, or `message`.

        Raises:
            UnencodableMessage: It is binary, or not JSON-able.
        """
        return await super().broadcast(
            self._said(message, event, room_named(room)),
            room=room,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            idempotency_key=idempotency_key,
            version=version,
        )

    async def publish(self, room: str, message: object, *, event: str | None = None) -> Delivery:
        """Say something in a room, from an HTTP endpoint or anywhere: `broadcast`, as a `Publisher` names it."""
        return await self.broadcast(message, room=room, event=event)

    async def broadcast_here(
        self,
        message: object,
        *,
        room: str,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        event: str | None = None,
    ) -> Delivery:
        """See `RoomManager.broadcast_here`, and `broadcast`."""
        frame = self._said(message, event, room)
        return await super().broadcast_here(
            frame, room=room, exclude=exclude, exclude_users=exclude_users, key=key
        )

    async def send_to_user(
        self, user_id: str, message: object, *, key: str | None = None, event: str | None = None
    ) -> Delivery:
        """Say something to one user, in no room; see `RoomManager.send_to_user`, and `broadcast`."""
        return await super().send_to_user(user_id, self._said(message, event, None), key=key)

    async def send(self, connection: Connection[UserT], message: object, *, event: str | None = None) -> None:
        """Say something to one client, in no room.

        Waits for space in its queue, as `connection.send`, which would send what is no frame.

        Raises:
            ConnectionClosed: See there.
        """
        await connection.send(frame_of(self._said(message, event, None), None))

    def encode(self, message: str | bytes, position: Position) -> object:
        """How clients get a message of a room with a history: as a frame.

        Raises:
            ForeignMessage: No client can take it: it is binary, or larger than a queue.
        """
        try:
            frame = frame_of(Payload(message), position.room, position)
            check_size(frame, self.queue)
        except (UnencodableMessage, MessageTooLarge) as error:
            logger.warning("what was published for %r is said to nobody: %s", position.room[:80], error)
            raise ForeignMessage from error
        return frame

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """See `RoomManager.lifespan`; `router` brings it. Entered within itself, it does nothing."""
        self._lives += 1
        try:
            if self._lives > 1:
                yield
            else:
                with StopWatch(self._stopping):
                    async with super().lifespan(app):
                        yield
        finally:
            self._lives -= 1

    # What the exchange with a client asks for.

    def has_history(self, room: str) -> bool:
        """Whether messages of a room are kept."""
        return self._history_of is not None and self._history_of(room) is not None

    def has_presence(self, room: str) -> bool:
        """Whether clients are told who is in a room."""
        return self._presence_of(room) is not None

    def tell_present(self, connection: Connection[UserT], room: str) -> None:
        """Send a member who is present, once that is known."""
        session = self._host.sessions.get(connection)
        if session is not None:
            session.run_beside(self._tell_present(connection, room))

    async def failed(self, connection: Connection[UserT], name: str, error: Exception) -> None:
        """A handler has raised what is no answer: end the connection if it asks for that, else report it."""
        if expected_end(error) is None:
            await self._host.runner.report(connection, name, error)
        else:
            await self._host.runner.failed(connection, name, error)

    async def serve_stream(
        self,
        stream: SSEStream,
        *,
        user: UserT | None,
        rooms: Sequence[str] = (),
        since: str | None = None,
        refused: AuthenticationError | None = None,
    ) -> None:
        """Serve a client on an event stream; one whose credential was refused is told so by the end."""
        places = [(room, since if Position.parse(since, room=room) else None) for room in rooms]
        first, place = places[0] if places else (None, None)
        session = self.connect(stream.websocket, user=user, room=first, since=place)
        if places:
            greeting = Greeting(None, user, self.heartbeat, knows=True)
            await self._converse(session, greeting, places)
            return
        secret = self.uplinks.open(stream, user_id_of(user))
        stream.first = SessionFrame(session=secret).payload()
        try:
            greeting = Greeting(self.auth, user, self.heartbeat, refused=refused)
            await self._converse(session, greeting, (), opened=partial(self.uplinks.belongs, secret))
        finally:
            self.uplinks.close(secret)

    async def _serve(self, session: Session[UserT]) -> None:
        await self._converse(session, Greeting(self.auth, session.user, self.heartbeat))

    async def _converse(
        self,
        session: Session[UserT],
        greeting: Greeting,
        places: Sequence[tuple[str, str | None]] = (),
        *,
        opened: Callable[[Connection[UserT]], None] | None = None,
    ) -> None:
        session.authenticate = greeting
        async with session as connection:
            if opened is not None:
                opened(connection)
            exchange = self._exchanges[connection] = Exchange(self, connection)
            try:
                for room, since in places:
                    await exchange.enter(room, since)
                connection.link.reader.charge(len(greeting.rest))
                await exchange.take_all(greeting.rest)
                async for message in connection.iter_text():
                    await exchange.take(message)
            finally:
                del self._exchanges[connection]

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
        frame = payload if isinstance(payload, Frame) else framed(payload, room, user, self.queue)
        if frame is None:
            return to_nobody()
        return super()._deliver_here(
            frame, room=room, user=user, exclude=exclude, exclude_users=exclude_users, key=key, missed=missed
        )

    def _heard(self, payload: Payload) -> Heard:
        return heard(payload)

    def _said(self, message: object, name: str | None, room: str | None) -> Payload:
        return said(message, name, room, most=self.queue.bytes, alone=self.broker is None)

    async def _tell_present(self, connection: Connection[UserT], room: str) -> None:
        try:
            view = await self.who(room)
        except Exception:  # a driver's, or the user's function that says which rooms have presence
            logger.exception("connection %s is not told who is in %r", connection.id, room[:80])
            return
        if room in (connection.memberships or ()):
            connection.link.control(snapshot_frame(room, view))

    async def _tell_presence(self, room: str, diff: PresenceDiff) -> None:
        frame = diff_frame(room, diff)
        for connection in self.members_here(room):  # with the space of control: one diff less, and all is wrong
            connection.link.control(frame)
        await super()._tell_presence(room, diff)

    async def _tell_overflow(self, connection: Connection[UserT], dropped: Dropped) -> None:
        connection.link.control(DroppedFrame(messages=dropped.messages, bytes=dropped.bytes).payload())
        await super()._tell_overflow(connection, dropped)

    def _stopping(self) -> None:
        """The server was told to stop: it closes WebSockets by itself, and would wait for streams for ever."""
        self._host.draining = True
        send_away(self.connections, return_within=self.return_within, spread=self.limits.shutdown_spread)

    async def _requested(self, body: bytes) -> bytes:
        return await self.uplinks.requested(body)

    def _tell_left(self, connection: Connection[UserT], room: str) -> None:
        exchange = self._exchanges.get(connection)
        if exchange is not None and not exchange.left(room):
            connection.link.control(LeftFrame(room=room).payload())
