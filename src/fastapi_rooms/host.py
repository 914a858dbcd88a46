"""The part of a manager that its sessions live in: registration, arrival and departure."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any, Generic, Protocol

from fastapi_rooms.activity import Activity
from fastapi_rooms.arrival import shake_hands
from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import Disconnect, DisconnectReason, InvalidMessage, WrongEventLoop
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.hooks import HookRunner, Hooks, UserT
from fastapi_rooms.link import Link
from fastapi_rooms.listeners import Listeners
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Greeter, Transport
from fastapi_rooms.registry import Registry
from fastapi_rooms.send_queue import Dropped
from fastapi_rooms.session import Session, refusal
from fastapi_rooms.statistics import ConnectionStatistics, combine, ended
from fastapi_rooms.tasks import TaskOwner
from fastapi_rooms.transports.choose import choose_transport
from fastapi_rooms.transports.direct import find_send


class Extension(Protocol):
    """What more a manager does when a connection arrives and leaves: `RoomManager`'s rooms."""

    async def before_accept(self, session: Session[Any]) -> None:
        """The user is known and nothing was accepted yet; raise what refuses."""
        ...

    async def after_authentication(self, session: Session[Any]) -> None:
        """The first message named the user; raise, or end the connection, to refuse."""
        ...

    def accepted(self, session: Session[Any]) -> None:
        """The connection takes messages from now on, and so must what is broadcast to its room reach it."""
        ...

    async def arrived(self, session: Session[Any]) -> None:
        """`on_connect` has run."""
        ...

    async def left(self, session: Session[Any]) -> None:
        """The connection has ended; `on_disconnect` comes next."""
        ...

    def reset(self) -> None:
        """The event loop has changed: forget what belonged to the one before."""
        ...


