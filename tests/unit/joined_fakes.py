"""A server in the standard way, whose `send` may be stepped, played by the test; and links over it."""

import asyncio
from collections.abc import Callable

from starlette.types import Message
from starlette.websockets import WebSocket

from fastapi_rooms.frames import JOINED_TEXT
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.link import Link
from fastapi_rooms.options import Limits, Overflow, QueueLimits
from fastapi_rooms.transports.joined import JoinedTransport
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.fakes import FakeOwner


class StandardServer:
    """One ASGI WebSocket. As uvicorn's, its `send` waits for space before it takes a message.

    Attributes:
        taken: What it took, in order.
        websocket: The endpoint's.
        error: What the next sends raise.
        aborts: How often its transport was aborted.
        waiting: Sends that wait for space.
    """

    __module__ = "uvicorn.played"

    def __init__(self, *messages: Message) -> None:
        self.taken: list[Message] = []
        self.error: Exception | None = None
        self.aborts = 0
        self.waiting = 0
        self.unsent = 0
        self.transport = self
        self._space = asyncio.Event()
        self._space.set()
        self._cancelled = False
        self.websocket = WebSocket({"type": "websocket", "headers": []}, self.receive, self.send)
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in ({"type": "websocket.connect"}, *messages):
            self.messages.put_nowait(message)

    # What the library calls.

    async def receive(self) -> Message:
        return await self.messages.get()

    async def send(self, message: Message) -> None:
        self.waiting += 1
        try:
            while not self._space.is_set():
                await self._space.wait()
                if self._cancelled:
                    raise asyncio.CancelledError
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error
        self.taken.append(message)
        if message["type"] == "websocket.close":
            self.messages.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    def abort(self) -> None:
        self.aborts += 1
        self.messages.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return False

    # What the test calls.

    def stall(self) -> None:
        """The peer reads no more: the next send waits."""
        self._space.clear()

    def resume(self) -> None:
        """The peer reads again."""
        self._space.set()

    def cancel_sends(self) -> None:
        """The server cancels what waits for it."""
        self._cancelled = True
        self._space.set()

    @property
    def texts(self) -> list[str | bytes]:
        """The messages that it took."""
        return [_data(message) for message in self.taken if message["type"] == "websocket.send"]


def _data(message: Message) -> str | bytes:
    data: str | bytes = message["text"] if "text" in message else message["bytes"]
    return data


def joined(
    server: StandardServer,
    gatherer: Gatherer | None = None,
    *,
    queue_bytes: int | None = None,
    send_timeout: float | None = None,
    form: int = JOINED_TEXT,
) -> JoinedTransport:
    """A transport over such a server, not accepted yet."""
    return JoinedTransport(
        WebSocketTransport(server.websocket),
        gatherer or Gatherer(asyncio.get_running_loop()),
        form=form,
        queue_bytes=queue_bytes,
        send_timeout=send_timeout,
    )


async def accepted(
    server: StandardServer,
    gatherer: Gatherer | None = None,
    *,
    queue_bytes: int | None = None,
    send_timeout: float | None = None,
) -> JoinedTransport:
    """A transport over such a server, accepted."""
    transport = joined(server, gatherer, queue_bytes=queue_bytes, send_timeout=send_timeout)
    await transport.accept(subprotocol=None, headers=())
    return transport


async def joined_link(
    server: StandardServer,
    owner: FakeOwner | None = None,
    *,
    queue: QueueLimits | None = None,
    limits: Limits | None = None,
    gatherer: Gatherer | None = None,
) -> Link:
    """A link over such a server: accepted, started and open."""
    queue = queue or QueueLimits()
    transport = joined(server, gatherer, queue_bytes=queue.bytes, send_timeout=queue.send_timeout)
    link = Link(
        transport,
        owner or FakeOwner(),
        queue=queue,
        overflow=Overflow.CLOSE,
        limits=limits or Limits(),
        rate_limit=None,
        heartbeat=None,
        beat=None,
    )
    await transport.accept(subprotocol=None, headers=())
    link.start()
    link.open()
    return link


class PipeWatcher:
    """Notes what a pipe tells its owner.

    Attributes:
        ready: What `Pipe.ready` was at each change.
        errors: Failures.
        stuck: How often a write took too long.
        pongs: Pongs.
    """

    def __init__(self, transport: JoinedTransport) -> None:
        self.ready: list[bool] = []
        self.errors: list[Exception] = []
        self.stuck = 0
        self.pongs = 0
        self._is_ready: Callable[[], bool] = lambda: transport.ready
        transport.watch(self)

    def pipe_changed(self) -> None:
        self.ready.append(self._is_ready())

    def pipe_failed(self, error: Exception) -> None:
        self.errors.append(error)

    def pipe_stuck(self) -> None:
        self.stuck += 1

    def peer_lives(self) -> None:
        self.pongs += 1

    def server_stops(self) -> bool:
        return False
