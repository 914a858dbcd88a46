"""Where a client is in the history of a room: an opaque text that it keeps, and brings back. Pure."""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

_TEXT: Final = re.compile(r"(\d{1,19})\.([A-Za-z0-9_-]{8})\.([A-Za-z0-9_-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the history of one room: after the message with this offset.

    `str(position)` is what a client keeps: URL-safe, under 100 characters, and opaque: its form may change.
    Positions of one room and epoch can be compared by offset; nothing else can.

    Attributes:
        room: The room's name.
        epoch: Random; another one when the history was lost, or may have been.
        offset: Of the message after which it is; 0: before the first.
    """

    room: str
    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.offset}.{_digest(self.room)}.{self.epoch}"

    @classmethod
    def parse(cls, text: object, *, room: str) -> "Position | None":
        """A position of this room; `None` where the text is none, or one of another room."""
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None or found[2] != _digest(room):
            return None
        return cls(room, found[3], int(found[1]))


def _digest(room: str) -> str:
    """Tells rooms apart: epochs alone need not."""
    digest = hashlib.sha256(room.encode(errors="surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest[:6]).decode("ascii")
