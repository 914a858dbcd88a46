"""The client: an app's lifespan, its WebSockets and its HTTP routes, all on the running event loop."""

import json as json_module
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.testing.app_run import AppRun
from fastapi_rooms.testing.app_tasks import end_tasks
from fastapi_rooms.testing.errors import AppHung, Closed
from fastapi_rooms.testing.http import Response, perform
from fastapi_rooms.testing.lifespan import Lifespan
from fastapi_rooms.testing.pipe import Buffer
from fastapi_rooms.testing.scope import HeaderInput, Server, encode_headers, http_scope, websocket_scope
from fastapi_rooms.testing.server_side import ServerSide
from fastapi_rooms.testing.websocket import WebSocketSession


class Client:
    """An in-memory client for any ASGI app.

    No sockets, no threads: the app, its lifespan and every connection run on the event loop of the test, so
    one test can hold many WebSockets of one app. Use it as `async with Client(app) as client`.

    Args:
        app: Any ASGI 3 app: FastAPI, Starlette, or a plain function.
        lifespan: Run the app's startup on entering and its shutdown on leaving.
        base_url: Scheme, host and root path under which the app believes to be served.
        client_address: Host and port in `scope["client"]`.
        denial_response: Offer the extension `websocket.http.response`, as uvicorn, hypercorn and granian do;
            without it, as on daphne, an app can refuse only with a bare close, which is status 403.
        raise_app_exceptions: Raise in the test what the app raised, when the connection's block ends or the
            request is answered. False: see what a client sees, 1006 or 500.
        buffer: What a stalled client's buffers hold before the app's `send` blocks.
        timeout: Seconds for every wait that names no timeout of its own: messages, the handshake, a request,
            startup, shutdown.
        exit_timeout: Seconds that the app has to end after its client has left; then it is cancelled, and
            `AppHung` raised.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        lifespan: bool = True,
        base_url: str = "http://testserver",
        client_address: tuple[str, int] = ("127.0.0.1", 50000),
        denial_response: bool = True,
        raise_app_exceptions: bool = True,
        buffer: Buffer = Buffer(),
        timeout: float = 5.0,
        exit_timeout: float = 10.0,
    ) -> None:
        self._app = app
        self._with_lifespan = lifespan
        self._lifespan = Lifespan(app, timeout=timeout)
        self._server = Server.at(base_url)
        self._client_address = client_address
        self._denial_response = denial_response
        self._raise_app_exceptions = raise_app_exceptions
        self._buffer = buffer
        self._timeout = timeout
        self._exit_timeout = exit_timeout
        self._runs: set[AppRun] = set()
        self._serving = False

    async def __aenter__(self) -> Self:
        if self._with_lifespan:
            await self._lifespan.start()
        self._serving = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shut_down()

    @property
    def state(self) -> dict[str, Any]:
        """What the app's lifespan put into `scope["state"]`."""
        return self._lifespan.state

    @asynccontextmanager
    async def websocket(
        self,
        path: str,
        *,
        headers: HeaderInput | None = None,
        subprotocols: Sequence[str] = (),
        cookies: Mapping[str, str] | None = None,
        buffer: Buffer | None = None,
    ) -> AsyncIterator[WebSocketSession]:
        """Open a WebSocket for the length of an `async with` block.

        Leaving the block closes with 1000 (1001 if it raised) what is still open, and waits for the app.

        Args:
            path: The path, and the query after a `?`.
            headers: Added to those of the handshake; a `host` given here replaces the one of `base_url`.
            subprotocols: Those to offer, in order of preference.
            cookies: Names and values, sent as they are.
            buffer: As for the client; `None`: the client's.

        Raises:
            Refused: The app refused the handshake.
            WaitTimeout: The app neither accepted nor refused within `timeout`.
            AppHung: The app did not end within `exit_timeout` seconds after the block; it was cancelled.
            Exception: What the app raised, if `raise_app_exceptions`. Where the block raised too: the app's
                if the block's is a `SocketClosed`, `Refused` or `WaitTimeout`, which follow from it; else
                the block's, with a note.
        """
        self._check_serving()
        scope = websocket_scope(
            server=self._server,
            client=self._client_address,
            target=path,
            headers=encode_headers(headers, cookies=cookies),
            subprotocols=subprotocols,
            state=self._lifespan.state,
            denial_response=self._denial_response,
        )
        server = ServerSide(
            subprotocols=scope["subprotocols"],
            denial_response=self._denial_response,
            buffer=self._buffer if buffer is None else buffer,
        )
        run = AppRun(
            self._app,
            scope,
            server=server,
            timeout=self._timeout,
            exit_timeout=self._exit_timeout,
            raise_app_exceptions=self._raise_app_exceptions,
        )
        self._runs.add(run)
        try:
            async with run.session() as session:
                yield session
        finally:
            self._runs.discard(run)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object | None = None,
        content: str | bytes = b"",
        headers: HeaderInput | None = None,
        cookies: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Make one HTTP request and wait for the whole answer, background tasks included.

        Args:
            method: Such as `"POST"`.
            path: The path, and the query after a `?`.
            json: Sent as JSON; `None`: `content` is sent instead.
            content: The body as it is.
            headers: As they are; a `content-type` given here replaces the one that `json` brings.
            cookies: Names and values, sent as they are.
            timeout: Seconds; `None`: the client's.

        Raises:
            WaitTimeout: The app was still running after `timeout` seconds; it was cancelled.
            Exception: What the app raised, if `raise_app_exceptions`.
        """
        self._check_serving()
        encoded = encode_headers(headers, cookies=cookies)
        body = content.encode() if isinstance(content, str) else content
        if json is not None:
            body = json_module.dumps(json, separators=(",", ":"), ensure_ascii=False).encode()
            if all(name != b"content-type" for name, _ in encoded):
                encoded.append((b"content-type", b"application/json"))
        if body:
            encoded.append((b"content-length", str(len(body)).encode()))
        scope = http_scope(
            server=self._server,
            client=self._client_address,
            method=method,
            target=path,
            headers=encoded,
            state=self._lifespan.state,
        )
        return await perform(
            self._app,
            scope,
            body=body,
            timeout=self._timeout if timeout is None else timeout,
            raise_app_exceptions=self._raise_app_exceptions,
        )

    async def get(
        self,
        path: str,
        *,
        headers: HeaderInput | None = None,
        cookies: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response:
        """`request("GET", ...)`."""
        return await self.request("GET", path, headers=headers, cookies=cookies, timeout=timeout)

    async def post(
        self,
        path: str,
        *,
        json: object | None = None,
        content: str | bytes = b"",
        headers: HeaderInput | None = None,
        cookies: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response:
        """`request("POST", ...)`."""
        return await self.request(
            "POST", path, json=json, content=content, headers=headers, cookies=cookies, timeout=timeout
        )

    async def shut_down(self, *, code: int = 1012) -> None:
        """Do what uvicorn does at SIGTERM: close every WebSocket, wait for the endpoints, then the lifespan.

        Leaving the client's block does this too; twice is harmless.

        Args:
            code: The close code that the clients see and the app receives.

        Raises:
            AppHung: Endpoints were still running after `exit_timeout` seconds; they were cancelled.
            LifespanFailed: The app's shutdown failed.
        """
        self._serving = False
        for run in self._runs:
            run.server.drop(Closed(code))
        late = await end_tasks([run.task for run in self._runs], timeout=self._exit_timeout)
        await self._lifespan.stop()
        if late:
            what = ", ".join(sorted(run.what for run in self._runs if run.task in late))
            stopped = all(task.done() for task in late)
            raise AppHung(what=what, timeout=self._exit_timeout, stopped=stopped)

    def _check_serving(self) -> None:
        if not self._serving:
            raise ConfigurationError("the app is not running: use `async with Client(app) as client`")
