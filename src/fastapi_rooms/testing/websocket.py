"""One WebSocket, as its client sees it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.testing.errors import Closed, SocketClosed, UnexpectedMessage, WaitTimeout
from fastapi_rooms.testing.server_side import ServerSide, check_close


class WebSocketSession:
    """An accepted WebSocket: what `async with client.websocket(...)` gives.

    Where a method takes `timeout`, `None` means the client's own `timeout`.

    Attributes:
        accepted_subprotocol: The subprotocol that the app chose, or `None`.
        accepted_headers: The headers that the app added to the handshake.
        app_task: The task that runs the app for this connection. Cancelling it does what a server does that
            cancels an endpoint.
    """

    def __init__(self, server: ServerSide, *, task: asyncio.Task[None], what: str, timeout: float) -> None:
        self.accepted_subprotocol: str | None = server.subprotocol
        self.accepted_headers: Headers = server.headers
        self.app_task = task
        self._server = server
        self._pipe = server.pipe
        self._what = what
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<{self._what}: {self._pipe.closed or 'open'}>"

    @property
    def closed(self) -> Closed | None:
        """How the connection ended, once this client knows; `None` until then."""
        return self._pipe.closed

    @property
    def unread(self) -> int:
        """Messages in the buffers of a client that is stalled, or has vanished silently."""
        return self._pipe.unread

    @property
    def blocked_sends(self) -> int:
        """The app's calls of `send` that wait for this client to read."""
        return self._pipe.blocked

    @property
    def unreceived(self) -> int:
        """Events, the disconnect included, that the app has not received yet."""
        return self._server.unreceived

    async def send(self, message: str | bytes) -> None:
        """Send one message: `str` as text, `bytes` as binary. Never waits for the app.

        Raises:
            SocketClosed: The connection is over.
            UnicodeEncodeError: Lone surrogates cannot be sent as text.
        """
        if self._pipe.closed is not None:
            raise SocketClosed(self._pipe.closed)
        if isinstance(message, str):
            message.encode()
            self._server.message_from_client({"text": message})
        else:
            self._server.message_from_client({"bytes": bytes(message)})

    async def send_text(self, text: str) -> None:
        """`send`, for text."""
        await self.send(text)

    async def send_bytes(self, data: bytes) -> None:
        """`send`, for a binary message."""
        await self.send(data)

    async def send_json(self, value: object) -> None:
        """Send a value as compact JSON in a text message; raises as `send` and `json.dumps` do."""
        await self.send(json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    async def receive(self, *, timeout: float | None = None) -> str | bytes:
        """The next message, in the order in which the app sent them. Cancelling it loses nothing.

        Raises:
            WaitTimeout: None came within `timeout` seconds.
            SocketClosed: The connection is over, and everything that came before is received.
        """
        return await self._receive("a message", timeout)

    async def receive_text(self, *, timeout: float | None = None) -> str:
        """`receive`, for text.

        Raises:
            UnexpectedMessage: The message is binary; it is used up.
        """
        message = await self._receive("a text message", timeout)
        if not isinstance(message, str):
            raise UnexpectedMessage(f"expected a text message, got {message!r:.200}")
        return message

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """`receive`, for a binary message.

        Raises:
            UnexpectedMessage: The message is text; it is used up.
        """
        message = await self._receive("a binary message", timeout)
        if not isinstance(message, bytes):
            raise UnexpectedMessage(f"expected a binary message, got {message!r:.200}")
        return message

    async def receive_json(self, *, timeout: float | None = None) -> Any:
        """`receive`, for JSON in a text or a binary message.

        Raises:
            UnexpectedMessage: The message is not JSON; it is used up.
        """
        message = await self._receive("a JSON message", timeout)
        try:
            return json.loads(message)
        except ValueError as error:
            raise UnexpectedMessage(f"expected JSON, got {message!r:.200}") from error

    async def receive_nothing(self, *, within: float = 0.05) -> None:
        """Return if no message and no close comes within that many seconds.

        Raises:
            UnexpectedMessage: One came; a message is used up.
        """
        try:
            message = await self.receive(timeout=within)
        except WaitTimeout:
            return
        except SocketClosed as closed:
            raise UnexpectedMessage(f"expected nothing, but {closed}") from None
        raise UnexpectedMessage(f"expected nothing, got {message!r:.200}")

    def take_received(self) -> list[str | bytes]:
        """Every message that has come and has not been received, oldest first, without waiting."""
        return [self._pipe.receive_nowait() for _ in range(self._pipe.readable)]

    def stall(self) -> None:
        """Stop reading. What comes now fills the `Buffer`; then the app's `send` blocks, its close too.

        What came before can still be received.
        """
        self._pipe.stall()

    def resume(self) -> None:
        """Read again: sends that were blocked go on, in their order. A client that is gone stays gone."""
        self._pipe.resume()

    async def vanish(self, *, silent: bool = False) -> None:
        """Be gone without a close frame.

        Args:
            silent: False: the app receives `websocket.disconnect` with 1006, and its sends raise an `OSError`
                (a reset, or FIN). True: nobody is told, as when a cable is pulled: what the app sends fills
                the `Buffer`, then blocks; the disconnect comes only when the `async with` block ends.
        """
        if silent:
            self._pipe.vanish()
        else:
            self._server.client_left(Closed(1006))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame: the app receives the disconnect after every message that was sent before.

        From now on the app's sends raise an `OSError`. Closing what is closed is harmless.

        Raises:
            ConfigurationError: The code cannot be sent, or the reason exceeds 123 bytes of UTF-8.
        """
        if (fault := check_close(code, reason)) is not None:
            raise ConfigurationError(fault)
        if self._pipe.closed is None:
            self._server.client_left(Closed(code, reason))

    async def wait_closed(self, *, timeout: float | None = None) -> Closed:
        """Wait until the connection is over; messages may be left to receive.

        An app that returns, or raises, without closing ends it with 1006: servers drop the socket then.

        Raises:
            WaitTimeout: It was still open after `timeout` seconds.
        """
        await self._wait(lambda: self._pipe.closed is not None, "the close", timeout)
        return self._pipe.closed or Closed(1006)

    async def wait_blocked(self, *, timeout: float | None = None) -> None:
        """Wait until a `send` of the app is blocked by this client.

        Raises:
            WaitTimeout: None was after `timeout` seconds.
        """
        await self._wait(lambda: self._pipe.blocked > 0, "a send of the app to block", timeout)

    async def wait_app_done(self, *, timeout: float | None = None) -> None:
        """Wait until the app has returned, or raised, for this connection.

        Raises:
            WaitTimeout: It was still running after `timeout` seconds.
        """
        await self._wait(self.app_task.done, "the app to return", timeout)

    async def _receive(self, awaited: str, timeout: float | None) -> str | bytes:
        pipe = self._pipe
        await self._wait(lambda: pipe.readable > 0 or pipe.closed is not None, awaited, timeout)
        if pipe.readable == 0 and pipe.closed is not None:
            raise SocketClosed(pipe.closed)
        return pipe.receive_nowait()

    async def _wait(self, condition: Callable[[], bool], awaited: str, timeout: float | None) -> None:
        stalled = " (this client is stalled: resume() lets it read)" if self._pipe.stalled else ""
        await self._server.signal.wait_until(
            condition,
            awaited=f"{awaited} on {self._what}{stalled}",
            timeout=self._timeout if timeout is None else timeout,
        )
