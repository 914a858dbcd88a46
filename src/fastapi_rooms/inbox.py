"""The bounded store between the reader and the handler. Pure: it never waits, its owner does."""

from collections import deque

from fastapi_rooms.options import Limits


class Inbox:
    """Received messages that the handler has not taken yet, in order.

    It is `full` at either bound; an empty inbox takes a message of any size, so that one larger than
    `inbox_bytes` still passes.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_messages", "_messages")

    def __init__(self, limits: Limits) -> None:
        self._messages: deque[tuple[str | bytes, int]] | None = None  # made when first needed
        self._bytes = 0
        self._max_messages = limits.inbox_messages
        self._max_bytes = limits.inbox_bytes

    def __len__(self) -> int:
        return len(self._messages) if self._messages else 0

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether the socket should not be read for now."""
        return (self._max_messages is not None and len(self) >= self._max_messages) or (
            self._max_bytes is not None and self._bytes >= self._max_bytes
        )

    def put(self, message: str | bytes, size: int) -> None:
        """Store a message; the caller has seen that the inbox is not full."""
        if self._messages is None:
            self._messages = deque()
        self._messages.append((message, size))
        self._bytes += size

    def get(self) -> str | bytes | None:
        """Take the oldest message; `None` where there is none."""
        if not self._messages:
            return None
        message, size = self._messages.popleft()
        self._bytes -= size
        if not self._messages:
            self._messages = None  # an empty deque is 600 bytes, and most inboxes are empty
        return message

    def clear(self) -> None:
        """Forget everything that waits."""
        self._messages = None
        self._bytes = 0
