"""One connection from `connect` to the last hook: what `manager.connect(...)` returns."""

import asyncio
import logging
import sys
from collections.abc import Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Protocol

from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocket, WebSocketState
from typing_extensions import TypeVar

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import (
    CloseCode,
    ConfigurationError,
    ConnectionClosed,
    ConnectionRefused,
    Disconnect,
    DisconnectReason,
)
from fastapi_rooms.hooks import expected_end
from fastapi_rooms.link import Link
from fastapi_rooms.send_queue import Dropped

UserT = TypeVar("UserT", default=Any)

logger = logging.getLogger("fastapi_rooms")


class Host(Protocol[UserT]):
    """What a session asks of its manager."""

    def register(self, session: "Session[UserT]") -> Connection[UserT]:
        """Make and register the connection, or raise `ConnectionRefused`; nothing is awaited."""
        ...

    def unregister(self, session: "Session[UserT]") -> dict[str, object]:
        """Take the connection out of every index; its rooms are returned."""
        ...

    async def shake_hands(self, session: "Session[UserT]") -> None:
        """Authorize, accept, authenticate; raises what refuses."""
        ...

    async def enter(self, session: "Session[UserT]") -> None:
        """Run the hooks of arriving; they end the connection where they fail."""
        ...

    async def overflowed(self, session: "Session[UserT]", dropped: Dropped) -> None:
        """Run `on_overflow`."""
        ...

    async def leave(self, session: "Session[UserT]") -> None:
        """Run the hooks of leaving."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something in a task that the manager owns."""
        ...

    def forget(self, session: "Session[UserT]") -> None:
        """The session is over: nothing of it is left."""
        ...

    @property
    def handler_grace(self) -> float | None:
        """Seconds that a running endpoint has after the disconnect."""
        ...


