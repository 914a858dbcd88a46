"""Events: what is said in a hub's rooms. They travel as they are; each process frames them for its clients."""

import re
from functools import lru_cache
from typing import Final

from pydantic import BaseModel
from pydantic_core import from_json

from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.payload import JSON_TYPES, Payload, encode_json
from fastapi_rooms.position import Position

DEFAULT_EVENT: Final = "message"
"""The name of what has none."""

_USUAL: Final = f'"event":"{DEFAULT_EVENT}",'
"""What a frame leaves out."""

LEFT_OUT: Final = len(_USUAL)
"""Bytes that an event may have more than its frame."""

FRAMING: Final = 256
"""Bytes that a frame has more than its event, beside the room's name; more than enough."""

_BORDER: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_FIELDS: Final = frozenset({"event", "data"})
_ON_ONE_LINE: Final = str.maketrans("\r\n", "  ")
"""JSON has line breaks between values alone, and an event stream has none within a message."""


class Event(Payload):
    """Something to be said: `{"event": "said", "data": …}`. What a `Publisher` sends to a hub's room.

    Args:
        data: Anything that JSON takes, a Pydantic model too.
        name: How clients listen for it. `None`: the model's class name in snake case, `message` for all else.

    Raises:
        UnencodableMessage: The data is not JSON-able, or bytes.
    """

    __slots__ = ()

    def __init__(self, data: object, name: str | None = None) -> None:
        encoded = b'{"event":%b,"data":%b}' % (_quoted(_name_of(data) if name is None else name), _encoded(data))
        super().__init__(encoded.decode(), size=len(encoded))


class Frame(Payload):
    """A frame, as it is sent to clients: nothing is put around it any more."""

    __slots__ = ()


def event_of(message: object, name: str | None = None) -> Event:
    """The event to say a message with; an `Event` is one already, and keeps its name."""
    return message if isinstance(message, Event) else Event(message, name)


def frame_of(payload: Payload, room: str | None, position: Position | None = None) -> Payload:
    """The `message` frame for an event; what is a frame already stays as it is.

    What others have published, and is no event, gets to the clients as one: `message`, with the JSON value or the
    text as its data.

    Args:
        payload: What was published.
        room: To which room; `None`: to a user, or to everyone.
        position: In a room with a history: its place.

    Raises:
        UnencodableMessage: It is binary.
    """
    if isinstance(payload, Frame):
        return payload
    event = payload.data if isinstance(payload, Event) else _as_event(payload.data)
    head = "" if room is None else f'"room":{_quoted(room).decode()},'
    tail = "" if position is None else f',"position":"{position}"'
    event_id = None if position is None else str(position)
    return Frame(f"{{{head}{str(event)[1:-1].removeprefix(_USUAL)}{tail}}}", event_id=event_id)


def frame_for(message: object, name: str | None, room: str | None) -> Payload:
    """`frame_of(event_of(message, name), room)`, at once: where nobody else needs the event.

    Raises:
        UnencodableMessage: See `Event`.
    """
    if isinstance(message, Event):
        return frame_of(message, room)
    data = encode_json(message) if type(message) in JSON_TYPES else _encoded(message)
    encoded = b"%b%b}" % (_head(room, _name_of(message) if name is None else name), data)
    return Frame(encoded.decode(), size=len(encoded))


@lru_cache(maxsize=1024)
def _head(room: str | None, name: str) -> bytes:
    """A frame up to its data."""
    place = b"" if room is None else b'"room":%b,' % _quoted(room)
    event = b"" if name == DEFAULT_EVENT else b'"event":%b,' % _quoted(name)
    return b'{%b%b"data":' % (place, event)


@lru_cache(maxsize=1024)
def _quoted(text: str) -> bytes:
    return encode_json(text)


def _encoded(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        raise UnencodableMessage(message_type=type(data), detail="a hub speaks JSON: encode bytes as text")
    return encode_json(data)


def _as_event(data: str | bytes) -> str:
    if isinstance(data, bytes):
        raise UnencodableMessage(
            message_type=bytes, detail="a hub speaks JSON, and binary came through the broker"
        )
    try:
        value = from_json(data.encode(), allow_inf_nan=False)
    except ValueError:
        return str(Event(data).data)
    text = data.translate(_ON_ONE_LINE).strip()  # as it is: its numbers may be more than Python's
    if isinstance(value, dict) and value.keys() == _FIELDS and isinstance(value["event"], str):
        return text
    return f'{{"event":"{DEFAULT_EVENT}","data":{text}}}'


def _name_of(message: object) -> str:
    if type(message) in JSON_TYPES:
        return DEFAULT_EVENT
    if isinstance(message, BaseModel):
        return _BORDER.sub("_", type(message).__name__).lower()
    return DEFAULT_EVENT
