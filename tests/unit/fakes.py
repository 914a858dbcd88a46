"""A transport, an owner and a connection without a server."""

import asyncio
from collections.abc import Awaitable, Sequence

from starlette.requests import HTTPConnection
from starlette.types import Message

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import CloseCode, Disconnect, DisconnectReason, InvalidMessage
from fastapi_rooms.link import Link
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import DirectSend, Gone, Pipe
from fastapi_rooms.send_queue import Dropped

SOON = 10.0
"""Seconds that a test waits for what should happen at once."""

SHORT = 0.02
"""Seconds of a deadline that a test lets pass."""


class FakeTransport:
    """A `Transport` that the test plays the server and the client of.

    Attributes:
        taken: What the server took, in order.
        pending: The write that waits while the peer does not read, or `None`.
        closed_with: Code and reason of each close frame that was sent.
        events: Everything that happened, in order: "write", "close", "abort", "retire".
    """

    def __init__(self) -> None:
        self.taken: list[str | bytes] = []
        self.pending: asyncio.Future[None] | None = None
        self.closed_with: list[tuple[int, str]] = []
        self.events: list[str] = []
        self.aborts = 0
        self.discards: list[float | None] = []
        self.unanswered: list[bool] = []
        self.accepted_with: list[tuple[str | None, Sequence[tuple[bytes, bytes]]]] = []
        self.write_error: Exception | None = None
        self.close_error: Exception | None = None
        self.close_blocks = False
        self.direct: DirectSend | None = None
        self.pipe: Pipe | None = None
        self.reading: asyncio.Event = asyncio.Event()
        self._stalled = False
        self._unwritten: Payload | None = None
        self._incoming: asyncio.Queue[str | bytes | Gone] = asyncio.Queue()

    # What the library calls.

    @property
    def turn(self) -> float:
        return 0.0

    def write(self, payload: Payload) -> Awaitable[None] | None:
        assert self.pending is None, "at most one write is outstanding"
        self.events.append("write")
        if self.write_error is not None:
            raise self.write_error
        if not self._stalled:
            self.taken.append(payload.data)
            return None
        self.pending = asyncio.get_running_loop().create_future()
        self._unwritten = payload
        return self.pending

    async def receive(self) -> str | bytes | Gone:
        self.reading.set()
        return await self._incoming.get()

    async def accept(self, *, subprotocol: str | None, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.accepted_with.append((subprotocol, headers))

    def retire(self) -> None:
        self.events.append("retire")

    async def close(self, *, code: int, reason: str) -> None:
        if self.close_blocks:
            await asyncio.Event().wait()
        if self.close_error is not None:
            raise self.close_error
        self.events.append("close")
        self.closed_with.append((code, reason))
        self._incoming.put_nowait(Gone(code))

    def abort(self) -> bool:
        self.events.append("abort")
        self.aborts += 1
        return True

    def discard_unsent_after(self, delay: float | None, *, unanswered: bool = False) -> None:
        self.discards.append(delay)
        self.unanswered.append(unanswered)

    # What the test calls.

    @property
    def unread(self) -> int:
        """Messages from the client that were not read yet."""
        return self._incoming.qsize()

    def stall(self) -> None:
        """The peer reads no more: the next write waits."""
        self._stalled = True

    def resume(self) -> None:
        """The peer reads again."""
        self._stalled = False
        self.take_one()

    def take_one(self) -> None:
        """The server takes the write that waits; the next one waits again."""
        pending, payload = self.pending, self._unwritten
        if pending is not None and payload is not None and not pending.done():
            self.taken.append(payload.data)
            self.pending = self._unwritten = None
            pending.set_result(None)

    def fail_pending(self, error: Exception) -> None:
        """The write that waits fails."""
        assert self.pending is not None
        self.pending.set_exception(error)
        self.pending = None

    def client_sends(self, *messages: str | bytes | Gone) -> None:
        for message in messages:
            self._incoming.put_nowait(message)

    def client_leaves(self, code: int = 1001, text: str = "") -> None:
        self._incoming.put_nowait(Gone(code, text))


class DirectTransport(FakeTransport):
    """A transport whose server lets broadcasts step its `send`."""

    def __init__(self) -> None:
        super().__init__()
        self.direct = self._send

    async def _send(self, event: Message) -> None:
        pending = self.write(Payload(event["text"]))
        if pending is not None:
            await pending


class FakeOwner:
    """Notes what a link tells its owner."""

    def __init__(self) -> None:
        self.downs = 0
        self.dropped: list[Dropped] = []

    def link_down(self) -> None:
        self.downs += 1

    def link_dropped(self, dropped: Dropped) -> None:
        self.dropped.append(dropped)


def make_link(
    transport: FakeTransport,
    owner: FakeOwner | None = None,
    *,
    queue: QueueLimits | None = None,
    overflow: Overflow = Overflow.CLOSE,
    limits: Limits | None = None,
    rate_limit: RateLimit | None = None,
    heartbeat: Heartbeat | None = None,
    is_open: bool = True,
) -> Link:
    """A link over a fake transport: started and open, unless told otherwise."""
    link = Link(
        transport,
        owner or FakeOwner(),
        queue=queue or QueueLimits(),
        overflow=overflow,
        limits=limits or Limits(),
        rate_limit=rate_limit,
        heartbeat=heartbeat,
        beat=None if heartbeat is None else Payload.of(heartbeat.message),
    )
    if is_open:
        link.start()
        link.open()
    return link


def http_connection() -> HTTPConnection:
    return HTTPConnection(
        {"type": "websocket", "path": "/", "headers": [(b"x-test", b"yes")], "query_string": b""}
    )


async def close_as_invalid(connection: Connection[object], error: InvalidMessage) -> None:
    connection.link.shut(DisconnectReason.INVALID_MESSAGE, error.code, str(error))


def make_connection(link: Link, *, user: object = None, user_id: str | None = None) -> Connection[object]:
    return Connection(http_connection(), link, user=user, user_id=user_id, on_invalid=close_as_invalid)


def unlinked(*, user_id: str | None = None) -> Connection[object]:
    """A connection for the registry, which never looks at its link; needs a running loop."""
    return make_connection(make_link(FakeTransport(), is_open=False), user_id=user_id)


async def finished(link: Link) -> None:
    """Leave nothing of the link behind."""
    link.shut(DisconnectReason.FINISHED, CloseCode.NORMAL)
    link.transport.abort()
    await link.finish()


def ending(link: Link) -> tuple[DisconnectReason, int] | None:
    """Reason and code of the link's end."""
    end: Disconnect | None = link.disconnect
    return None if end is None else (end.reason, end.code)
