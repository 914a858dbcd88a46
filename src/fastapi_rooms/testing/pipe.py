"""From the app's `send` to the client's `receive`, with buffers that fill when the client stops reading."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.testing.errors import ClientGone, Closed
from fastapi_rooms.testing.waiting import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """What stands between the app and a client that does not read, before the app's `send` blocks.

    A send blocks once either bound is reached, as it does above a transport's high-water mark: the message
    that crosses the bound still passes.

    Attributes:
        messages: Messages; 0 blocks the first one. `None`: no bound by number.
        bytes: Bytes, UTF-8 encoded. `None`: no bound by size.
    """

    messages: int | None = 8
    bytes: int | None = 64 * 1024

    def __post_init__(self) -> None:
        for value in (self.messages, self.bytes):
            if value is not None and value < 0:
                raise ConfigurationError(f"{self!r}: a bound is 0 or more; None switches it off")


READ_AHEAD: Final = Buffer(messages=65_536, bytes=64 * 1024 * 1024)
"""What a client that does read keeps for the test; then the app's `send` blocks until the test receives."""


class _Store:
    """Messages in order, and whether there is space for one more."""

    __slots__ = ("_bounds", "_size", "items")

    def __init__(self, bounds: Buffer) -> None:
        self._bounds = bounds
        self._size = 0
        self.items: deque[str | bytes] = deque()

    def has_space(self) -> bool:
        messages, size = self._bounds.messages, self._bounds.bytes
        return (messages is None or len(self.items) < messages) and (size is None or self._size < size)

    def push(self, message: str | bytes) -> None:
        self.items.append(message)
        self._size += _wire_size(message)

    def pop(self) -> str | bytes:
        message = self.items.popleft()
        self._size -= _wire_size(message)
        return message


def _wire_size(message: str | bytes) -> int:
    return len(message.encode()) if isinstance(message, str) else len(message)


class Pipe:
    """Messages on their way to one client, in the order in which the app sent them.

    Attributes:
        closed: How the connection ended, once the client knows; `None` until then.
        stalled: Whether the client has stopped reading.
    """

    def __init__(self, buffer: Buffer, *, signal: Signal, on_close_frame: Callable[[Closed], None]) -> None:
        self._read = _Store(READ_AHEAD)
        self._unread = _Store(buffer)
        self._unread_close: Closed | None = None
        self._blocked: deque[tuple[str | bytes | Closed, asyncio.Future[bool]]] = deque()
        self._signal = signal
        self._on_close_frame = on_close_frame
        self.closed: Closed | None = None
        self.stalled = False

    @property
    def blocked(self) -> int:
        """Sends of the app that wait for space."""
        return len(self._blocked)

    @property
    def unread(self) -> int:
        """Messages in the buffers of a client that has stopped reading."""
        return len(self._unread.items)

    @property
    def readable(self) -> int:
        """Messages that the client has read and the test has not received."""
        return len(self._read.items)

    async def send(self, item: str | bytes | Closed) -> None:
        """Hand over a message or a close frame.

        Does not suspend while there is space; otherwise it suspends on one plain future of the running loop,
        and on nothing else: callers may step it by hand. Cancelled, or closed, while it waits, it has sent
        nothing.

        Raises:
            ClientGone: The connection ended while this send waited.
        """
        if not self._blocked and self._target().has_space():
            self._take(item)
            return
        entry = (item, asyncio.get_running_loop().create_future())
        self._blocked.append(entry)
        self._signal.notify()
        try:
            sent = await entry[1]
        finally:
            if entry in self._blocked:
                self._blocked.remove(entry)
        if not sent:
            raise ClientGone(message_type="websocket.close" if isinstance(item, Closed) else "websocket.send")

    def receive_nowait(self) -> str | bytes:
        """The oldest message that the client has read; there must be one."""
        message = self._read.pop()
        self._admit()
        return message

    def stall(self) -> None:
        """Stop reading: from here on messages stay in the buffers."""
        self.stalled = True

    def resume(self) -> None:
        """Read what is in the buffers, then what comes; sends that were blocked go on, in their order."""
        if self.closed is not None:
            return
        self.stalled = False
        while self._unread.items:
            self._read.push(self._unread.pop())
        self.closed = self._unread_close
        self._admit()
        self._signal.notify()

    def cut(self, closed: Closed, *, in_order: bool) -> None:
        """End the connection: sends that are blocked raise `ClientGone`.

        Args:
            closed: How it ended.
            in_order: True: the client learns it after what it has not read yet (the server ended it). False:
                at once, and what is unread is lost (the client did).
        """
        while self._blocked:
            self._release(self._blocked.popleft()[1], sent=False)
        if in_order and self.stalled:
            self._unread_close = self._unread_close or closed
        else:
            self.closed = self.closed or closed
        self._signal.notify()

    def vanish(self) -> None:
        """The client is gone and nobody is told: its buffers fill, then sends block until `cut`."""
        self.stalled = True
        self.closed = self.closed or Closed(1006)
        self._signal.notify()

    def _target(self) -> _Store:
        return self._unread if self.stalled else self._read

    def _take(self, item: str | bytes | Closed) -> None:
        if isinstance(item, Closed):
            self.cut(item, in_order=True)
            self._on_close_frame(item)
        else:
            self._target().push(item)
            self._signal.notify()

    def _admit(self) -> None:
        while self._blocked and self._target().has_space():
            item, waiter = self._blocked.popleft()
            if self._release(waiter, sent=True):
                self._take(item)

    @staticmethod
    def _release(waiter: asyncio.Future[bool], *, sent: bool) -> bool:
        if waiter.done():  # its task was cancelled, and has not run since
            return False
        waiter.set_result(sent)
        return True