class Session(AbstractAsyncContextManager[Connection[UserT]], Generic[UserT]):
    """A connection's life, awaitable and an async context manager, as `websockets.connect` is.

    `async with manager.connect(...) as connection` ends it on leaving. `connection = await manager.connect(...)`
    ends it with `manager.disconnect(connection)`, or when the endpoint's task does.

    Attributes:
        websocket: The raw socket.
        user: As given; what authentication finds is on the connection.
        room: The room to join on arrival, or `None`.
        since: The position that the client brought for it, or `None`.
        rooms: The rooms that it was in when it ended, with the note of each membership.
        on_connect_began: Whether `on_connect` was called, so that `on_disconnect` must be.
        pending: Hooks of this connection that run in tasks of their own.
        task: The endpoint's task.
        arriving: Set when `on_connect` has ended; `None` afterwards.
    """

    __slots__ = (
        "_cancelled",
        "_dropped",
        "_endpoint_over",
        "_finishing",
        "_grace",
        "_host",
        "_opened",
        "_plain",
        "arriving",
        "authenticate",
        "connection",
        "expires_at",
        "headers",
        "on_connect_began",
        "pending",
        "room",
        "rooms",
        "since",
        "subprotocol",
        "task",
        "user",
        "user_id",
        "websocket",
    )

    connection: Connection[UserT]

    def __init__(
        self,
        host: Host[UserT],
        websocket: WebSocket,
        *,
        user: Any,
        user_id: str | None,
        expires_at: float | None,
        authenticate: Any,
        subprotocol: str | None,
        headers: Sequence[tuple[bytes, bytes]],
        room: str | None,
    ) -> None:
        self.websocket = websocket
        self.user = user
        self.user_id = user_id
        self.expires_at = expires_at
        self.authenticate = authenticate
        self.subprotocol = subprotocol
        self.headers = headers
        self.room = room
        self.since: object = None
        self.rooms: dict[str, object] = {}
        self.on_connect_began = False
        self.pending: set[asyncio.Task[None]] | None = None
        self.arriving: asyncio.Event | None = asyncio.Event()
        self._host = host
        self.task = asyncio.current_task()
        self._plain = False
        self._cancelled = False
        self._endpoint_over = False
        self._opened = False
        self._grace: asyncio.TimerHandle | None = None
        self._dropped: Dropped | None = None
        self._finishing: asyncio.Task[None] | None = None

    def __await__(self) -> Generator[Any, Any, Connection[UserT]]:
        return self._open_plain().__await__()

    async def __aenter__(self) -> Connection[UserT]:
        self.task = asyncio.current_task()
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        own = self._ended_with(error)
        await self._finish_endpoint()
        return own

    @property
    def link(self) -> Link:
        """The machine under the connection."""
        return self.connection.link

    def link_down(self) -> None:
        """The connection has ended: unregister it, and give a running endpoint its grace."""
        self.arrived()
        self.rooms = self._host.unregister(self)
        grace = self._host.handler_grace
        if self.task is not None and grace is not None and not self._endpoint_over:
            self._grace = asyncio.get_running_loop().call_later(grace, self._cancel_endpoint, self.task)

    def arrived(self) -> None:
        """`on_connect` has ended, or will never begin: whoever waited to join goes on."""
        if self.arriving is not None:
            self.arriving.set()
            self.arriving = None

    def link_dropped(self, dropped: Dropped) -> None:
        """An overflow episode has ended: report it, one report at a time."""
        reporting = self._dropped is not None
        before = self._dropped or Dropped()
        self._dropped = Dropped(
            oldest=before.oldest + dropped.oldest,
            newest=before.newest + dropped.newest,
            bytes=before.bytes + dropped.bytes,
        )
        if not reporting:
            self.run_beside(self._report_drops())

    def run_beside(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a hook of this connection in a task; the session ends after it."""
        task = self._host.spawn(work)
        if self.pending is None:
            self.pending = set()
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)
        return task

    async def disconnect(self, code: int, reason: str) -> None:
        """Close; in the plain style, called by the endpoint itself, finish too."""
        self.link.shut(DisconnectReason.CLOSED, code, reason, flush=True)
        if self._plain and asyncio.current_task() is self.task:
            cancelled = self._cancelled
            self._stop_grace()
            await self._finish_endpoint()
            if cancelled and isinstance(sys.exception(), asyncio.CancelledError):
                raise self._closed_error()  # in a `finally`: instead of our own cancellation, which is over
        else:
            await self.link.closed()

    async def finish(self) -> None:
        """Run the hooks of leaving, and wait for every task; goes on by itself if the caller is cancelled."""
        if self._finishing is None:
            self._finishing = self._host.spawn(self._finish())
        await asyncio.shield(self._finishing)

    async def _open_plain(self) -> Connection[UserT]:
        connection = await self._open()
        self._plain = True
        if self.task is not None:
            self.task.add_done_callback(self._endpoint_done)
        return connection

    async def _open(self) -> Connection[UserT]:
        if self._opened:
            raise ConfigurationError("connect(...) was entered twice: call it anew for each WebSocket")
        self._opened = True
        self.connection = self._host.register(self)
        try:
            await self._host.shake_hands(self)
            await self._host.enter(self)
            self.check_open()
        except BaseException as error:
            own = self._ended_with(error)
            await self._finish_endpoint()
            if own and not isinstance(error, (ConnectionClosed, HTTPException)):
                self.check_open()
            raise
        return self.connection

    def check_open(self) -> None:
        """Look again, after an await.

        Raises:
            ConnectionClosed: The connection has ended meanwhile, after it was accepted.
            HTTPException: It has ended meanwhile, before.
        """
        if self.link.disconnect is None:
            return
        if self._accepted:
            raise self._closed_error()
        if self.link.disconnect.code == CloseCode.FORBIDDEN:
            raise refusal(self.websocket, 403, self.link.disconnect.text)
        raise refusal(self.websocket, 503, "the server is going away")

    @property
    def _accepted(self) -> bool:
        return self.websocket.application_state is not WebSocketState.CONNECTING

    def _closed_error(self) -> ConnectionClosed:
        disconnect = self.link.disconnect or Disconnect(DisconnectReason.CLIENT, 1006)
        return ConnectionClosed(connection_id=self.connection.id, disconnect=disconnect)

    def _ended_with(self, error: BaseException | None) -> bool:
        """The endpoint is over: close as its end asks for; whether that end is only the connection's own."""
        self._stop_grace()
        if isinstance(error, asyncio.CancelledError) and self._take_back_cancellation():
            return True
        end, own = self._judge(error)
        self.link.shut(end.reason, end.code, end.text, flush=error is None)
        return own

    def _judge(self, error: BaseException | None) -> tuple[Disconnect, bool]:
        finished = Disconnect(DisconnectReason.FINISHED, CloseCode.NORMAL)
        if isinstance(error, ConnectionClosed):
            if self._is_own(error):
                return error.disconnect, True
            # Starlette takes it for a disconnect of this one, and logs nothing.
            logger.error("another connection's end left the endpoint of %s", self.connection.id, exc_info=error)
        if error is None or self._is_own(error):
            return finished, True
        if isinstance(error, asyncio.CancelledError):
            # Servers cancel endpoints when they go down: the client may come back, to another process.
            return Disconnect(DisconnectReason.HANDLER_CANCELLED, CloseCode.SERVICE_RESTART), False
        expected = expected_end(error)
        if expected is not None:
            return expected, True
        return Disconnect(DisconnectReason.HANDLER_ERROR, CloseCode.INTERNAL_ERROR, "internal error"), False

    def _is_own(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup):  # a TaskGroup in the endpoint
            return all(self._is_own(one) for one in error.exceptions)
        return isinstance(error, ConnectionClosed) and error.connection_id == self.connection.id

    def _stop_grace(self) -> None:
        self._endpoint_over = True
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _cancel_endpoint(self, task: "asyncio.Task[Any]") -> None:
        self._cancelled = True
        task.cancel("fastapi_rooms: the connection has ended, and handler_grace is over")

    def _endpoint_done(self, task: "asyncio.Task[Any]") -> None:
        """Plain style: the endpoint's task ended without `disconnect`."""
        if self._finishing is None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            self._ended_with(error)
            self._finishing = self._host.spawn(self._finish())

    async def _finish_endpoint(self) -> None:
        try:
            await self.finish()
        except asyncio.CancelledError:
            # The grace ended in the very turn in which the endpoint did: that cancellation is ours to take back.
            if not self._take_back_cancellation():
                raise
            await self.finish()
        self._take_back_cancellation()

    def _take_back_cancellation(self) -> bool:
        """Undo our own `cancel`, once; whether it was ours, and the only one."""
        if not self._cancelled or self.task is None:
            return False
        self._cancelled = False
        return self.task.uncancel() == 0

    async def _finish(self) -> None:
        try:
            last = self.link.writer.queue.end_episode()
            if last is not None:
                self.link_dropped(last)
            while self.pending:
                await asyncio.wait(tuple(self.pending))
            await self._host.leave(self)
        finally:
            await self.link.finish()
            self._host.forget(self)

    async def _report_drops(self) -> None:
        while (dropped := self._dropped) is not None:
            self._dropped = Dropped()
            await self._host.overflowed(self, dropped)
            if not self._dropped.messages:
                self._dropped = None


def refusal(
    websocket: WebSocket, status: int, detail: str, *, headers: Mapping[str, str] | None = None
) -> ConnectionRefused:
    """What to raise before accept so that the client sees the status, or a bare 403 on servers without it."""
    if "websocket.http.response" in (websocket.scope.get("extensions") or ()):
        return ConnectionRefused(status_code=status, detail=detail, headers=headers)
    return _BareRefusal(status, detail)


class _BareRefusal(WebSocketException, ConnectionRefused):
    """A refusal for servers without denial responses: Starlette takes it by its first base: a 403."""

    def __init__(self, status: int, detail: str) -> None:
        ConnectionRefused.__init__(self, status_code=status, detail=detail)
        WebSocketException.__init__(self, code=CloseCode.POLICY_VIOLATION, reason=detail)
