"""What a client says, read: frames, or what is wrong with them. Pure, and total: any text has an answer."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.protocol.client_frames import CLIENT_FRAMES, MOST_ID, ClientFrame

SUBPROTOCOL: Final = "rooms.v1.json"
"""What a WebSocket offers, and the server chooses."""

MOST_FRAMES: Final = 64
"""Frames that a message may have."""

_VALIDATE: Final = {name: model.__pydantic_validator__.validate_python for name, model in CLIENT_FRAMES.items()}
"""What `model_validate` calls, in a third of its time."""

_ONE: Final[TypeAdapter[ClientFrame]] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])
_VALIDATE_ONE: Final = _ONE.validator.validate_json
"""Of a text, in one step: half the time of the two that say what is wrong with it."""


class BadMessage(RoomsError, ValueError):
    """A message is no frame, nor an array of frames: the connection is closed with 4501."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """A frame that cannot be handled, and how that is answered.

    Attributes:
        code: Of the error.
        detail: What is wrong, in words fit for the client.
        id: Of the frame; `None`: it has none, and is not answered, or the id itself is wrong.
        field: Which field is to blame; "": none, or all.
    """

    code: str
    detail: str
    id: int | None = None
    field: str = ""

    @property
    def told(self) -> bool:
        """Whether the client is told of it."""
        return self.id is not None or self.field == "id"


def read(message: str) -> list[ClientFrame | Flaw]:
    """The frames of a message, each as it is meant, or what is wrong with it.

    Raises:
        BadMessage: It is no JSON, no object or array of objects, has more than 64, or one without a type.
    """
    value, whole = parse(message)
    frames = value if isinstance(value, list) else [value]
    if not 1 <= len(frames) <= MOST_FRAMES:
        raise BadMessage(f"a message has 1 to {MOST_FRAMES} frames")
    return [_validated(frame, whole=whole) for frame in frames]


def read_one(message: str) -> ClientFrame | None:
    """The frame of a message that is one, and right, in half the time of `read`; `None`: that says what it is."""
    if message.startswith("{") and "NaN" not in message and "Infinity" not in message:  # it takes these for JSON
        try:
            frame: ClientFrame = _VALIDATE_ONE(message)
        except ValueError:  # ValidationError is one, and what is no Unicode raises another
            return None
        return frame
    return None


def parse(message: str | bytes) -> tuple[Any, bool]:
    """JSON as a client has it, and whether all of its texts are whole.

    JavaScript writes half of a surrogate pair as an escape (RFC 8259 §8.2): that is JSON, and cannot be sent on.

    Raises:
        BadMessage: It is no JSON.
    """
    data = message.encode(errors="replace") if isinstance(message, str) else message
    try:
        return from_json(data, allow_inf_nan=False), True
    except ValueError:
        if b"\\ud" not in data.lower():
            raise BadMessage("this is not JSON") from None
    try:
        return json.loads(data, parse_constant=_refuse), False
    except (ValueError, RecursionError):
        raise BadMessage("this is not JSON") from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _is_whole(value: Any) -> bool:
    try:
        to_json(value)
    except (PydanticSerializationError, ValueError, RecursionError):
        return False
    return True


def _validated(frame: Any, *, whole: bool) -> ClientFrame | Flaw:
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise BadMessage("a frame is an object with a type")
    if not whole and not _is_whole(frame):
        return Flaw(code="invalid", detail="there is half of a character in it", id=_id_of(frame))
    validate = _VALIDATE.get(frame["type"])
    if validate is None:
        return Flaw(code="unknown_type", detail=f"there is no frame {frame['type'][:40]!r}", id=_id_of(frame))
    try:
        valid: ClientFrame = validate(frame)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        return Flaw(code="invalid", detail=first["msg"], field=field, id=_id_of(frame))
    return valid


def _id_of(frame: dict[str, Any]) -> int | None:
    value = frame.get("id")
    return value if type(value) is int and 0 <= value <= MOST_ID else None
