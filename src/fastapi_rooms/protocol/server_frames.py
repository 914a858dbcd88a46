"""The frames that a hub sends, as models. A field that is `None` by default is left out while it is."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, SerializerFunctionWrapHandler, model_serializer

from fastapi_rooms.payload import Payload, encode_json


class ServerFrame(BaseModel):
    """A frame of the server."""

    model_config = ConfigDict(frozen=True)
    _optional: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Note which fields may be left out."""
        fields = cls.model_fields.items()
        cls._optional = frozenset(name for name, field in fields if field.default is None)

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if value is not None or name not in self._optional}

    def payload(self) -> Payload:
        """As it is sent."""
        return Payload(self.model_dump_json())


class Connected(ServerFrame):
    """The connection is open, and authenticated.

    Attributes:
        id: Of the client's frame; left out where it sent none (an event stream that joins by itself).
        protocol: Always the same, in this version.
        connection: The connection's id.
        user: Whose it is.
        heartbeat: Seconds of silence after which the client should ask whether the server is there.
    """

    type: Literal["connected"] = "connected"
    id: int | None = None
    protocol: Literal["rooms.v1"] = "rooms.v1"
    connection: str
    user: str | None
    heartbeat: float | None


class JoinedFrame(ServerFrame):
    """The client is a member; see `Joined`."""

    type: Literal["joined"] = "joined"
    id: int | None = None
    room: str
    position: str | None = None
    recovered: bool | None = None
    reason: Literal["epoch_changed", "expired", "too_many", "unavailable"] | None = None
    presence: bool = False


class LeftFrame(ServerFrame):
    """The client is a member no more.

    Attributes:
        id: Of the client's frame; left out where the server has ended the membership.
        room: Of which room.
    """

    type: Literal["left"] = "left"
    id: int | None = None
    room: str


class MessageFrame(ServerFrame):
    """Something was said; see `Event`. Made by `frame_of`; here for the schema.

    Of all frames it comes most often, and to most: what is usual is left out.

    Attributes:
        type: Left out: only this frame has none.
        room: Where; left out: to this user or connection alone, or to everyone.
        event: What it is; left out: `message`.
        data: Any JSON value.
        position: In a room with a history: who has it gets what comes after.
    """

    type: Literal["message"] | None = None
    room: str | None = None
    event: str | None = None
    data: JsonValue
    position: str | None = None


class ReplyFrame(ServerFrame):
    """What a handler returned. Made by `reply`; here for the schema."""

    type: Literal["reply"] = "reply"
    id: int
    data: JsonValue


class ErrorFrame(ServerFrame):
    """Something cannot be done.

    Attributes:
        id: Of the client's frame; left out where that is what is wrong with it.
        code: What kind of error; handlers may have some of their own.
        detail: What is wrong, in words.
        field: Which field is to blame.
    """

    type: Literal["error"] = "error"
    id: int | None = None
    code: str
    detail: str
    field: str | None = None


class PresentFrame(ServerFrame):
    """One connection of somebody who is present; see `Present`."""

    id: str
    metadata: Mapping[str, JsonValue]


class PresenceFrame(ServerFrame):
    """Who is present in a room; see `PresenceView`."""

    type: Literal["presence"] = "presence"
    room: str
    version: int
    count: int
    listed: bool
    users: Mapping[str, list[PresentFrame]]


class PresenceDiffFrame(ServerFrame):
    """What has changed; see `PresenceDiff`."""

    type: Literal["presence-diff"] = "presence-diff"
    room: str
    version: int
    count: int
    listed: bool
    joins: Mapping[str, list[PresentFrame]]
    leaves: Mapping[str, list[PresentFrame]]
    updates: Mapping[str, list[PresentFrame]]


class DroppedFrame(ServerFrame):
    """This client was too slow, and missed something; see `Dropped`."""

    type: Literal["dropped"] = "dropped"
    messages: int
    bytes: int


class GoingAway(ServerFrame):
    """The server is about to stop.

    Attributes:
        delay: Seconds to wait, once the connection has ended, before connecting anew.
    """

    type: Literal["going-away"] = "going-away"
    delay: float


class Ping(ServerFrame):
    """Are you there?"""

    type: Literal["ping"] = "ping"


class Pong(ServerFrame):
    """I am here."""

    type: Literal["pong"] = "pong"


class SessionFrame(ServerFrame):
    """The first of an event stream: with whose secret the client's requests speak for it."""

    type: Literal["session"] = "session"
    session: str


class CloseFrame(ServerFrame):
    """The last of an event stream: what a WebSocket's close frame says."""

    type: Literal["close"] = "close"
    code: int
    reason: str


SERVER_FRAMES: Final[tuple[type[ServerFrame], ...]] = (
    Connected,
    JoinedFrame,
    LeftFrame,
    MessageFrame,
    ReplyFrame,
    ErrorFrame,
    PresenceFrame,
    PresenceDiffFrame,
    DroppedFrame,
    GoingAway,
    Ping,
    Pong,
    SessionFrame,
    CloseFrame,
)

PING: Final = Ping().payload()
PONG: Final = Pong().payload()

_encode: Callable[[object], bytes] = encode_json


def reply(frame_id: int, data: object) -> Payload:
    """The answer to a command, as it is sent.

    Raises:
        UnencodableMessage: The data is not JSON-able.
    """
    return Payload(f'{{"type":"reply","id":{frame_id},"data":{_encode(data).decode()}}}')
