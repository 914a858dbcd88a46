"""Server-Sent Events: a response that never ends, and to the managers a WebSocket like any other.

What goes down is the response's body; what comes up is handed in by `SSEStream.push`, from requests of their own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final

from starlette.exceptions import HTTPException, WebSocketException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import SSE_EXTENSION
from fastapi_rooms.transports.servers import unwrap

logger = logging.getLogger("fastapi_rooms")

COMMENT_AFTER: Final = 15.0
"""Seconds of silence after which a comment is sent: many proxies cut what is silent for a minute, some sooner."""

_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_CLOSE: Final = (b"connection", b"close")
"""In HTTP/1: a stream that has ended, and whose client does not read, can be dropped with its connection."""

_PADDING: Final = b": " + b" " * 2048 + b"\n\n"
"""The first comment: what holds responses back until there are 2 KiB lets go."""

_COMMENT: Final = b": \n\n"


class SSEStream:
    """A request whose response is an event stream, as a server's side of a WebSocket.

    `websocket` is what `connect` takes. Accepting starts the response; each message is an event; closing sends a
    last one, `{"type": "close", "code": …, "reason": …}`, and ends the response. A refusal before accept is an
    ordinary response. Once the client is gone, `websocket` is disconnected with 1006.

        async with SSEStream(scope, receive, send) as stream, manager.connect(stream.websocket) as connection:
            ...

    Args:
        scope: The request's.
        receive: The request's; nothing else may call it while the stream is entered.
        send: The request's.
        comment_after: Seconds of silence after which a comment is sent. `None`: none ever is.

    Attributes:
        websocket: What a manager takes for the client.
        accepted: Whether the response has started.
        first: The first event, before all that a manager sends. `None`: there is none.
        beneath: The request's `send`, for what comes after the response's start.
    """

    __slots__ = (
        "_arrival",
        "_code",
        "_comment",
        "_comment_after",
        "_connecting",
        "_headers",
        "_last_sent",
        "_loop",
        "_message",
        "_pushing",
        "_request_receive",
        "_request_send",
        "_sending",
        "_space",
        "_timer",
        "_watch",
        "accepted",
        "beneath",
        "first",
        "websocket",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, comment_after: float | None = COMMENT_AFTER
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._request_receive = receive
        self._request_send = send
        self._headers = _HEADERS if str(scope.get("http_version", "1.1")) >= "2" else (*_HEADERS, _CLOSE)
        self._comment_after = comment_after
        self.beneath = unwrap(send)
        self.accepted = False
        self.first: Payload | None = None
        self._connecting = True
        self._message: str | None = None
        self._code: int | None = None
        self._pushing = asyncio.Lock()
        self._arrival: asyncio.Future[None] | None = None
        self._space: asyncio.Future[None] | None = None
        self._sending = False
        self._last_sent = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.websocket = WebSocket(_posing(scope, self), self.receive, self.send)

    async def __aenter__(self) -> "SSEStream":
        self._watch = self._loop.create_task(self._until_gone(), name="fastapi_rooms stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(1006)
        tasks = {task for task in (self._watch, self._comment) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def push(self, message: str) -> bool:
        """Hand in a message of the client; first come, first served.

        One message waits for the reader; while one does, the others wait here.

        Returns:
            False where the stream has ended: the message was not taken.
        """
        async with self._pushing:
            while self._message is not None and self._code is None:
                self._space = self._loop.create_future()
                await self._space
            if self._code is not None:
                return False
            self._message = message
            _wake(self._arrival)
            return True

    async def receive(self) -> Message:
        """ASGI's `receive` of a WebSocket. Cancelling it loses nothing."""
        if self._connecting:
            self._connecting = False
            return {"type": "websocket.connect"}
        while self._message is None:
            if self._code is not None:
                return {"type": "websocket.disconnect", "code": self._code, "reason": ""}
            self._arrival = self._loop.create_future()
            await self._arrival
        message, self._message = self._message, None
        _wake(self._space)
        return {"type": "websocket.receive", "text": message}

    async def send(self, message: Message) -> None:
        """ASGI's `send` of a WebSocket; it takes pieces of the response's body too, as they are."""
        kind: str = message["type"]
        if kind == "http.response.body":
            await self._pass_on(message)
        elif kind == "websocket.send":
            data: str | bytes | None = message.get("text")
            event = Payload(message["bytes"] if data is None else data).sse()
            await self._pass_on({"type": "http.response.body", "body": event, "more_body": True})
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            await self._close(message)
        else:  # websocket.http.response.start, and its body
            await self._request_send({**message, "type": kind.removeprefix("websocket.")})

    async def _accept(self, message: Message) -> None:
        self.accepted = True
        headers = [*self._headers, *message.get("headers", ())]
        start = _PADDING if self.first is None else _PADDING + self.first.sse()
        await self._request_send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._request_send({"type": "http.response.body", "body": start, "more_body": True})
        self._last_sent = self._loop.time()
        self._look_again_at(self._last_sent)

    async def _close(self, message: Message) -> None:
        code: int = message.get("code", 1000)
        self._end(code)
        if self.accepted:
            last = Payload.json({"type": "close", "code": code, "reason": message.get("reason") or ""}).sse()
            await self._pass_on({"type": "http.response.body", "body": last, "more_body": False})
        else:  # as servers answer it
            await self._request_send({"type": "http.response.start", "status": 403, "headers": []})
            await self._request_send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, message: Message) -> None:
        while self._comment is not None:
            await asyncio.wait((self._comment,))
        self._sending = True
        try:
            await self.beneath(message)
        finally:
            self._sending = False
            self._last_sent = self._loop.time()

    async def _until_gone(self) -> None:
        try:
            while (await self._request_receive())["type"] != "http.disconnect":
                pass  # the request's body
        except Exception as error:  # noqa: BLE001 - whatever a server raises here, there will be no more
            logger.debug("receive raised, the peer is gone: %r", error)
        self._end(1006)

    def _end(self, code: int) -> None:
        if self._code is None:
            self._code = code
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        _wake(self._arrival)
        _wake(self._space)

    def _look_again_at(self, last_sent: float) -> None:
        if self._comment_after is not None and self._code is None:
            self._timer = self._loop.call_at(last_sent + self._comment_after, self._break_silence, last_sent)

    def _break_silence(self, last_sent: float) -> None:
        if not self._sending and self._last_sent == last_sent:
            task = self._loop.create_task(self._say_nothing(), name="fastapi_rooms comment")
            self._comment = None if task.done() else task  # an eager one may be (asyncio.eager_task_factory)
            self._last_sent = self._loop.time()
        self._look_again_at(self._loop.time() if self._sending else self._last_sent)

    async def _say_nothing(self) -> None:
        try:
            await self.beneath({"type": "http.response.body", "body": _COMMENT, "more_body": True})
        except Exception as error:  # noqa: BLE001 - servers raise what they like for a peer that is gone
            logger.debug("a comment was not sent: %r", error)
        finally:
            self._comment = None


