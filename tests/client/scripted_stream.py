"""A hub's event stream that answers as a test wants, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from fastapi_rooms.client.sse import EventStreamOpener, EventStreamWire
from unit.fakes import SOON

from .serving import serving, url_of

EVENTS = "text/event-stream"
END = None
"""The end of a stream."""


class ScriptedStream:
    """One stream, and what is posted to it.

    Attributes:
        app: To be served.
        requests: The bodies that came, in order.
        headers: Of the request for the stream.
        asked: Set when the stream is asked for.
        answers: How the next requests are answered: a status, one with headers, or `DROPPED`; then 204.
        opens: How the stream itself is answered, if not with a stream.
    """

    DROPPED = 0

    def __init__(self, *first: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[int | tuple[int, dict[str, str]]] = []
        self.opens: Callable[[], Response] | None = None
        self.headers: dict[str, str] = {}
        self.asked = asyncio.Event()
        self._events: asyncio.Queue[str | None] = asyncio.Queue()
        self.app = Starlette(
            routes=[Route("/live/sse", self._open), Route("/live/sse", self._take, methods=["POST"])]
        )
        for event in first or ({"type": "session", "session": "s1"},):
            self.tell(event)

    def tell(self, event: object) -> None:
        """Send this down; `END`: nothing more."""
        self._events.put_nowait(None if event is END else f"data: {json.dumps(event)}\n\n")

    async def _open(self, request: Request) -> Response:
        self.headers = dict(request.headers)
        self.asked.set()
        if self.opens is not None:
            return self.opens()
        return StreamingResponse(self._stream(), media_type=EVENTS)

    async def _stream(self) -> AsyncIterator[str]:
        yield ": hello\n\n"
        while (event := await self._events.get()) is not None:
            yield event

    async def _take(self, request: Request) -> Response:
        self.requests.append(await request.json())
        answer = self.answers.pop(0) if self.answers else 204
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        if status == self.DROPPED:
            return _Dropping()
        return Response(status_code=status, headers=headers)


class _Dropping(Response):
    """Breaks the connection instead of an answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def refusing(status: int, **headers: str) -> Callable[[], Response]:
    return lambda: PlainTextResponse("no", status_code=status, headers=headers)


@asynccontextmanager
async def wired(stream: ScriptedStream, **options: Any) -> AsyncIterator[EventStreamWire]:
    """The stream, opened."""
    async with serving(stream.app) as port:
        wire = await opener(port, **options).open()
        try:
            yield wire
        finally:
            await wire.close(politely=True)


def opener(port: int, **options: Any) -> EventStreamOpener:
    kept: Any = {"headers": {"x-one": "1"}, "tls": None, "timeout": SOON, "least": 0.001, **options}
    return EventStreamOpener(f"{url_of(port)}/sse", **kept)
