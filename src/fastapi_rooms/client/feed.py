"""Messages that wait to be read, and values that are watched: what is iterated over."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from fastapi_rooms.client.failures import FellBehind
from fastapi_rooms.client.values import Message

T = TypeVar("T")


class Feed:
    """Messages in order, until the end; then the iteration ends too, or raises what `end` was told.

    All who iterate share them: each message goes to one. At the bound it takes no more, and who reads on gets
    `FellBehind` after those that wait; what comes after that begins anew.

    Args:
        most: How many wait at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Message] = deque()
        self._read = False
        self._overflown = False
        self._ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def put(self, message: Message) -> None:
        """One more."""
        if self._overflown:
            return
        if len(self._waiting) < self._most:
            self._waiting.append(message)
            self._news.set()
            return
        self._overflown = True
        if not self._read:
            self._waiting.clear()  # it seems that nobody ever reads them

    def end(self, error: Exception | None) -> None:
        """Nothing comes any more.

        Args:
            error: What is raised after those that wait; `None`: the iteration ends.
        """
        self._ended = True
        self._error = error
        self._news.set()

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> Message:
        self._read = True
        while not self._waiting:
            if self._overflown:
                self._overflown = False
                raise FellBehind(self._most)
            if self._ended:
                raise StopAsyncIteration if self._error is None else self._error
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Watched(Generic[T]):
    """A value, and whoever waits for another one."""

    def __init__(self, value: T) -> None:
        self.value = value
        self.version = 0
        self.ended = False
        self._news = asyncio.Event()

    def set(self, value: T) -> None:
        """It is this from now on."""
        self.value = value
        self.version += 1
        self._wake()

    def end(self) -> None:
        """It stays as it is."""
        self.ended = True
        self._wake()

    async def until(self, met: Callable[[], bool]) -> None:
        """Until this is so, asked anew each time that the value is set; or until the value has ended."""
        while not met() and not self.ended:
            await self._news.wait()

    def values(self) -> "AsyncIterator[T]":
        """What it is now, and then what it becomes; who is slow gets the latest."""
        return _Values(self)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class _Values(Generic[T]):
    """An iterator that nobody need close."""

    def __init__(self, watched: Watched[T]) -> None:
        self._watched = watched
        self._seen = -1

    def __aiter__(self) -> "_Values[T]":
        return self

    async def __anext__(self) -> T:
        await self._watched.until(lambda: self._watched.version != self._seen)
        if self._watched.version == self._seen:
            raise StopAsyncIteration
        self._seen = self._watched.version
        return self._watched.value
