"""What a process has delivered of one room's history, in order, and the last of it. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from fastapi_rooms.brokers.streams import Page, Place
from fastapi_rooms.payload import Payload


class Verdict(Enum):
    """What to do with a message that comes."""

    NEXT = "next"
    """It follows what was delivered last: deliver it."""
    OLD = "old"
    """It was delivered already."""
    GAP = "gap"
    """Something before it is missing, or it is of another epoch: read the history first."""


@dataclass(frozen=True, slots=True)
class Past:
    """A message of a history, as it is sent here.

    Attributes:
        offset: Its own.
        previous: The offset of the one before it.
        payload: What clients get. `None`: it is not ours, and nobody gets it.
        exclude: Ids of connections that do not.
        exclude_users: Users who do not.
        key: See `Overflow.CONFLATE`.
    """

    offset: int
    previous: int
    payload: Payload | None
    exclude: tuple[str, ...] = ()
    exclude_users: tuple[str, ...] = ()
    key: str | None = None


def latest(newest_first: Iterable[Past], what: int | Literal["keys"]) -> Sequence[Past]:
    """So many of the last messages; or of each key the last one, and none without a key. Oldest first."""
    found: list[Past] = []
    keys: set[str] = set()
    for one in newest_first:
        if what == len(found):
            break
        if what == "keys":
            if one.key is None or one.key in keys:
                continue
            keys.add(one.key)
        found.append(one)
    found.reverse()
    return found


class Line:
    """Where a room's members in this process are, and what they got last.

    Args:
        epoch: Of the history.
        last: The offset of the message that was delivered last, or that is the newest when it begins.
        most: Messages that are kept here for who comes back.

    Attributes:
        epoch: See above.
        last: See above.
        start: All messages after this offset, up to `last`, are kept here.
        looked: Whether what the engine has kept of the time before is here too.
    """

    def __init__(self, epoch: str, last: int, *, most: int) -> None:
        self._most = most
        self._past: deque[Past] = deque()
        self.begin(epoch, last)

    def begin(self, epoch: str, last: int) -> None:
        """Begin anew here: what was before cannot be known."""
        self.epoch = epoch
        self.last = self.start = last
        self.looked = False
        self._past.clear()

    def verdict(self, place: Place) -> Verdict:
        """What to do with a message that comes."""
        if place.epoch != self.epoch:
            return Verdict.GAP
        if place.offset <= self.last:
            return Verdict.OLD
        return Verdict.NEXT if place.previous == self.last else Verdict.GAP

    def add(self, past: Past) -> None:
        """The next one is delivered."""
        self.last = past.offset
        self._past.append(past)
        if len(self._past) > self._most:
            self.start = self._past.popleft().offset

    def after(self, offset: int) -> Sequence[Past] | None:
        """All messages after this offset; `None` where some are not here, or there is no such place yet."""
        if not self.start <= offset <= self.last:
            return None
        return [one for one in self._past if one.offset > offset]

    @property
    def complete(self) -> bool:
        """Whether there is nothing before `start` that could be here."""
        return self.looked or len(self._past) >= self._most

    def newest_first(self) -> Iterator[Past]:
        """All messages that are here; for as long as none is added."""
        return reversed(self._past)

    def look_back(self, page: Page, older: Sequence[Past]) -> None:
        """Keep what the engine has of the time before `start`.

        Args:
            page: What was read.
            older: The messages of its entries, as they are sent here.
        """
        self.looked = page.epoch == self.epoch
        before = [one for one in older if one.offset <= self.start]
        if not self.looked or not before or before[-1].offset != self.start:
            return
        room = self._most - len(self._past)
        kept = before[len(before) - room :] if room < len(before) else before
        if kept:
            self._past.extendleft(reversed(kept))
            self.start = kept[0].previous
