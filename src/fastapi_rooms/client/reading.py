"""What a hub says, read. Fields and types that are not known are let be; what is broken raises."""

from typing import Any, TypeVar

from pydantic_core import from_json

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.presence import Present

T = TypeVar("T", str, bool, int)
Frame = dict[str, Any]


class BrokenMessage(RoomsError, ValueError):
    """A message of the server that is not of this protocol: the connection is made anew."""


def read(message: str | bytes) -> list[Frame]:
    """The frames of a message.

    Raises:
        BrokenMessage: It is binary, no JSON, no object or array of objects, or one has neither a type nor data.
    """
    if not isinstance(message, str):
        raise BrokenMessage("the server sent bytes")
    try:
        value = from_json(message.encode())
    except ValueError:
        raise BrokenMessage("the server sent what is not JSON") from None
    frames = value if isinstance(value, list) else [value]
    for frame in frames:
        if not isinstance(frame, dict):
            raise BrokenMessage("the server sent what is no frame")
        if "data" in frame:
            frame.setdefault("type", "message")  # the only one that may leave it out
        if not isinstance(frame.get("type"), str):
            raise BrokenMessage("the server sent a frame without a type")
    return frames


def needed(frame: Frame, name: str, kind: type[T]) -> T:
    """A field that must be there.

    Raises:
        BrokenMessage: It is not, or has another type.
    """
    value: object = frame.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _broken(frame, name)
    return value


def given(frame: Frame, name: str, kind: type[T]) -> T | None:
    """A field that may be left out, or `null`.

    Raises:
        BrokenMessage: It has another type.
    """
    return None if frame.get(name) is None else needed(frame, name, kind)


def seconds(frame: Frame, name: str) -> float | None:
    """A time, which may be left out, or `null`.

    Raises:
        BrokenMessage: It is none.
    """
    value = frame.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise _broken(frame, name)
    return float(value)


def people(frame: Frame, name: str) -> dict[str, tuple[Present, ...]]:
    """Users, with their connections.

    Raises:
        BrokenMessage: They are not what they should be.
    """
    found = frame.get(name)
    if not isinstance(found, dict):
        raise _broken(frame, name)
    try:
        return {
            user: tuple(Present(id=one["id"], metadata=one["metadata"]) for one in connections)
            for user, connections in found.items()
        }
    except (TypeError, KeyError):
        raise _broken(frame, name) from None


def id_of(frame: Frame) -> int | None:
    """The frame that it answers; `None`: it answers none."""
    value = frame.get("id")
    return value if type(value) is int else None


def _broken(frame: Frame, name: str) -> BrokenMessage:
    return BrokenMessage(f"the server sent {frame.get('type', 'data')!r} with a wrong {name!r}")