class ManagerHost(Generic[UserT]):
    """Everything that a manager knows of its connections in this process.

    It belongs to one event loop: bound at the first connection, bound anew when it is empty.

    Attributes:
        gathering: Whether some connection has, or had, a `Pipe`.
        joins: Whether messages are JSON of which one text may carry several, as an array. False unless set.
    """

    _gatherer: Gatherer  # of the loop

    def __init__(
        self,
        hooks: Hooks[UserT, Any],
        *,
        queue: QueueLimits,
        overflow: Overflow,
        limits: Limits,
        rate_limit: RateLimit | None,
        heartbeat: Heartbeat | None,
    ) -> None:
        self.hooks = hooks
        self.queue = queue
        self.overflow = overflow
        self.limits = limits
        self.rate_limit = rate_limit
        self.heartbeat = heartbeat
        self._beat = None if heartbeat is None or heartbeat.message is None else Payload.of(heartbeat.message)
        self.registry: Registry[UserT] = Registry()
        self.listeners = Listeners()
        self.sessions: dict[Connection[UserT], Session[UserT]] = {}
        self.tasks = TaskOwner()
        self.runner = HookRunner(limits, hooks.on_error)
        self.extension: Extension | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.draining = False
        self.gathering = False
        self.joins = False
        self.accepted = 0
        self.disconnected: Counter[str] = Counter()
        self.past = ConnectionStatistics()
        self._activity: Activity | None = None
        self._empty = asyncio.Event()

    @property
    def handler_grace(self) -> float | None:
        """Seconds that a running endpoint has after the disconnect."""
        return self.limits.handler_grace

    def bind_loop(self) -> None:
        """Belong to the running event loop from now on.

        Raises:
            WrongEventLoop: There are connections on another one.
        """
        loop = asyncio.get_running_loop()
        if self.loop is loop:
            return
        if self.loop is not None and self.loop.is_closed():
            self._abandon()
        if self.sessions:
            raise WrongEventLoop(
                f"this manager has {len(self.sessions)} connection(s) on another event loop. With Starlette's "
                "TestClient open all sockets inside `with TestClient(app) as client:`, so that they share one "
                "loop, or use fastapi_rooms.testing; in an application make one manager for each loop"
            )
        self.loop = loop
        self._gatherer = Gatherer(loop, window=self.limits.write_window, find_send=find_send)
        self.draining = False
        self._activity = None
        if self.extension is not None:
            self.extension.reset()
        self._empty = asyncio.Event()

    def register(self, session: Session[UserT]) -> Connection[UserT]:
        """Check the limits, make the connection and register it; nothing is awaited."""
        self.bind_loop()
        websocket, user_id = session.websocket, session.user_id
        if self.draining:
            raise refusal(websocket, 503, "the server is going away")
        most = self.limits.connections
        if most is not None and len(self.registry) >= most:
            raise refusal(websocket, 503, "too many connections")
        if user_id is not None and self.over_user_limit(user_id, more=1):
            raise refusal(websocket, 429, "too many connections of this user")
        transport = choose_transport(
            websocket,
            self._gatherer,
            queue_bytes=self.queue.bytes,
            send_timeout=self.queue.send_timeout,
            joins=self.joins,
        )
        self.gathering = self.gathering or transport.pipe is not None
        link = Link(
            transport,
            session,
            queue=self.queue,
            overflow=self.overflow,
            limits=self.limits,
            rate_limit=self.rate_limit,
            heartbeat=None if _cannot_speak(session) else self._heartbeat_over(transport),
            beat=self._beat,
        )
        connection = Connection(websocket, link, user=session.user, user_id=user_id, on_invalid=self._invalid)
        self.registry.add(connection)
        self.sessions[connection] = session
        self._empty.clear()
        return connection

    def hearing(self, room: str) -> tuple[Connection[Any], ...]:
        """A snapshot of a room's members, and of who listens in it."""
        members = self.registry.in_room(room)
        listeners = self.listeners.in_room(room)
        return (*members, *listeners) if listeners else members

    def count_hearing(self, room: str) -> int:
        """How many there are of both."""
        return self.registry.count_in_room(room) + self.listeners.count_in_room(room)

    def over_user_limit(self, user_id: str, *, more: int = 0) -> bool:
        """Whether the user has too many connections, with `more` to come."""
        most = self.limits.connections_per_user
        return most is not None and self.registry.count_of_user(user_id) + more > most

    def unregister(self, session: Session[UserT]) -> dict[str, object]:
        """Take the connection out of every index; its rooms are returned."""
        return self.registry.remove(session.connection)

    async def shake_hands(self, session: Session[UserT]) -> None:
        """Authorize, accept, authenticate; raises what refuses."""
        greeter = session.authenticate if isinstance(session.authenticate, Greeter) else None
        known = session.authenticate is None or (greeter is not None and greeter.knows)
        if self.extension is not None and known:
            await self.extension.before_accept(session)
            session.check_open()
        await shake_hands(session, self)
        if self.extension is not None and not known:
            await self.extension.after_authentication(session)
            session.check_open()
        session.link.open()
        if greeter is not None:
            greeter.welcome(session.connection)
        if self.extension is not None:
            self.extension.accepted(session)

    async def enter(self, session: Session[UserT]) -> None:
        """Run the hooks of arriving; they end the connection where they fail."""
        connection = session.connection
        if self._activity is None or not self._activity.active:
            await asyncio.shield(session.run_beside(self._enter_activity(connection)))
            session.check_open()
        session.on_connect_began = True
        await self.runner.run(connection, "on_connect", lambda: self.hooks.on_connect(connection))
        session.arrived()
        session.check_open()
        if self.extension is not None:
            await self.extension.arrived(session)

    async def leave(self, session: Session[UserT]) -> None:
        """Run the hooks of leaving."""
        connection = session.connection
        try:
            if self.extension is not None:
                await self.extension.left(session)
        finally:
            try:
                if session.on_connect_began:
                    disconnect = connection.disconnect or Disconnect(DisconnectReason.CLOSED, 1000)
                    await self.runner.run(
                        connection, "on_disconnect", lambda: self.hooks.on_disconnect(connection, disconnect)
                    )
            finally:
                await self._leave_activity(connection)

    async def overflowed(self, session: Session[UserT], dropped: Dropped) -> None:
        """Run `on_overflow`."""
        connection = session.connection
        await self.runner.run(connection, "on_overflow", lambda: self.hooks._tell_overflow(connection, dropped))

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something in a task that the manager owns."""
        return self.tasks.spawn(work, name="session")

    def forget(self, session: Session[UserT]) -> None:
        """The session is over: count it, and keep nothing else of it."""
        connection = session.connection
        self.sessions.pop(connection, None)
        if connection.disconnect is not None and connection.link.reader.started:
            self.past = combine((self.past, ended(connection.statistics())))
            self.disconnected[connection.disconnect.reason.value] += 1
        if not self.sessions:
            self._empty.set()

    def check_loop(self, *, even_if_empty: bool = False) -> None:
        """Refuse to deliver from another event loop, or thread, than the connections'.

        Args:
            even_if_empty: Refuse where there are no connections too, since something else lives on the loop.

        Raises:
            WrongEventLoop: There are connections, and they live elsewhere.
        """
        if (even_if_empty or self.registry) and asyncio.get_running_loop() is not self.loop:
            raise WrongEventLoop(
                "the manager's connections live on another event loop: from a thread use "
                "broadcast_from_thread(...); with Starlette's TestClient open all sockets inside "
                "`with TestClient(app) as client:`"
            )

    async def wait_empty(self, timeout: float | None) -> bool:
        """Wait until no session is left, hooks included; False where `timeout` seconds were too few."""
        if not self.sessions:
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _heartbeat_over(self, transport: Transport) -> Heartbeat | None:
        if self._beat is None and (transport.pipe is None or not transport.pipe.pings):
            return None  # pings are the server's affair there
        return self.heartbeat

    async def _invalid(self, connection: Connection[UserT], error: InvalidMessage) -> None:
        hook = partial(self.hooks.on_invalid_message, connection, error)
        await self.runner.run(connection, "on_invalid_message", hook)

    async def _enter_activity(self, connection: Connection[UserT]) -> None:
        if self._activity is None:
            self._activity = Activity(occupied=lambda: bool(self.registry))
        await self._activity.enter(lambda: self.runner.run(connection, "on_active", self.hooks.on_active))

    async def _leave_activity(self, connection: Connection[UserT]) -> None:
        if self._activity is not None and not self.registry:
            await self._activity.leave(lambda: self.runner.run(connection, "on_idle", self.hooks.on_idle))

    def _abandon(self) -> None:
        for session in tuple(self.sessions.values()):
            self.registry.remove(session.connection)
        self.sessions.clear()
        self.listeners.abandon()
        self.tasks.abandon()


def _cannot_speak(session: Session[Any]) -> bool:
    """Whether the client only listens: nothing can be asked of it."""
    greeter = session.authenticate
    return isinstance(greeter, Greeter) and greeter.knows
