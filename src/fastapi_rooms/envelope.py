"""What one process tells others through a broker: a line of JSON, then the message as it is. Pure."""

import json
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.payload import Payload

VERSION: Final = 1
_FAMILY: Final = b"fastapi-rooms/"
_MAGIC: Final = _FAMILY + b"%d " % VERSION


class ForeignMessage(RoomsError):
    """What came on a channel of ours is not ours, or of a version that we do not speak.

    Attributes:
        version: The version of the peer that sent it, or `None` where it is no peer.
    """

    def __init__(self, *, version: str | None = None) -> None:
        self.version = version
        what = "not a message of fastapi-rooms" if version is None else f"version {version} of our messages"
        super().__init__(f"{what} came through the broker, and was dropped")


class Kind(Enum):
    """What an envelope asks of those who get it."""

    MESSAGE = "message"
    """Deliver it to the connections here that it is for."""
    CLOSE_ROOM = "close_room"
    """End all memberships of the room."""
    DISCONNECT_USER = "disconnect_user"
    """Close all connections of the user."""
    ASK = "ask"
    """Answer to the asking process who is in the room here."""
    ANSWER = "answer"
    """To a question of ours."""
    ALIVE = "alive"
    """A process says that it runs, and finds out whether it is heard."""
    BYE = "bye"
    """A process ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an envelope says beside its message. Unknown fields are ignored, so that later versions may add some.

    Attributes:
        kind: What it asks for.
        process: Who sent it: random, new at each start.
        number: The sender's own count. Both together name a message.
        room: Which room it is for, or asks about.
        user: Which user it is for. Neither: everyone.
        text: Whether the message is text; else binary.
        exclude: Ids of connections that do not get it.
        exclude_users: Users who do not get it.
        key: See `Overflow.CONFLATE`.
        code: The close code; `None`: members leave and stay connected.
        reason: For those who are closed.
        question: The number of the question that is asked or answered.

    Raises:
        TypeError: Key or reason is no text.
    """

    kind: Kind
    process: str
    number: int
    room: str | None = None
    user: str | None = None
    text: bool = True
    exclude: tuple[str, ...] = ()
    exclude_users: tuple[str, ...] = ()
    key: str | None = None
    code: int | None = None
    reason: str = ""
    question: int | None = None

    def __post_init__(self) -> None:
        if self.key is not None and not isinstance(self.key, str):  # a caller's own, as it came
            raise TypeError(f"key={self.key!r} must be a str")
        if not isinstance(self.reason, str):
            raise TypeError(f"reason={self.reason!r} must be a str")

    @property
    def id(self) -> tuple[str, int]:
        """What tells it from every other."""
        return self.process, self.number


_HEADER: Final = TypeAdapter(Header)
_NAMED: Final = 3
"""Fields that are always said: the first ones."""

_DEFAULTS: Final = {one.name: one.default for one in fields(Header)[_NAMED:]}
_options: Final = attrgetter(*_DEFAULTS)


def seal(header: Header, body: bytes = b"") -> bytes:
    """The bytes that travel."""
    line = _line(header)
    try:
        encoded = to_json(line)
    except PydanticSerializationError:  # a name may hold what UTF-8 cannot: a lone surrogate
        encoded = json.dumps(line, separators=(",", ":")).encode("ascii")
    return b"".join((_MAGIC, encoded, b"\n", body))


def unseal(data: bytes) -> tuple[Header, bytes]:
    """Header and message.

    Raises:
        ForeignMessage: It is none of ours.
    """
    if not data.startswith(_MAGIC):
        version = data[len(_FAMILY) :].split(b" ", 1)[0][:16] if data.startswith(_FAMILY) else None
        raise ForeignMessage(version=None if version is None else version.decode("ascii", "replace"))
    line, separator, body = data[len(_MAGIC) :].partition(b"\n")
    if not separator:
        raise ForeignMessage
    try:
        if b"\\u" in line:  # perhaps a lone surrogate, which pydantic-core refuses
            return _HEADER.validate_python(json.loads(line)), body
        return _HEADER.validate_json(line), body
    except (ValueError, RecursionError) as error:  # ValidationError is a ValueError
        raise ForeignMessage from error


def body_of(payload: Payload) -> bytes:
    """The message as it travels."""
    data = payload.data
    return data.encode() if isinstance(data, str) else data


def payload_of(header: Header, body: bytes) -> Payload:
    """The message to deliver.

    Raises:
        ForeignMessage: It says that it is text, and is not.
    """
    try:
        return Payload(body.decode() if header.text else body, size=len(body))
    except UnicodeDecodeError as error:
        raise ForeignMessage from error


def _line(header: Header) -> dict[str, Any]:
    """What is not as by default: by hand, since a model's own way takes twice as long for each message."""
    line = {"kind": header.kind.value, "process": header.process, "number": header.number}
    for (name, default), value in zip(_DEFAULTS.items(), _options(header), strict=True):
        if value != default:
            line[name] = value
    return line
