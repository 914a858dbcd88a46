"""The app's run for one WebSocket: its task, from the handshake to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocketDisconnect

from fastapi_rooms.testing.app_tasks import end_tasks, exception_of
from fastapi_rooms.testing.errors import AppHung, ClientGone, Closed, Refused, SocketClosed, WaitTimeout
from fastapi_rooms.testing.server_side import ServerSide
from fastapi_rooms.testing.websocket import WebSocketSession

_CONSEQUENCES = (Refused, SocketClosed, WaitTimeout)
"""What a test runs into because the app has failed: the app's own exception says more."""


class AppRun:
    """Runs the app for one WebSocket.

    Attributes:
        server: What stands between the app and the client.
        task: The task that runs the app; `session` owns it.
        what: The connection, in words.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        *,
        server: ServerSide,
        timeout: float,
        exit_timeout: float,
        raise_app_exceptions: bool,
    ) -> None:
        self.server = server
        self._told_of_the_end = False
        self.what = f"the WebSocket {scope['path']}"
        self.task = asyncio.create_task(self._run(app, scope), name=f"testing: {self.what}")
        self.task.add_done_callback(lambda _: server.signal.notify())
        self._timeout = timeout
        self._exit_timeout = exit_timeout
        self._raise_app_exceptions = raise_app_exceptions

    @asynccontextmanager
    async def session(self) -> AsyncIterator[WebSocketSession]:
        """The accepted WebSocket; at the end of the block it is left, and the app has ended.

        Raises:
            Refused: The app refused the handshake.
            WaitTimeout: The app neither accepted nor refused within the client's `timeout`.
            AppHung: The app did not end within `exit_timeout` seconds after the block.
            Exception: What the app raised, if `raise_app_exceptions`.
        """
        closed = Closed(1006)
        try:
            session = await self._handshake()
            closed = Closed(1001)
            yield session
            closed = Closed(1000)
        except BaseException as error:
            await self._leave(closed, error)
            raise
        await self._leave(closed, None)

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.server.receive, self.server.send)
        finally:
            self._told_of_the_end = self.server.disconnect_sent
            self.server.drop(Closed(1006))

    async def _handshake(self) -> WebSocketSession:
        server = self.server
        await server.signal.wait_until(
            lambda: server.accepted or server.refusal is not None,
            awaited=f"the app to accept or refuse {self.what}",
            timeout=self._timeout,
        )
        if server.refusal is not None:
            raise server.refusal
        return WebSocketSession(server, task=self.task, what=self.what, timeout=self._timeout)

    async def _leave(self, closed: Closed, error: BaseException | None) -> None:
        self.server.client_left(self.server.pipe.closed or closed)
        late = await end_tasks({self.task}, timeout=self._exit_timeout)
        app_error = self._hung() if late else self._app_error()
        if app_error is None:
            return
        if error is None or isinstance(error, _CONSEQUENCES):
            raise app_error
        error.add_note(f"The app failed too: {app_error!r}")

    def _hung(self) -> AppHung:
        exception_of(self.task)  # seen: asyncio need not report it
        return AppHung(what=self.what, timeout=self._exit_timeout, stopped=self.task.done())

    def _app_error(self) -> BaseException | None:
        error = exception_of(self.task)
        if isinstance(error, (ClientGone, WebSocketDisconnect)) and self._told_of_the_end:
            return None  # it ended because the connection had
        return error if self._raise_app_exceptions else None
