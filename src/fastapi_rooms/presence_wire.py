"""What processes tell each other about who is present: changes, each naming the one before it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, TypeAdapter
from pydantic_core import from_json, to_json

from fastapi_rooms.envelope import ForeignMessage
from fastapi_rooms.errors import MetadataTooLarge, UnencodableMessage
from fastapi_rooms.payload import encode_json

MOST: Final = 256
"""Connections in one message, so that the largest fits every engine."""

_Left: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Change:
    """What a process says of its own connections in a room.

    Attributes:
        after: The clock of what it said before; 0: it had nobody in the room, so that this is all.
        clock: More than all that it has said in this room before; the same as `after`: nothing has changed.
        put: Connections that are there: id, user, metadata, and seconds until it is gone; `None`: it is there.
        drop: Connections that have ended: id, and whose, if they left on purpose. Before those that are there.
        part: Of one that has several, counted from 0.
        more: Whether another part of the same follows; after 0: this is not all, which has to be asked for.
        known: It asks who else is there, and knows so much of each process. `None`: it does not ask.
    """

    after: int
    clock: int
    put: Sequence[tuple[str, str, Mapping[str, Any], _Left | None]] = ()
    drop: Sequence[tuple[str, str | None]] = ()
    part: int = 0
    more: bool = False
    known: Mapping[str, int] | None = None


_CHANGE: Final = TypeAdapter(Change)


def write(change: Change) -> bytes:
    """As it travels."""
    return to_json(change)


def read(body: bytes) -> Change:
    """What came.

    Raises:
        ForeignMessage: It is none of ours.
    """
    try:
        change = _CHANGE.validate_json(body)
    except ValueError as error:
        raise ForeignMessage from error
    if not 0 <= change.after <= change.clock:
        raise ForeignMessage
    return change


def is_sayable(user: str) -> bool:
    """Whether others can be told of a user: a lone surrogate is no Unicode."""
    try:
        user.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain(metadata: Mapping[str, object], *, most: int) -> Mapping[str, object]:
    """Metadata as other processes will see it: a copy, of JSON alone.

    Raises:
        MetadataTooLarge: It has more bytes than `most`.
        UnencodableMessage: It is no JSON object.
    """
    encoded = encode_json(metadata)
    try:
        decoded = from_json(b"[[[%b]]]" % encoded)[0][0][0]  # as deep as in a `Change`, so that others can read it
    except ValueError as error:
        raise UnencodableMessage(message_type=type(metadata), detail=str(error)) from error
    if len(encoded) > most:
        raise MetadataTooLarge(size=len(encoded), limit=most)
    if not isinstance(decoded, dict):
        raise UnencodableMessage(message_type=type(metadata), detail="presence metadata is a JSON object")
    return decoded
