"""What has come from an engine and was not received yet."""

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

from fastapi_rooms.errors import BrokerOverflow

T = TypeVar("T")

MOST_WAITING: Final = 10_000
"""Messages that may wait for one manager; one more ends its connection."""


class Arrivals(Generic[T]):
    """A queue with one reader and a bound, which ends with an error.

    It is on the way of every message, so it does less than `asyncio.Queue`.

    Attributes:
        error: Why there will be no more; `None` while there may be.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._waiting: deque[T] = deque()
        self._arrived: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, item: T) -> None:
        """Add one, or end with `BrokerOverflow` where that is one too many; ignored after the end."""
        if self.error is not None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.end(BrokerOverflow(waiting=MOST_WAITING))
            return
        self._waiting.append(item)
        self._wake()

    def end(self, error: Exception) -> None:
        """Have the reader raise this, at once; the first error counts."""
        if self.error is None:
            self.error = error
            self._waiting.clear()
            self._wake()

    async def get(self) -> T:
        """The next one, in the order in which they came. One call at a time.

        Raises:
            Exception: What `end` was given.
        """
        while self.error is None:
            if self._waiting:
                return self._waiting.popleft()
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        raise self.error

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