class SSEResponse(Response):
    """What an HTTP endpoint returns to serve an event stream.

    An end that the client was told of is no error, and a refusal before accept is an HTTP response.

    Args:
        serve: Serves the stream, until it ends.
        comment_after: See `SSEStream`.
    """

    def __init__(
        self, serve: Callable[[SSEStream], Awaitable[None]], *, comment_after: float | None = COMMENT_AFTER
    ) -> None:
        super().__init__()
        self._serve = serve
        self._comment_after = comment_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        async with SSEStream(scope, receive, send, comment_after=self._comment_after) as stream:
            try:
                await self._serve(stream)
            except (HTTPException, WebSocketException, WebSocketDisconnect) as error:
                if not stream.accepted:
                    raise _refusal(error) from error
        if self.background is not None:
            await self.background()


def _refusal(error: Exception) -> HTTPException:
    return error if isinstance(error, HTTPException) else HTTPException(403, getattr(error, "reason", None))


def _posing(scope: Scope, stream: SSEStream) -> dict[str, Any]:
    """A WebSocket's scope for a request's: in all else they are alike."""
    return {
        **scope,
        "type": "websocket",
        "scheme": "wss" if scope.get("scheme") == "https" else "ws",
        "subprotocols": [],
        "extensions": {
            **(scope.get("extensions") or {}),
            "websocket.http.response": {},
            SSE_EXTENSION: {"stream": stream},
        },
    }


def _wake(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)
