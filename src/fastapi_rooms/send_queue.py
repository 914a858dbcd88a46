"""The bounded queue of messages that wait for one client. Pure: no socket, no loop, no clock of its own."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fastapi_rooms.errors import MessageTooLarge
from fastapi_rooms.options import CONTROL_BYTES, CONTROL_MESSAGES, Overflow, QueueLimits
from fastapi_rooms.payload import Payload


class Offer(Enum):
    """What became of a message that was offered to a queue."""

    ACCEPTED = "accepted"
    DROPPED = "dropped"
    OVERFLOWED = "overflowed"
    """Not queued: the policy asks to close the slow consumer."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What one connection missed in one overflow episode.

    Attributes:
        oldest: Messages that `Overflow.DROP_OLDEST` took out of the queue.
        newest: Messages that were dropped on arrival.
        bytes: The size of all of them.
    """

    oldest: int = 0
    newest: int = 0
    bytes: int = 0

    @property
    def messages(self) -> int:
        """How many messages were dropped in all."""
        return self.oldest + self.newest


class _Kept:
    """The scope of messages that no policy evicts: awaited sends, control, and what is of a history."""


KEPT: Final = _Kept()

Scope = str | _Kept | None
"""Whose policy a message in a queue is under: a room's that has one of its own, the manager's, or nobody's."""


class _Entry:
    __slots__ = ("key", "payload", "queued_at", "scope")

    def __init__(self, payload: Payload, *, scope: Scope, key: str | None, queued_at: float) -> None:
        self.payload = payload
        self.scope = scope
        self.key = key
        self.queued_at = queued_at


def check_size(payload: Payload, limits: QueueLimits) -> None:
    """Refuse a message that could never be queued.

    Raises:
        MessageTooLarge: It is larger than `limits.bytes`.
    """
    if limits.bytes is not None and payload.size > limits.bytes:
        raise MessageTooLarge(size=payload.size, limit=limits.bytes)


