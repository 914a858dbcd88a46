"""Server-Sent Events, read piece by piece (the HTML standard, section 9.2.6). Pure."""

import codecs
import re
from typing import Final

_LONGEST: Final = 16 * 1024 * 1024
"""Characters of one event."""

_LINE: Final = re.compile(r"\r\n|\n|\r(?!\Z)")
"""Where a line ends. A CR at the end of a piece may be half of a CRLF: it waits for the next piece."""


class EventTooLong(ValueError):
    """An event is longer than any that a hub sends."""


class Events:
    """The data of the events of one stream; names, ids and comments are let be."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[str]:
        """The events that are complete with this piece.

        Raises:
            EventTooLong: One is far too long.
        """
        *lines, self._rest = _LINE.split(self._rest + self._decoder.decode(piece))
        events: list[str] = []
        for line in lines:
            if line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
                self._size += len(line)
            elif not line and self._data:
                events.append("\n".join(self._data))
                self._data, self._size = [], 0
            self._check(0)
        self._check(len(self._rest))
        return events

    def _check(self, more: int) -> None:
        if self._size + more > _LONGEST:
            raise EventTooLong("the server sent an event that is far too long")
