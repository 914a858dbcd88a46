"""What a contestant's module is, and what its messages are."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

Deliver = Callable[[str | bytes], None]
"""Takes a message, or what begins with one, where a member is handed it."""

Publish = Callable[[str, str], Awaitable[object]]
"""Takes a room and a text."""

SIZE: Final = 128
"""Bytes of a message."""

_NUMBER: Final = 9
_TIME: Final = 20
_WORDS: Final = " the meeting is at three and we should ship before lunch today, again"


class App(Protocol):
    """A contestant's module."""

    def publishing(self, url: str, /) -> AbstractAsyncContextManager[Publish]:
        """How it publishes."""
        ...

    def receiving(self, url: str, rooms: Sequence[str], deliver: Deliver, /) -> AbstractAsyncContextManager[None]:
        """Have a member in each room, until the block is left."""
        ...


def message(number: int) -> str:
    """A text that says which it is, and when it was made."""
    return f"{number:0{_NUMBER}d} {time.monotonic_ns():0{_TIME}d}{_WORDS:<{SIZE - _NUMBER - _TIME - 1}}"


def read(text: str | bytes) -> tuple[int, int]:
    """Number and time of a message."""
    return int(text[:_NUMBER]), int(text[_NUMBER + 1 : _NUMBER + 1 + _TIME])
