"""What one process tells others through a broker: a line of JSON, then the message as it is. Pure."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic_core import PydanticSerializationError, from_json, to_json

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
    PRESENCE = "presence"
    """What has changed about who of the sending process is in the room."""
    PRESENCE_ASK = "presence_ask"
    """Tell the asking process who is in the room here."""
    PRESENCE_ALL = "presence_all"
    """Who of the sending process is in the room."""
    REQUEST = "request"
    """To one process: do something for a client of its own, and answer."""
    ALIVE = "alive"
    """A process says that it runs, and finds out whether it is heard."""
    BYE = "bye"
    """A process ends."""


@dataclass(slots=True, kw_only=True)
class Header:
    """What an envelope says beside its message. Unknown fields are ignored, so that later versions may add some.

    Attributes:
        kind: What it asks for.
        process: Who sent it: random, new at each start.
        number: The sender's own count. Both together name a message.
        room: Which room it is for, or asks about.
        user: Which user, or process, it is for. Neither: everyone.
        text: Whether the message is text; else binary.
        exclude: Ids of connections that do not get it.
        exclude_users: Users who do not get it.
        key: See `Overflow.CONFLATE`.
        code: The close code; `None`: members leave and stay connected.
        reason: For those who are closed.
        question: The number of the question that is asked or answered.
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

    @property
    def id(self) -> tuple[str, int]:
        """What tells it from every other."""
        return self.process, self.number


_KINDS: Final = {kind.value: kind for kind in Kind}
_TYPES: Final[dict[str, type]] = {
    "kind": str,
    "process": str,
    "number": int,
    "room": str,
    "user": str,
    "text": bool,
    "exclude": list,
    "exclude_users": list,
    "key": str,
    "code": int,
    "reason": str,
    "question": int,
}
"""Of the fields, in JSON."""


def seal(header: Header, body: bytes = b"") -> bytes:
    """The bytes that travel.

    Raises:
        TypeError: Key or reason is no text: both are a caller's, as they came.
    """
    if header.key is not None and not isinstance(header.key, str):
        raise TypeError(f"key={header.key!r} must be a str")
    if not isinstance(header.reason, str):
        raise TypeError(f"reason={header.reason!r} must be a str")
    line: dict[str, Any] = {"kind": header.kind.value, "process": header.process, "number": header.number}
    if header.room is not None:
        line["room"] = header.room
    if header.user is not None:
        line["user"] = header.user
    if not header.text:
        line["text"] = False
    if header.exclude:
        line["exclude"] = header.exclude
    if header.exclude_users:
        line["exclude_users"] = header.exclude_users
    if header.key is not None:
        line["key"] = header.key
    if header.code is not None:
        line["code"] = header.code
    if header.reason:
        line["reason"] = header.reason
    if header.question is not None:
        line["question"] = header.question
    return b"".join((_MAGIC, _json(line), b"\n", body))


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
        # pydantic-core is the faster one, and refuses a lone surrogate.
        return _read(json.loads(line) if b"\\u" in line else from_json(line)), body
    except (ValueError, TypeError, KeyError, RecursionError) as error:
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


def _json(line: dict[str, Any]) -> bytes:
    try:
        return to_json(line)
    except PydanticSerializationError:  # a name may hold what UTF-8 cannot: a lone surrogate
        return json.dumps(line, separators=(",", ":")).encode("ascii")


def _read(line: Any) -> Header:
    """By hand, as `seal`: a model's own way takes twice as long, and every message goes through both."""
    if not isinstance(line, dict):
        raise TypeError(line)
    fields: dict[str, Any] = {}
    for name, value in line.items():
        expected = _TYPES.get(name)
        if expected is None or value is None:
            continue
        if type(value) is not expected:
            raise TypeError(name)
        fields[name] = _texts(value) if isinstance(value, list) else value
    fields["kind"] = _KINDS[fields["kind"]]
    return Header(**fields)


def _texts(values: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(one, str) for one in values):
        raise TypeError(values)
    return tuple(values)
