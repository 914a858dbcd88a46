"""What a conversation tells of: all that has happened, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi_rooms.client.failures import RoomsClientError
from fastapi_rooms.client.membership import Membership
from fastapi_rooms.client.values import Joined, Message, PresenceChange


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The hub has said `connected`.

    Attributes:
        connection: The connection's id.
        user: Whose it is; `None`: nobody's.
    """

    connection: str
    user: str | None


@dataclass(frozen=True, slots=True)
class Entered:
    """A room is joined.

    Attributes:
        membership: Which.
        joined: What the hub says.
        waiting: Whether messages follow that came before.
    """

    membership: Membership
    joined: Joined
    waiting: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message came.

    Attributes:
        membership: In which room; `None`: in none.
        message: It.
    """

    membership: Membership | None
    message: Message


@dataclass(frozen=True, slots=True)
class Out:
    """A membership is over.

    Attributes:
        membership: Which.
        error: Why; `None`: the user has left.
    """

    membership: Membership
    error: RoomsClientError | None


@dataclass(frozen=True, slots=True)
class PresenceTold:
    """It is told anew who is present.

    Attributes:
        membership: In which room.
        changes: What is different, where that is known.
    """

    membership: Membership
    changes: Sequence[PresenceChange]


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was answered.

    Attributes:
        id: Which.
        data: With what.
    """

    id: int
    data: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """A request was refused, or is lost.

    Attributes:
        id: Which.
        error: Why.
    """

    id: int
    error: RoomsClientError


@dataclass(frozen=True, slots=True)
class Complained:
    """The hub told of an error that nobody waits for.

    Attributes:
        error: It.
    """

    error: RoomsClientError


@dataclass(frozen=True, slots=True)
class Missed:
    """The client was too slow, and the hub has dropped something.

    Attributes:
        messages: How many.
        bytes: How long they were.
    """

    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SentAway:
    """The server is about to stop.

    Attributes:
        delay: Seconds to wait once the connection has ended.
    """

    delay: float


@dataclass(frozen=True, slots=True)
class TokenDue:
    """A fresh token is wanted."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """This connection is of no use any more.

    Attributes:
        code: As a close frame has it.
        reason: Why.
    """

    code: int
    reason: str


Happening = (
    Welcomed
    | Entered
    | Said
    | Out
    | PresenceTold
    | Answered
    | Failed
    | Complained
    | Missed
    | SentAway
    | TokenDue
    | HungUp
)
