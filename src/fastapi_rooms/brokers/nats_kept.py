"""What a JetStream stream keeps of a message of ours, and what can be said of those that were read. Pure."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from fastapi_rooms.brokers.streams import Entry

NOTE: Final = "Fastapi-Rooms"
"""The header of ours."""

IDENTITY: Final = "Nats-Msg-Id"
"""By which the server knows a repeated message."""


class Note(NamedTuple):
    """What our header says.

    Attributes:
        birth: The sequence of the record with which the channel's stream began; 0: this is that record.
        messages: How many messages are kept from this one on.
        seconds: For how long this one is kept.
        version: Of this one.
    """

    birth: int = 0
    messages: int = 0
    seconds: float = 0.0
    version: int | None = None

    def text(self) -> str:
        """The header's value."""
        version = "-" if self.version is None else self.version
        return f"{self.birth} {self.messages} {self.seconds!r} {version}"


def noted(text: str | None) -> Note | None:
    """The reverse of `Note.text`; `None` where it is not that."""
    try:
        birth, messages, seconds, version = (text or "").split(" ")
        return Note(int(birth), int(messages), float(seconds), None if version == "-" else int(version))
    except ValueError:
        return None


class Stored(NamedTuple):
    """A message as the server has it.

    Attributes:
        seq: Its sequence in the stream.
        at: When it was stored: seconds since 1970, by the server's clock.
        note: Our header; what has none counts as a beginning, so that nothing is concluded from what was before.
        data: Its body.
        identity: Of channel and idempotency key.
    """

    seq: int
    at: float
    note: Note
    data: bytes
    identity: str | None = None

    @property
    def begins(self) -> bool:
        """Whether it is the record with which the channel's stream began, and no message."""
        return self.note.birth == 0

    @property
    def birth(self) -> int:
        """The sequence of that record."""
        return self.note.birth or self.seq

    @property
    def offset(self) -> int:
        """The message's; 0 before the first one."""
        return 0 if self.begins else self.seq


def stored(headers: Mapping[str, str], data: bytes) -> Stored:
    """From what a direct get answers."""
    return _stored(int(headers["Nats-Sequence"]), headers["Nats-Time-Stamp"], headers, data)


def stored_in(message: Mapping[str, Any]) -> Stored:
    """From what the API answers, which is JSON."""
    lines = base64.b64decode(message.get("hdrs", "")).decode("utf-8", "replace").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return _stored(message["seq"], message["time"], headers, base64.b64decode(message.get("data", "")))


def _stored(seq: int, time: str, headers: Mapping[str, str], data: bytes) -> Stored:
    return Stored(seq, seconds_at(time), noted(headers.get(NOTE)) or Note(), data, headers.get(IDENTITY))


def seconds_at(time: str) -> float:
    """Seconds since 1970 of a time in the server's words."""
    return datetime.fromisoformat(time).timestamp()


def entries_of(found: Sequence[Stored], *, oldest: int, after: int, most: int, now: float) -> list[Entry]:
    """The newest of a channel's messages, none of which is missing between the first and the last.

    The message before the first one is only known if it was read too: the one at `after`, or the record of the
    beginning. Else it is taken to be right before it, which is too late rather than too early.

    Args:
        found: What was read, in order: all from `after` on, that one included.
        oldest: The sequence of the first of them that was still there afterwards: the oldest go first, so that
            none has gone after this one; before it, some may have gone while they were read.
        after: Only messages after this offset.
        most: At most so many, nor more than the newest one says.
        now: By the server's clock; what is too old is left out.
    """
    newest = found[-1]
    before: int | None = None
    kept: list[tuple[Stored, int]] = []
    for one in found:
        if one.seq < oldest:
            continue
        if one.birth != newest.birth:  # of a stream that was forgotten
            before = None
            kept.clear()
            continue
        if not one.begins and one.seq > after:
            kept.append((one, one.seq - 1 if before is None else before))
        before = one.offset
    kept = kept[max(0, len(kept) - min(most, newest.note.messages)) :]
    first = next((index for index, (one, _) in enumerate(kept) if one.at + one.note.seconds > now), len(kept))
    return [Entry(one.seq, previous, one.data) for one, previous in kept[first:]]