class SendQueue:
    """First in, first out; bounded by messages and by bytes, what is in flight included.

    A message is offered (`offer`), or pushed by a caller who waited for space (`fits`, `push`). The writer
    takes the head (`take`), which is then in flight, and releases it when the server took it (`release`).

    Args:
        limits: The bounds.
        held: Bytes that the server took and still holds for the client: they count towards the bound by size.
            `None`: the server does not say.

    Attributes:
        sent: Messages that waited, or were in flight, and that the server took.
        sent_bytes: Their size.
        high_water: Most messages that ever waited at once, what was in flight included.
        high_water_bytes: Most bytes that ever waited at once.
        dropped_oldest: Messages taken out by `DROP_OLDEST`.
        dropped_newest: Messages dropped on arrival.
        conflated: Messages replaced by a newer one of the same key.
        discarded: Messages that still waited when the connection ended.
    """

    __slots__ = (
        "_by_key",
        "_bytes",
        "_entries",
        "_episode",
        "_held",
        "_in_flight",
        "_in_flight_since",
        "_limits",
        "_next",
        "conflated",
        "discarded",
        "dropped_newest",
        "dropped_oldest",
        "high_water",
        "high_water_bytes",
        "sent",
        "sent_bytes",
    )

    def __init__(self, limits: QueueLimits, *, held: Callable[[], int] | None = None) -> None:
        self._limits = limits
        self._held = held
        self._entries: OrderedDict[int, _Entry] | None = None  # made when first needed: most never queue
        self._by_key: dict[tuple[Scope, str], int] | None = None
        self._next = 0
        self._bytes = 0
        self._in_flight: Payload | None = None
        self._in_flight_since = 0.0
        self._episode: Dropped | None = None
        self.sent = 0
        self.sent_bytes = 0
        self.high_water = 0
        self.high_water_bytes = 0
        self.dropped_oldest = 0
        self.dropped_newest = 0
        self.conflated = 0
        self.discarded = 0

    def __len__(self) -> int:
        """Messages that wait, what is in flight included."""
        return (len(self._entries) if self._entries else 0) + (self._in_flight is not None)

    @property
    def size(self) -> int:
        """Bytes that wait, what is in flight and what the server holds included."""
        return self._bytes if self._held is None else self._bytes + self._held()

    @property
    def over_half(self) -> bool:
        """Whether more than half of either bound is in use."""
        return self._over_half(self.size)

    @property
    def overflowing(self) -> bool:
        """Whether an overflow episode is on."""
        return self._episode is not None

    @property
    def fullness(self) -> float:
        """The greater of the two shares in use, by messages and by bytes: 0 empty, 1 full."""
        limits = self._limits
        by_messages = 0.0 if limits.messages is None else len(self) / limits.messages
        by_bytes = 0.0 if limits.bytes is None else self.size / limits.bytes
        return max(by_messages, by_bytes)

    def oldest_age(self, now: float) -> float:
        """Seconds that the message which has waited longest has waited; 0 where none waits."""
        times = [entry.queued_at for entry in self._entries.values()] if self._entries else []
        if self._in_flight is not None:
            times.append(self._in_flight_since)
        return now - min(times) if times else 0.0

    def fits(self, size: int, *, control: bool = False) -> bool:
        """Whether a message of `size` bytes finds space; control has some of its own beyond the bounds."""
        messages, size_limit = self._limits.messages, self._limits.bytes
        more_messages, more_bytes = (CONTROL_MESSAGES, CONTROL_BYTES) if control else (0, 0)
        return (messages is None or len(self) < messages + more_messages) and (
            size_limit is None or self.size + size <= size_limit + more_bytes
        )

    def push(self, payload: Payload, *, now: float) -> None:
        """Queue a message for which `fits` was true; no policy will evict it."""
        self._append(_Entry(payload, scope=KEPT, key=None, queued_at=now))

    def offer(
        self,
        payload: Payload,
        *,
        overflow: Overflow,
        now: float,
        scope: Scope = None,
        key: str | None = None,
    ) -> Offer:
        """Queue a message, or do what the policy says where it does not fit.

        Args:
            payload: The message; `check_size` has passed it.
            overflow: The policy of the message's scope.
            now: Seconds on the clock that `oldest_age` is asked with.
            scope: Whose policy this is: a room that has one of its own, or `None` for the manager's. Only
                messages of the same scope are evicted or replaced. `KEPT`: none are, by nobody; with `CLOSE` or
                `DROP_NEWEST` alone.
            key: With `CONFLATE`: which queued message this one replaces.
        """
        conflatable = overflow is Overflow.CONFLATE and key is not None
        if conflatable and self._replace(payload, scope=scope, key=key, now=now):
            return Offer.ACCEPTED
        if not self.fits(payload.size) and not (
            overflow is Overflow.DROP_OLDEST and self._make_room(payload.size, scope)
        ):
            if overflow in (Overflow.CLOSE, Overflow.CONFLATE):
                return Offer.OVERFLOWED
            self.dropped_newest += 1
            self._count(newest=1, size=payload.size)
            return Offer.DROPPED
        number = self._append(_Entry(payload, scope=scope, key=key if conflatable else None, queued_at=now))
        if conflatable and key is not None:
            if self._by_key is None:
                self._by_key = {}
            self._by_key[scope, key] = number
        return Offer.ACCEPTED

    def begin(self, payload: Payload, *, now: float) -> None:
        """Put a message in flight that never waited: the queue is empty and nothing is in flight."""
        self._in_flight = payload
        self._in_flight_since = now
        self._bytes += payload.size
        self._raise_high_water()

    def take(self) -> Payload | None:
        """Put the head in flight and return it; `None` where nothing waits."""
        if not self._entries:
            return None
        entry = self._remove(next(iter(self._entries)))
        self._in_flight = entry.payload
        self._in_flight_since = entry.queued_at
        self._bytes += entry.payload.size
        return entry.payload

    def release(self) -> Dropped | None:
        """The server took what was in flight.

        Returns:
            What was dropped in the overflow episode that ends here (at half full, without what the server
            holds), or `None`.
        """
        payload = self._in_flight
        if payload is not None:
            self._in_flight = None
            self._bytes -= payload.size
            self.sent += 1
            self.sent_bytes += payload.size
        return None if self._over_half(self._bytes) else self.end_episode()

    def end_episode(self) -> Dropped | None:
        """End the overflow episode, if one is on, and return what it dropped."""
        episode, self._episode = self._episode, None
        return episode

    def discard(self) -> None:
        """Forget everything that waits, what is in flight included, and count it."""
        self.discarded += len(self)
        self._entries = self._by_key = self._in_flight = None
        self._bytes = 0

    def _over_half(self, size: int) -> bool:
        limits = self._limits
        return (limits.messages is not None and len(self) > limits.messages // 2) or (
            limits.bytes is not None and size > limits.bytes // 2
        )

    def _append(self, entry: _Entry) -> int:
        if self._entries is None:
            self._entries = OrderedDict()
        number = self._next
        self._next += 1
        self._entries[number] = entry
        self._bytes += entry.payload.size
        self._raise_high_water()
        return number

    def _raise_high_water(self) -> None:
        self.high_water = max(self.high_water, len(self))
        self.high_water_bytes = max(self.high_water_bytes, self.size)

    def _remove(self, number: int) -> _Entry:
        entries = self._entries or OrderedDict()
        entry = entries.pop(number)
        if not entries:
            self._entries = None
        self._bytes -= entry.payload.size
        if entry.key is not None and self._by_key is not None:
            self._by_key.pop((entry.scope, entry.key), None)
        return entry

    def _replace(self, payload: Payload, *, scope: Scope, key: str | None, now: float) -> bool:
        if not self._by_key or key is None or self._entries is None:
            return False
        number = self._by_key.get((scope, key))
        if number is None:
            return False
        entry = self._entries[number]
        more = payload.size - entry.payload.size
        if more > 0 and self._limits.bytes is not None and self.size + more > self._limits.bytes:
            return False
        entry.payload = payload
        entry.queued_at = now
        self._bytes += more
        self.conflated += 1
        self._raise_high_water()
        return True

    def _make_room(self, size: int, scope: Scope) -> bool:
        """Evict the oldest messages of the scope until `size` bytes fit; evict none where that cannot help."""
        messages, size_limit = self._limits.messages, self._limits.bytes
        count_over = 0 if messages is None else len(self) + 1 - messages
        bytes_over = 0 if size_limit is None else self.size + size - size_limit
        victims: list[int] = []
        freed = 0
        for number, entry in (self._entries or {}).items():
            if len(victims) >= count_over and freed >= bytes_over:
                break
            if entry.scope == scope:
                victims.append(number)
                freed += entry.payload.size
        if len(victims) < count_over or freed < bytes_over:
            return False
        for number in victims:
            self._remove(number)
        self.dropped_oldest += len(victims)
        self._count(oldest=len(victims), size=freed)
        return True

    def _count(self, *, size: int, oldest: int = 0, newest: int = 0) -> None:
        episode = self._episode or Dropped()
        self._episode = Dropped(
            oldest=episode.oldest + oldest, newest=episode.newest + newest, bytes=episode.bytes + size
        )
