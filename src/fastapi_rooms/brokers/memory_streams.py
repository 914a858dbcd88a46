"""Streams in plain Python. Pure: they know no clock but the one passed in."""

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

from fastapi_rooms.brokers.streams import IDEMPOTENT_FOR, REMEMBERED, Append, Appended, Entry, Page, Place

MOST_STREAMS: Final = 10_000
"""Streams that are kept; beyond them the one that was used longest ago is forgotten."""

MOST_KEYS: Final = 100_000
"""Idempotency keys that are remembered; beyond them the oldest is forgotten."""


class _Kept(NamedTuple):
    entry: Entry
    until: float


class _Stream:
    __slots__ = ("epoch", "kept", "last", "used", "version")

    def __init__(self) -> None:
        self.epoch = secrets.token_urlsafe(8)
        self.last = 0
        self.version: int | None = None
        self.kept: deque[_Kept] = deque()
        self.used = 0.0


class MemoryStreams:
    """The streams of all channels.

    Args:
        clock: Seconds, such as `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._streams: OrderedDict[str, _Stream] = OrderedDict()
        self._keys: OrderedDict[tuple[str, str], tuple[float, Appended]] = OrderedDict()

    def append(self, message: Append) -> tuple[Appended, Place | None]:
        """Keep a message; where it went, and its place, unless it is not to be published."""
        now = self._clock()
        stream = self._use(message.channel, now)
        before = self._repeated(message, stream, now)
        if before is not None:
            return before._replace(repeated=True), None
        if message.version is not None:
            if stream.version is not None and message.version <= stream.version:
                return Appended(stream.epoch, stream.last, stale=True), None
            stream.version = message.version
        place = Place(stream.epoch, stream.last + 1, stream.last)
        stream.last = place.offset
        stream.kept.append(_Kept(Entry(place.offset, place.previous, message.data), now + message.seconds))
        while len(stream.kept) > message.messages:
            stream.kept.popleft()
        appended = Appended(place.epoch, place.offset)
        if message.idempotency_key is not None:
            self._keys[message.channel, message.idempotency_key] = now + IDEMPOTENT_FOR, appended
            if len(self._keys) > MOST_KEYS:
                self._keys.popitem(last=False)
        return appended, place

    def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`."""
        stream = self._use(channel, self._clock())
        newer = [kept.entry for kept in stream.kept if kept.entry.offset > after]
        return Page(stream.epoch, stream.last, newer[len(newer) - most :] if len(newer) > most else newer)

    def _use(self, channel: str, now: float) -> _Stream:
        """The channel's stream, without what is too old."""
        stream = self._streams.get(channel)
        if stream is None or now - stream.used > REMEMBERED:
            stream = self._streams[channel] = _Stream()
        stream.used = now
        self._streams.move_to_end(channel)
        if len(self._streams) > MOST_STREAMS:
            self._streams.popitem(last=False)
        while stream.kept and stream.kept[0].until <= now:
            stream.kept.popleft()
        return stream

    def _repeated(self, message: Append, stream: _Stream, now: float) -> Appended | None:
        for key, (until, _) in list(islice(self._keys.items(), 2)):  # two for each one that is added
            if until <= now:
                del self._keys[key]
        if message.idempotency_key is None:
            return None
        until, before = self._keys.get((message.channel, message.idempotency_key), (0.0, None))
        return before if before is not None and until > now and before.epoch == stream.epoch else None
