"""What one process tells others through a broker: a line of JSON, then the message as it is. Pure."""

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
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


_SHORT: Final = 255
"""Characters of a name whose JSON is remembered."""

_PLAIN: Final = re.compile(
    rb'\{"kind":"message","process":"([A-Za-z0-9_-]+)","number":(0|[1-9][0-9]{0,17}),"room":"([^"\\\x00-\x1f]*)"\}'
)
"""What nearly every message says, as `seal` writes it: it is read without a parser of JSON, which takes longer."""

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
    kind, process = _quoted(header.kind.value), _quoted(header.process)
    line = b'{"kind":%b,"process":%b,"number":%d' % (kind, process, header.number)
    if header.room is not None:
        line += b',"room":' + _quoted(header.room)
    if header.user is not None:
        line += b',"user":' + _quoted(header.user)
    if not header.text:
        line += b',"text":false'
    if header.exclude:
        line += b',"exclude":' + _json(header.exclude)
    if header.exclude_users:
        line += b',"exclude_users":' + _json(header.exclude_users)
    if header.key is not None:
        line += b',"key":' + _json(header.key)
    if header.code is not None:
        line += b',"code":%d' % header.code
    if header.reason:
        line += b',"reason":' + _json(header.reason)
    if header.question is not None:
        line += b',"question":%d' % header.question
    return b"".join((_MAGIC, line, b"}\n", body))


def unseal(data: bytes) -> tuple[Header, bytes]:
    """Header and message.

    Raises:
        ForeignMessage: It is none of ours.
    """
    if not data.startswith(_MAGIC):
        version = data[len(_FAMILY) :].split(b" ", 1)[0][:16] if data.startswith(_FAMILY) else None
        raise ForeignMessage(version=None if version is None else version.decode("ascii", "replace"))
    end = data.find(b"\n", len(_MAGIC))
    if end < 0:
        raise ForeignMessage
    line, body = data[len(_MAGIC) : end], data[end + 1 :]
    try:
        if (plain := _PLAIN.fullmatch(line)) is not None:
            process, number, room = plain.groups()
            return Header(
                kind=Kind.MESSAGE, process=process.decode(), number=int(number), room=room.decode()
            ), body
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


def _json(value: object) -> bytes:
    try:
        return to_json(value)
    except PydanticSerializationError:  # a name may hold what UTF-8 cannot: a lone surrogate
        return json.dumps(value, separators=(",", ":")).encode("ascii")


_remembered = lru_cache(maxsize=4096)(_json)


def _quoted(name: str) -> bytes:
    """For what is said again and again; no room is kept for what a client made long."""
    return _remembered(name) if len(name) <= _SHORT else _json(name)


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
