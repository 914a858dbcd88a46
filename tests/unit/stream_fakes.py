"""A server's side of one HTTP request, played by the test, and the client of its event stream."""

import asyncio
from typing import Any

from starlette.types import Message, Scope

from fastapi_rooms.testing import eventually


class HttpServer:
    """One request. As uvicorn's, its `send` waits for space before it takes a message, and takes none that comes
    after the client has gone.

    Attributes:
        scope: The request's.
        taken: What it took, in order.
        error: What the next sends and receives raise.
        aborts: How often its transport was aborted.
        waiting: Sends that wait for space.
    """

    __module__ = "uvicorn.played"

    def __init__(self, path: str = "/", **scope: Any) -> None:
        self.scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"test"), (b"x-test", b"yes")],
            **scope,
        }
        self.taken: list[Message] = []
        self.error: Exception | None = None
        self.aborts = 0
        self.waiting = 0
        self.transport = self
        self._space = asyncio.Event()
        self._space.set()
        self._gone = False
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    # What the library calls.

    async def receive(self) -> Message:
        message = await self._messages.get()
        if self.error is not None:
            raise self.error
        return message

    async def send(self, message: Message) -> None:
        self.waiting += 1
        try:
            await self._space.wait()
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error
        if not self._gone:
            self.taken.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._messages.put_nowait({"type": "http.disconnect"})

    def abort(self) -> None:
        self.aborts += 1
        self.leave()

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._gone

    # What the test calls.

    def stall(self) -> None:
        """The client reads no more: the next send waits."""
        self._space.clear()

    def resume(self) -> None:
        """The client reads again."""
        self._space.set()

    def leave(self) -> None:
        """The client is gone."""
        self._gone = True
        self._space.set()
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def start(self) -> Message:
        """The response's start."""
        assert self.taken[0]["type"] == "http.response.start"
        return self.taken[0]

    @property
    def chunks(self) -> list[bytes]:
        """The response's body, after the padding."""
        assert all(message["type"] == "http.response.body" for message in self.taken[1:])
        return [message["body"] for message in self.taken[2:]]

    @property
    def blocks(self) -> list[str]:
        """Events and comments, after the padding."""
        return b"".join(self.chunks).decode().split("\n\n")[:-1]

    @property
    def over(self) -> bool:
        """Whether the response has ended."""
        return self.taken[-1]["type"] == "http.response.body" and not self.taken[-1].get("more_body")

    async def until(self, *blocks: str) -> None:
        """Wait until exactly these have come."""
        await eventually(lambda: self.blocks == list(blocks))
