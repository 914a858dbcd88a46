"""Whether a client comes back after its connection has ended, when, and which way. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from fastapi_rooms.errors import CloseCode

BROKEN: Final = 1006
"""The code of a connection that just broke (RFC 6455 §7.4.1)."""

_JUST_ENDED: Final = frozenset({1005, BROKEN, 1015})
_SETTLED: Final = 5.0
"""Seconds after which a connection is taken to have worked: the next failure is the first again."""

_FAILURES: Final = 2
"""WebSockets in a row that could not be opened, after which another way is tried."""


def comes_back(code: int) -> bool:
    """Whether a client comes back after this close code; see the protocol's page."""
    if code in _JUST_ENDED or 4000 <= code < 4500:
        return True
    try:
        return CloseCode(code).reconnect
    except ValueError:
        return False


class Reached(Enum):
    """How far a connection got."""

    NOTHING = "nothing"
    """There was no token, or nobody to talk to: it says nothing of the way."""
    REFUSED = "refused"
    """Somebody was there, and the way did not open."""
    OPEN = "open"
    """The way was open; `connected` did not come."""
    CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended.

    Attributes:
        code: The close code; `BROKEN` where there was none.
        reason: The close frame's, or what went wrong.
        least: Seconds that the server asks to wait at least.
    """

    code: int = BROKEN
    reason: str = ""
    least: float = 0.0

    def __str__(self) -> str:
        return f"ended the connection with {self.code}: {self.reason}".removesuffix(": ")


class Returning:
    """The decisions of one client.

    Args:
        transport: "websocket", "sse", or "auto": WebSockets, until two in a row could not be opened where an event
            stream can. That is remembered: when the stream cannot be opened either, one WebSocket is tried.
        least: Seconds: the first random time is between 0 and this, and each one after doubles it.
        most: Seconds: up to this.
        random: Gives numbers from 0 to 1.
        one_token: Whether there is no way to another token: where it has expired, the client does not come back.

    Attributes:
        streams: Whether the next connection is an event stream.
    """

    def __init__(
        self, transport: str, *, least: float, most: float, random: Callable[[], float], one_token: bool = False
    ) -> None:
        self.streams = transport == "sse"
        self._auto = transport == "auto"
        self._least = least
        self._most = most
        self._random = random
        self._one_token = one_token
        self._tries = 0
        self._failures = 0
        self._connected_at: float | None = None
        self._told: float | None = None

    def connected(self, now: float) -> None:
        """The hub has said `connected`."""
        self._connected_at = now
        self._failures = _FAILURES - 1 if self.streams else 0

    def told_to_wait(self, delay: float) -> None:
        """The hub has said `going-away`."""
        self._told = delay

    def ended(self, end: End, reached: Reached, *, now: float) -> float | None:
        """A connection has ended, or did not come about: seconds until the next; `None`: there is none."""
        told, self._told = self._told, None
        connected_at, self._connected_at = self._connected_at, None
        if reached is Reached.OPEN and end.code < BROKEN and not self.streams:
            end = replace(end, code=BROKEN)  # maybe no hub has said it; over a stream one does
        if not comes_back(end.code) or (self._one_token and end.code == CloseCode.TOKEN_EXPIRED):
            return None
        if connected_at is not None and now - connected_at > _SETTLED:
            self._tries = 0
        delay = max(end.least, self._jitter()) if told is None else told
        if self._auto and self._tries_other_way(end, reached):
            return 0.0  # at once: if it opens now, it was not the server that was away
        return delay

    def _tries_other_way(self, end: End, reached: Reached) -> bool:
        if self.streams:
            if reached in (Reached.NOTHING, Reached.REFUSED):
                self.streams = False
            return False
        if reached in (Reached.REFUSED, Reached.OPEN) and end.code == BROKEN:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._failures = 0
                self.streams = True  # until it cannot be opened either
        return self.streams

    def _jitter(self) -> float:
        longest = min(self._most, self._least * float(2 ** min(self._tries, 30)))
        self._tries += 1
        return self._random() * longest
