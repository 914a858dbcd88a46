"""`ConnectionManager`: connect, serve, broadcast, drain."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from starlette.websockets import WebSocket

from fastapi_rooms.closing import check_close_code
from fastapi_rooms.connection import Connection
from fastapi_rooms.delivering import deliver, from_thread
from fastapi_rooms.drain import drain, sweep
from fastapi_rooms.errors import CloseCode, DisconnectReason
from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.hooks import Hooks, MessageT, UserT, contained
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.identity import user_id_of
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Authenticator
from fastapi_rooms.send_queue import check_size
from fastapi_rooms.session import Session
from fastapi_rooms.statistics import ManagerStatistics, combine

_T = TypeVar("_T")


class Unset:
    """An option that was not given: the class attribute counts."""


UNSET: Final = Unset()

NO_HEADERS: Final[Sequence[tuple[bytes, bytes]]] = ()


class ConnectionManager(Hooks[UserT, MessageT]):
    """Connections of one process, each with a bounded send queue; to call, or to subclass.

    A subclass overrides hooks (see `Hooks`) and may set the options as class attributes.

    Attributes:
        message_model: What `serve()` validates messages with: anything a Pydantic `TypeAdapter` takes; `None`:
            plain JSON.

    Args:
        queue: The bounds and deadlines of each connection's send queue.
        overflow: What happens to a broadcast at a full queue.
        limits: What the process, one user and one client may use.
        rate_limit: How fast one client may send; `None`: as fast as the handler takes it.
        heartbeat: A message to quiet clients; `None`: no heartbeat.
    """

    message_model: ClassVar[Any] = None
    queue: QueueLimits = QueueLimits()
    overflow: Overflow = Overflow.CLOSE
    limits: Limits = Limits()
    rate_limit: RateLimit | None = None
    heartbeat: Heartbeat | None = None

    def __init__(
        self,
        *,
        queue: QueueLimits | Unset = UNSET,
        overflow: Overflow | Unset = UNSET,
        limits: Limits | Unset = UNSET,
        rate_limit: RateLimit | Unset | None = UNSET,
        heartbeat: Heartbeat | Unset | None = UNSET,
    ) -> None:
        self.queue = _given(queue, self.queue)
        self.overflow = _given(overflow, self.overflow)
        self.limits = _given(limits, self.limits)
        self.rate_limit = _given(rate_limit, self.rate_limit)
        self.heartbeat = _given(heartbeat, self.heartbeat)
        self._host: ManagerHost[UserT] = ManagerHost(
            self,
            queue=self.queue,
            overflow=self.overflow,
            limits=self.limits,
            rate_limit=self.rate_limit,
            heartbeat=self.heartbeat,
        )

    def __len__(self) -> int:
        """Registered connections now, those whose handshake is going on included."""
        return len(self._host.registry)

    def __bool__(self) -> bool:
        return True

    @property
    def connections(self) -> tuple[Connection[UserT], ...]:
        """A snapshot of the registered connections, in the order of connecting."""
        return tuple(self._host.registry)

    @property
    def users(self) -> frozenset[str]:
        """The ids of users with at least one connection here."""
        return frozenset(self._host.registry.users)

    def connection(self, connection_id: str) -> Connection[UserT] | None:
        """The connection with this `id`, while it is registered here."""
        return self._host.registry.get(connection_id)

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
    ) -> Session[UserT]:
        """Accept a WebSocket and register it; it is always unregistered.

        Use it as `async with manager.connect(websocket) as connection:`, or `connection = await
        manager.connect(websocket)` with `await manager.disconnect(connection)` in a `finally`; what was
        forgotten is unregistered when the endpoint's task ends.

        The connection is registered before anything is awaited. Leaving `async with` closes it (1000, or 1011
        where the block raised), swallows this connection's own `ConnectionClosed`, turns an `HTTPException` or
        a `WebSocketException` into a close code, and re-raises anything else. Once the client is gone the
        block has `Limits.handler_grace` seconds, then its task is cancelled; in the plain style
        `disconnect` turns that `CancelledError` into a `ConnectionClosed`.

        Args:
            websocket: Not accepted yet; or accepted already, then without `subprotocol` and `headers`.
            user: Yours: an `Identity`, a model, a name.
            user_id: Whose connection it is. `None`: `user` itself where it is a `str` or an `int`, else its
                `subject` or `id`.
            expires_at: Seconds since the epoch at which the connection ends with 4001. `None`: the
                `expires_at` of `user` where it has one, else never.
            authenticate: Ask for a token in the first message, within `Limits.authentication_timeout`; what it
                returns becomes the user. For clients that can send neither headers nor cookies.
            subprotocol: The one agreed on. `None`: the marker that authentication found, else none.
            headers: More headers for the handshake's response.

        Raises:
            ConnectionRefused: Over `Limits.connections` (503), over `connections_per_user` (429), or draining
                (503). It is an `HTTPException`: the client sees the status.
            ConnectionClosed: It ended before the block was entered.
            WrongEventLoop: There are connections on another event loop.
        """
        return self._session(
            websocket,
            user=user,
            user_id=user_id,
            expires_at=expires_at,
            authenticate=authenticate,
            subprotocol=subprotocol,
            headers=headers,
            room=None,
        )

    async def disconnect(
        self, connection: Connection[UserT], *, code: int = CloseCode.NORMAL, reason: str = ""
    ) -> None:
        """Write what is queued, close and unregister; harmless where it is gone already.

        In the plain style (`await manager.connect(...)`), called by the endpoint, it returns after
        `on_disconnect`; elsewhere the hooks run when the endpoint has ended.

        Raises:
            ConfigurationError: The code may not be sent.
        """
        check_close_code(code)
        session = self._host.sessions.get(connection)
        if session is not None:
            await session.disconnect(code, reason)

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
    ) -> None:
        """Connect, pass each JSON message to `on_message`, clean up. Arguments as for `connect`.

        An `on_message` that raises is logged, reported to `on_error` and closes this connection with 1011;
        `serve` itself returns.
        """
        await self._serve(
            self.connect(
                websocket,
                user=user,
                user_id=user_id,
                expires_at=expires_at,
                authenticate=authenticate,
                subprotocol=subprotocol,
                headers=headers,
            )
        )

    async def broadcast(
        self,
        message: object,
        *,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
    ) -> Delivery:
        """Send one message to every connection here; encoded once, and no client is waited for.

        Args:
            message: `str` goes out as text and bytes-like as binary, as they are; a Pydantic model, or
                anything JSON-able, as compact JSON text.
            exclude: A connection, or several, that do not get it.
            exclude_users: A user id, or several, whose connections do not get it.
            key: With `Overflow.CONFLATE`: which queued message this one replaces.

        Returns:
            How many connections queued it, dropped it, or were closed by it.

        Raises:
            MessageTooLarge: The message is larger than `QueueLimits.bytes`; nobody got it.
            UnencodableMessage: The message cannot be encoded; nobody got it.
            WrongEventLoop: The connections live on another event loop.
        """
        recipients = self._host.registry.everyone()
        return await self._deliver(recipients, message, exclude=exclude, exclude_users=exclude_users, key=key)

    def broadcast_from_thread(
        self,
        message: object,
        *,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        timeout: float | None = 10.0,
    ) -> Delivery:
        """`broadcast` for threads: `def` endpoints, which FastAPI runs in its thread pool, and callbacks.

        Waits until the event loop has queued the message, `timeout` seconds at most (`None`: for ever).

        Raises:
            WrongEventLoop: Called on the event loop itself, where it would wait for ever: use `broadcast`.
            TimeoutError: The event loop did not come to it in time; the message may still go out.
        """
        call = partial(self.broadcast, message, exclude=exclude, exclude_users=exclude_users, key=key)
        return from_thread(self._host, call, timeout)

    async def send_to_user(self, user_id: str, message: object, *, key: str | None = None) -> Delivery:
        """Send one message to all connections of one user, as `broadcast` does."""
        return await self._deliver(self._host.registry.of_user(str(user_id)), message, key=key)

    async def disconnect_user(
        self, user_id: str, *, code: int = CloseCode.FORBIDDEN, reason: str = "signed out"
    ) -> int:
        """Close all connections of one user, and wait until the close frames are out, or given up.

        Args:
            user_id: Whose.
            code: 4507 by default, which tells clients not to come back.
            reason: For the client.

        Returns:
            How many were closed.

        Raises:
            ConfigurationError: The code may not be sent.
        """
        check_close_code(code)
        closing = self._host.registry.of_user(str(user_id))
        for connection in closing:
            connection.link.shut(DisconnectReason.CLOSED, code, reason, flush=True)
        await asyncio.gather(*(connection.link.closed() for connection in closing))
        return len(closing)

    def statistics(self) -> ManagerStatistics:
        """The figures of this manager in this process; costs O(connections)."""
        host = self._host
        total = combine((host.past, *(connection.statistics() for connection in host.sessions)))
        return ManagerStatistics(
            connections=len(host.registry),
            users=len(host.registry.users),
            rooms=len(host.registry.rooms),
            accepted=host.accepted,
            disconnected=dict(host.disconnected),
            total=total,
        )

    async def drain(self, *, timeout: float = 30.0) -> bool:
        """Send every client away with 1012, spread over the time at random, and take no new ones (503).

        Call it before the process is stopped, so that clients do not all come back in one moment. A new
        `lifespan` takes connections again.

        Args:
            timeout: Seconds in which everybody should be gone: the closes are spread over the first four
                fifths; who is left at the end is closed at once.

        Returns:
            Whether all were gone, hooks included, in time.
        """
        return await drain(self._host, timeout)

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """The manager's life, for `FastAPI(lifespan=manager.lifespan)`.

        On leaving, whoever is left is sent away with 1012, and hooks and tasks end within `handler_grace` plus
        `close_timeout` plus two `hook_timeout`s; what still runs then is cancelled. For several managers:
        `async with one.lifespan(app), two.lifespan(app): yield`.
        """
        self._host.bind_loop()
        self._host.draining = False
        try:
            yield
        finally:
            await sweep(self._host)

    def _session(
        self,
        websocket: WebSocket,
        *,
        user: UserT | None,
        user_id: str | None,
        expires_at: float | None,
        authenticate: Authenticator | None,
        subprotocol: str | None,
        headers: Sequence[tuple[bytes, bytes]],
        room: str | None,
    ) -> Session[UserT]:
        return Session(
            self._host,
            websocket,
            user=user,
            user_id=user_id_of(user) if user_id is None else str(user_id),
            expires_at=expires_at,
            authenticate=authenticate,
            subprotocol=subprotocol,
            headers=headers,
            room=room,
        )

    async def _serve(self, session: Session[UserT]) -> None:
        runner = self._host.runner
        async with session as connection:
            async for message in connection.iter_json(self.message_model):
                try:
                    await contained(partial(self.on_message, connection, message), "on_message")
                except Exception as error:  # noqa: BLE001 - a user's on_message may raise anything
                    await runner.failed(connection, "on_message", error, DisconnectReason.HANDLER_ERROR)

    async def _deliver(
        self,
        recipients: Iterable[Connection[UserT]],
        message: object,
        *,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
    ) -> Delivery:
        payload = Payload.of(message)
        check_size(payload, self.queue)
        return await deliver(
            self._host, recipients, payload, exclude=exclude, exclude_users=exclude_users, key=key
        )


def _given(option: _T | Unset, default: _T) -> _T:
    return default if isinstance(option, Unset) else option


def room_named(room: str | Unset) -> str | None:
    """Which room a broadcast is for; `None`: everyone.

    Raises:
        TypeError: See `RoomManager.broadcast`.
    """
    if isinstance(room, str):
        return room
    if isinstance(room, Unset):
        return None
    raise TypeError(f"broadcast(room={room!r}): omit room to reach everyone, or give a room's name")
