"""What one other process has said of a room's presence: in order, or asked for anew. Pure."""

from collections import deque
from typing import Final

from fastapi_rooms.presence_wire import Change

_WAITING: Final = 64
"""Changes that wait for one before them."""

_PARTS: Final = 1_000
"""Parts of one answer."""


class Replica:
    """Where one process is, as far as was heard.

    Attributes:
        clock: Of the last change that was taken; `None`: nothing is known.
        heard: When it last said something.
        asked: When it was last asked for all; `None`: it has answered.
    """

    def __init__(self) -> None:
        self.clock: int | None = None
        self.heard = 0.0
        self.asked: float | None = None
        self._waiting: deque[Change] = deque(maxlen=_WAITING)
        self._parts: list[Change] = []

    def take(self, change: Change) -> list[Change]:
        """Those that are next, now that this one has come: in order, perhaps none. See `behind`."""
        if not self._is_old(change):
            self._waiting.append(change)
        return self._next()

    def take_all(self, part: Change) -> list[Change] | None:
        """A part of an answer has come; `None`: others are to come, or one was lost.

        Returns:
            All parts as one, and those changes that follow it and came before it; or these alone, where more was
            known already.
        """
        if part.part == 0:
            self._parts = []
        if part.part != len(self._parts) or part.part >= _PARTS or part.clock != self._clock_of_parts(part):
            self._parts = []
            return None
        self._parts.append(part)
        if part.more:
            return None
        parts, self._parts = self._parts, []
        self.asked = None
        if self.clock is not None and part.clock < self.clock:
            return self._next()
        self.clock = part.clock
        return [Change(0, part.clock, [put for one in parts for put in one.put]), *self._next()]

    @property
    def behind(self) -> bool:
        """Whether something that it has said is missing."""
        return bool(self._waiting)

    def _next(self) -> list[Change]:
        found = []
        for change in sorted(self._waiting, key=lambda change: change.clock):
            if self._is_next(change):
                self.clock = change.clock
                found.append(change)
        self._waiting = deque((one for one in self._waiting if not self._is_old(one)), maxlen=_WAITING)
        return found

    def _is_next(self, change: Change) -> bool:
        if self._is_old(change):
            return False
        return change.after == self.clock or (change.after == 0 and not change.more)

    def _clock_of_parts(self, part: Change) -> int:
        return self._parts[0].clock if self._parts else part.clock

    def _is_old(self, change: Change) -> bool:
        return self.clock is not None and change.clock <= self.clock
