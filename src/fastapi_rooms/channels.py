"""Names of channels at a broker: safe on every engine, whatever a room or a user is called. Pure."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from fastapi_rooms.errors import ConfigurationError

_LONGEST: Final = 200
"""Characters of a quoted name; a longer one is cut, and told from others by its hash."""

_SHORT: Final = 255
"""Characters of a name whose quoting is remembered: no room is kept for what a client made long."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of one manager.

    Names consist of `A-Za-z0-9_-`, `%`, `~`, and dots between their parts: `rooms.room.lobby`,
    `rooms.room.caf%C3%A9`. What else a room's name holds is percent-encoded (RFC 3986 §2.1), dots and tildes too,
    so that no name is a wildcard or reaches another's channel.

    Attributes:
        prefix: Tells managers, and apps, at one broker apart: 1 to 32 of `A-Za-z0-9_-`.
    """

    prefix: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigurationError(f"prefix={self.prefix!r} must be 1 to 32 characters of A-Z a-z 0-9 _ -")

    @property
    def everyone(self) -> str:
        """The channel that every process listens to."""
        return f"{self.prefix}.all"

    def room(self, name: str) -> str:
        """Where what is for a room travels."""
        return f"{self.prefix}.room.{_quoted(name)}"

    def user(self, user_id: str) -> str:
        """Where what is for all connections of a user travels."""
        return f"{self.prefix}.user.{_quoted(user_id)}"

    def process(self, process_id: str) -> str:
        """Where answers to a process travel."""
        return f"{self.prefix}.process.{_quoted(process_id)}"


def _quoted(name: str) -> str:
    return _remembered(name) if len(name) <= _SHORT else _quote(name)


def _quote(name: str) -> str:
    encoded = name.encode(errors="surrogatepass")
    quoted = quote(encoded, safe="").replace(".", "%2E").replace("~", "%7E")
    if quoted and len(quoted) <= _LONGEST:
        return quoted
    return f"{quoted[:64]}~{hashlib.sha256(encoded).hexdigest()}"


_remembered = lru_cache(maxsize=4096)(_quote)
