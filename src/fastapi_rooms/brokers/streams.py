"""What an engine keeps of a channel: a stream of its latest messages. A second interface, beside `Broker`'s."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

from fastapi_rooms.brokers.interface import BrokerConnection

IDEMPOTENT_FOR: Final = 300.0
"""Seconds for which an idempotency key is remembered."""

REMEMBERED: Final = 86_400.0
"""Seconds, at least, for which a stream that nobody uses keeps its epoch and its last offset."""

OVERHEAD: Final = 256
"""Bytes that an engine may need beside a message in a stream: so much less than `Broker.message_bytes` fits."""

_PLACE: Final = re.compile(rb"@([A-Za-z0-9_-]{1,64}):(\d{1,19}):(\d{1,19})\n")


class Place(NamedTuple):
    """Where a message stands in its stream.

    Attributes:
        epoch: The stream's: `A-Za-z0-9_-`, at most 64 characters.
        offset: The message's.
        previous: The offset of the one before it; 0: it is the first.
    """

    epoch: str
    offset: int
    previous: int


def placed(place: Place, data: bytes) -> bytes:
    """What `receive` gives for a message that was appended: `@epoch:offset:previous`, a new line, the message."""
    return b"@%b:%d:%d\n%b" % (place.epoch.encode("ascii"), place.offset, place.previous, data)


def split_place(data: bytes) -> tuple[Place | None, bytes]:
    """Place and message; `None` and all of it where it was not appended."""
    found = _PLACE.match(data) if data.startswith(b"@") else None
    if found is None:
        return None, data
    epoch, offset, previous = found.groups()
    return Place(epoch.decode("ascii"), int(offset), int(previous)), data[found.end() :]


class Appended(NamedTuple):
    """Where a message went.

    Attributes:
        epoch: Of the stream.
        offset: Of the message. For a repeated or stale one: of the one that is there.
        repeated: It had been appended before, with the same idempotency key, and was not published again.
        stale: Its version is not newer than that of the last one, and it was not published.
    """

    epoch: str
    offset: int
    repeated: bool = False
    stale: bool = False


class Entry(NamedTuple):
    """A message that is kept.

    Attributes:
        offset: More than that of every one before it in this epoch.
        previous: The offset of the one before it; 0: it is the first. One that may be wrong is too large,
            never too small, so that nothing is missed.
        data: The message.
    """

    offset: int
    previous: int
    data: bytes


class Page(NamedTuple):
    """What was read of a stream.

    Attributes:
        epoch: Random, of this stream; another one when what was kept is lost, or may have been.
        last: The offset of the newest message there ever was in this epoch; 0: none.
        entries: In order.
    """

    epoch: str
    last: int
    entries: Sequence[Entry]

    def has_all_after(self, offset: int) -> bool:
        """Whether no message after this offset is missing from the page."""
        if self.last <= offset:
            return self.last == offset
        return bool(self.entries) and self.entries[0].previous <= offset and self.entries[-1].offset == self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """A message for a stream.

    Attributes:
        channel: Whose stream; those who listen to the channel get it.
        data: The message.
        messages: How many messages the stream keeps from now on; the oldest go first.
        seconds: For how long it keeps this one.
        idempotency_key: The same key once more, within `IDEMPOTENT_FOR`, is not published again. `None`: it is.
        version: It is only published if this is more than the version of the last one that had one. `None`:
            in any case.
    """

    channel: str
    data: bytes
    messages: int
    seconds: float
    idempotency_key: str | None = None
    version: int | None = None


@runtime_checkable
class StreamConnection(BrokerConnection, Protocol):
    """A connection to an engine that keeps streams.

    `receive` gives an appended message with its place: see `placed`. A stream begins with the first append, or
    read; one that nobody uses for `REMEMBERED` seconds may be forgotten, and begins anew with another epoch.
    """

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        """Keep and publish each, in this order; both at once: nobody sees the one without the other.

        Returns when the engine has them. One call at a time, and not beside `publish`. Cancelled, or when it
        raises, some of them may have been appended.
        """
        ...

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """The newest messages of a stream.

        Several calls may run at once, beside all others.

        Args:
            channel: Whose.
            after: Only those after this offset.
            most: At most so many. 0: none, to see where the stream is.
        """
        ...
