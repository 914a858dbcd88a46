"""What a hub says, and what that means for the conversation. Pure."""

from typing import Final

from fastapi_rooms.client.conversation import Conversation, Line
from fastapi_rooms.client.failures import HubRefused, Removed
from fastapi_rooms.client.happenings import (
    Answered,
    Complained,
    Entered,
    Failed,
    Missed,
    PresenceTold,
    Said,
    SentAway,
    Welcomed,
)
from fastapi_rooms.client.membership import Membership, Phase
from fastapi_rooms.client.outbox import Purpose
from fastapi_rooms.client.reading import BrokenMessage, Frame, given, id_of, needed, read, seconds
from fastapi_rooms.client.returning import BROKEN
from fastapi_rooms.client.values import Message

_ANSWERS: Final = {"connected": Purpose.CONNECT, "joined": Purpose.JOIN}


def hear(conversation: Conversation, message: str | bytes, *, now: float) -> None:
    """A message of the server. One that is broken ends the connection, and the client comes back."""
    if conversation.line not in (Line.GREETING, Line.UP):
        return
    conversation.heard(now)
    try:
        for frame in read(message):
            if conversation.line not in (Line.GREETING, Line.UP):
                return
            _hear(conversation, frame, now)
    except BrokenMessage as error:
        conversation.hang_up(BROKEN, str(error))


def _hear(conversation: Conversation, frame: Frame, now: float) -> None:
    match frame["type"]:
        case "message":
            _message(conversation, frame)
        case "reply":
            _reply(conversation, frame, now)
        case "error":
            _error(conversation, frame, now)
        case "connected" | "joined":
            _answer(conversation, frame, now)
        case "left":
            _left(conversation, frame)
        case "presence" | "presence-diff":
            _presence(conversation, frame)
        case "ping":
            conversation.outbox.push(Purpose.NOTE, "pong")
        case "dropped":
            conversation.tell(Missed(needed(frame, "messages", int), needed(frame, "bytes", int)))
        case "going-away":
            conversation.tell(SentAway(seconds(frame, "delay") or 0.0))
        case "close":
            conversation.hang_up(needed(frame, "code", int), given(frame, "reason", str) or "")


def _message(conversation: Conversation, frame: Frame) -> None:
    room = given(frame, "room", str)
    event = "message" if "event" not in frame else needed(frame, "event", str)
    message = Message(event, frame.get("data"), given(frame, "position", str), room)
    if room is None:
        conversation.tell(Said(None, message))
        return
    membership = conversation.memberships.get(room)
    if membership is not None and membership.hear(message):
        conversation.tell(Said(membership, message))


def _answer(conversation: Conversation, frame: Frame, now: float) -> None:
    outgoing = conversation.outbox.answered(id_of(frame))
    if outgoing is None:
        return
    if outgoing.purpose is not _ANSWERS[frame["type"]]:
        raise BrokenMessage(f"the server answered {outgoing.purpose.value!r} with {frame['type']!r}")
    if outgoing.purpose is Purpose.CONNECT:
        conversation.welcomed(seconds(frame, "heartbeat"), now=now)
        conversation.tell(Welcomed(needed(frame, "connection", str), given(frame, "user", str)))
    elif outgoing.membership is not None and outgoing.membership.phase is Phase.ASKED:
        _joined(conversation, outgoing.membership, frame)


def _joined(conversation: Conversation, membership: Membership, frame: Frame) -> None:
    joined, held = membership.enter(frame)
    conversation.tell(Entered(membership, joined, waiting=bool(held)))
    for message in held:
        conversation.tell(Said(membership, message))


def _left(conversation: Conversation, frame: Frame) -> None:
    outgoing = conversation.outbox.answered(id_of(frame))
    if outgoing is not None:
        conversation.tell(Answered(outgoing.id, None))
    membership = conversation.memberships.get(needed(frame, "room", str))
    if membership is None:
        return
    if membership.phase is Phase.IN and id_of(frame) is None:
        conversation.over(membership, Removed())
    else:  # with an id, or before `joined`, it is about the time before
        membership.forget_held()


def _reply(conversation: Conversation, frame: Frame, now: float) -> None:
    outgoing = conversation.outbox.answered(id_of(frame))
    if outgoing is None:
        return
    if outgoing.purpose is Purpose.REFRESH:
        data = frame.get("data")
        conversation.renewal.begin(seconds(data, "expires_in") if isinstance(data, dict) else None, now=now)
    elif outgoing.purpose in (Purpose.REQUEST, Purpose.TELL):
        conversation.tell(Answered(outgoing.id, frame.get("data")))
    else:
        raise BrokenMessage(f"the server answered {outgoing.purpose.value!r} with a reply")


def _error(conversation: Conversation, frame: Frame, now: float) -> None:
    detail, field = given(frame, "detail", str) or "", given(frame, "field", str) or ""
    error = HubRefused(needed(frame, "code", str), detail, field=field)
    outgoing = conversation.outbox.answered(id_of(frame))
    if outgoing is None:
        conversation.tell(Complained(error))
        return
    match outgoing.purpose:
        case Purpose.CONNECT:
            raise BrokenMessage(f"the server refused to connect: {error}")
        case Purpose.JOIN if outgoing.membership is not None:
            conversation.refused(outgoing.membership, error, now=now)
        case Purpose.LEAVE:
            conversation.tell(Answered(outgoing.id, None))  # the hub says that it is no member: that was wanted
        case Purpose.REFRESH:
            conversation.renewal.fail(now=now)
            conversation.tell(Complained(error))
        case _:
            if outgoing.membership is not None and outgoing.membership.told == outgoing.id:
                outgoing.membership.metadata = None  # it would be refused again
            conversation.tell(Failed(outgoing.id, error))


def _presence(conversation: Conversation, frame: Frame) -> None:
    membership = conversation.memberships.get(needed(frame, "room", str))
    if membership is None or membership.phase is not Phase.IN:
        return
    snapshot = frame["type"] == "presence"
    changes = membership.presence.settle(frame) if snapshot else membership.presence.apply(frame)
    if changes is not None:
        conversation.tell(PresenceTold(membership, changes))
