"""One HTTP request to an ASGI app, on the running event loop."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

from fastapi_rooms.testing.app_tasks import end_tasks, exception_of
from fastapi_rooms.testing.errors import ProtocolViolation, WaitTimeout
from fastapi_rooms.testing.scope import decode_headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The app's whole answer.

    Attributes:
        status: The HTTP status.
        headers: Case-insensitive; a name may repeat.
        body: All of it: a streamed answer is collected.
    """

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8; what is not valid is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body, decoded from JSON.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body)


class Exchange:
    """The app's `receive` and `send` for one request, and what it answered."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._complete = asyncio.Event()

    async def receive(self) -> Message:
        """The request's body, in one piece; then, once the answer is complete, the disconnect."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Collect the answer. Never suspends.

        Raises:
            ProtocolViolation: Messages out of order.
        """
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start is not None and not self._complete.is_set():
            self._chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                self._complete.set()
        else:
            raise ProtocolViolation(f"{kind!r} is not allowed here in an HTTP response")

    def response(self) -> Response:
        """What the app answered; status 500 where it ended before its answer was complete."""
        if self._start is None or not self._complete.is_set():
            return Response(status=500, headers=Headers(), body=b"Internal Server Error")
        headers = decode_headers(self._start.get("headers", ()))
        return Response(status=self._start["status"], headers=headers, body=b"".join(self._chunks))


async def perform(
    app: ASGIApp, scope: Scope, *, body: bytes, timeout: float, raise_app_exceptions: bool
) -> Response:
    """Run the app for one request, until it returns (background tasks included).

    Raises:
        WaitTimeout: The app was still running after `timeout` seconds; it was cancelled.
        Exception: What the app raised, if `raise_app_exceptions`.
    """
    exchange = Exchange(body)

    async def run() -> None:
        await app(scope, exchange.receive, exchange.send)

    what = f"{scope['method']} {scope['path']}"
    task = asyncio.create_task(run(), name=f"testing: {what}")
    late = await end_tasks({task}, timeout=timeout)
    error = exception_of(task)
    if late:
        raise WaitTimeout(awaited=f"the app to finish {what}", timeout=timeout) from error
    if error is not None and raise_app_exceptions:
        raise error
    return exchange.response()
