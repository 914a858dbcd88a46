"""A client of an event stream, in the test's event loop: the app's request, and what it has said so far."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message

from fastapi_rooms.testing import eventually
from hub.usual import whole


class EventStream:
    """What came down.

    Attributes:
        status: Of the response; `None`: it has not begun.
        headers: Of the response.
        frames: All frames, in order, however they were put into events.
        ids: The ids of events that have one.
        over: Whether the response has ended.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.frames: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.over = False
        self.body = b""
        self._rest = b""
        self._gone = asyncio.Event()

    @property
    def session(self) -> str:
        """What the client speaks with."""
        return str(self.frames[0]["session"])

    def types(self) -> list[str]:
        """The frames' types."""
        return [frame["type"] for frame in self.frames]

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait for a frame, the first or a later one of its type."""
        await eventually(lambda: self.types().count(kind) >= count)
        return [frame for frame in self.frames if frame["type"] == kind][count - 1]

    def leave(self) -> None:
        """The client goes."""
        self._gone.set()

    async def receive(self) -> Message:
        """ASGI's."""
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.body += message.get("body", b"")
        self.over = not message.get("more_body", False)
        *events, self._rest = (self._rest + message.get("body", b"")).split(b"\n\n")
        for event in events:
            lines = event.decode().split("\n")
            self.ids += [line[4:] for line in lines if line.startswith("id: ")]
            data = "\n".join(line[6:] for line in lines if line.startswith("data: "))
            if data and self.status == 200:
                value = json.loads(data)
                self.frames += map(whole, value if isinstance(value, list) else [value])


@asynccontextmanager
async def event_stream(
    app: ASGIApp, query: str = "", headers: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[EventStream]:
    """`GET /live/sse`, until the block ends; the app must end with it."""
    stream = EventStream()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/live/sse",
        "raw_path": b"/live/sse",
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"testserver"), *((name.encode(), value.encode()) for name, value in headers)],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
    }

    async def run() -> None:
        await app(scope, stream.receive, stream.send)

    running = asyncio.create_task(run())
    try:
        await eventually(lambda: stream.over or bool(stream.frames))
        yield stream
    finally:
        stream.leave()
        async with asyncio.timeout(5):
            await running
