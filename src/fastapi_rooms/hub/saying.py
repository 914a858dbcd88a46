"""What a hub says, as it is queued or published, and that it fits; and what its listeners hear of it."""

import logging

from pydantic_core import from_json

from fastapi_rooms.errors import MessageTooLarge, UnencodableMessage
from fastapi_rooms.fanout import Delivery
from fastapi_rooms.listening import Heard
from fastapi_rooms.options import QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.protocol.events import (
    DEFAULT_EVENT,
    FRAMING,
    LEFT_OUT,
    Event,
    event_of,
    frame_for,
    frame_of,
)
from fastapi_rooms.send_queue import check_size

logger = logging.getLogger("fastapi_rooms")


def said(message: object, name: str | None, room: str | None, *, most: int | None, alone: bool) -> Payload:
    """A message for clients: an event; or a frame already, where no other process needs the event.

    Args:
        message: Anything that JSON takes.
        name: Of the event; see `Event`.
        room: Where it is said; `None`: nowhere.
        most: `QueueLimits.bytes`.
        alone: Whether there is no broker.

    Raises:
        MessageTooLarge: Framed it would not fit into any client's queue.
        UnencodableMessage: See `Event`.
    """
    if alone:
        frame = frame_for(message, name, room)
        if most is None or frame.size + LEFT_OUT <= most - _beside(room):  # so does the event, which may be longer
            return frame
    return fitting_event(message, name, room, most=most)


def framed(payload: Payload, room: str | None, user: str | None, limits: QueueLimits) -> Payload | None:
    """The frame of what was published; `None`, and a warning, where it would not fit, or is binary."""
    try:
        frame = frame_of(payload, room)
        check_size(frame, limits)
    except (UnencodableMessage, MessageTooLarge) as error:
        logger.warning("what was published for %r is said to nobody: %s", (room or user or "")[:80], error)
        return None
    return frame


async def to_nobody() -> Delivery:
    """What becomes of a message that nobody can be told."""
    return Delivery()


def heard(payload: Payload) -> Heard:
    """What a listener gets of a `message` frame."""
    frame = from_json(payload.data)
    event = frame.get("event", DEFAULT_EVENT)
    return Heard(data=frame["data"], event=event, position=frame.get("position"))


def fitting_event(message: object, name: str | None, room: str | None, *, most: int | None) -> Event:
    """The event, which will fit into a client's queue once it is framed; see `said`."""
    event = event_of(message, name)
    if most is not None and event.size + _beside(room) > most:
        raise MessageTooLarge(size=event.size, limit=most - _beside(room))
    return event


def _beside(room: str | None) -> int:
    return FRAMING + 6 * len(room or "")
