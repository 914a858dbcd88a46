"""The frames that clients send, as models: what each must hold. Unknown fields are ignored."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

MOST_ID: Final = 2**53 - 1
"""The largest integer that JavaScript has without loss (RFC 8259 §6)."""

Id = Annotated[int, Field(strict=True, ge=0, le=MOST_ID)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=100)]
"""Of a command, or an event."""


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True)


class Connect(_Frame):
    """The first frame: who is there.

    Attributes:
        id: To be answered with.
        token: What authenticates, where the handshake does not.
    """

    type: Literal["connect"] = "connect"
    id: Id
    token: StrictStr | None = None


class Join(_Frame):
    """Make me a member.

    Attributes:
        id: To be answered with.
        room: Of which room.
        since: The position from which on I have all.
    """

    type: Literal["join"] = "join"
    id: Id
    room: StrictStr
    since: StrictStr | None = None


class Leave(_Frame):
    """Make me a member no more.

    Attributes:
        id: To be answered with.
        room: Of which room.
    """

    type: Literal["leave"] = "leave"
    id: Id
    room: StrictStr


class Send(_Frame):
    """Do something.

    Attributes:
        id: To be answered with; without one it is not.
        room: Where.
        command: The name of the hub's handler.
        data: What the handler takes.
    """

    type: Literal["send"] = "send"
    id: Id | None = None
    room: StrictStr | None = None
    command: Name
    data: Any = None


class Publish(_Frame):
    """Tell this everyone in the room.

    Attributes:
        id: To be answered with; without one it is not.
        room: Where.
        event: What it is.
        data: Any JSON value.
    """

    type: Literal["publish"] = "publish"
    id: Id | None = None
    room: StrictStr
    event: Name
    data: Any = None


class Tell(_Frame):
    """Tell this of me from now on, where I am present.

    Attributes:
        id: To be answered with; without one it is not.
        room: Where.
        metadata: A JSON object; it replaces the last.
    """

    type: Literal["presence"] = "presence"
    id: Id | None = None
    room: StrictStr
    metadata: dict[str, Any]


class Refresh(_Frame):
    """A fresh token for the same user.

    Attributes:
        id: To be answered with; without one it is not.
        token: The token.
    """

    type: Literal["refresh"] = "refresh"
    id: Id | None = None
    token: StrictStr


class ClientPing(_Frame):
    """Are you there?"""

    type: Literal["ping"] = "ping"


class ClientPong(_Frame):
    """I am here."""

    type: Literal["pong"] = "pong"


ClientFrame = Connect | Join | Leave | Send | Publish | Tell | Refresh | ClientPing | ClientPong

CLIENT_FRAMES: Final[dict[str, type[ClientFrame]]] = {
    "connect": Connect,
    "join": Join,
    "leave": Leave,
    "send": Send,
    "publish": Publish,
    "presence": Tell,
    "refresh": Refresh,
    "ping": ClientPing,
    "pong": ClientPong,
}
"""By their type."""
