"""Every exception of ours, the close codes, and why a connection ended.

RoomsError
├── ConfigurationError (ValueError)        an option that cannot work
│   ├── MissingExtra (ImportError)         an optional dependency is not installed
│   └── WrongEventLoop (RuntimeError)      a manager used from a second event loop or a thread
├── ConnectionClosed (WebSocketDisconnect) the connection is gone
├── NotConnected                           the handshake is still going on
├── ConnectionRefused (HTTPException)      refused before accept
├── JoinRefused                            `authorize` said no, or a limit did
├── MessageTooLarge (ValueError)           a message that no queue of this manager can hold
├── UnencodableMessage (TypeError)         not text, bytes, a model or JSON-able
├── InvalidMessage (ValueError)            what a client sent is not what was asked for
├── BrokerError                            a broker failed
│   ├── BrokerUnavailable                  it is out of reach, or did not take a message in time
│   └── BrokerOverflow                     it brought messages faster than this process takes them
├── HookTimeout (TimeoutError)             a hook was still running after `hook_timeout`
└── AuthenticationError                    no identity: see `fastapi_rooms.auth`
    ├── MissingToken
    ├── InvalidToken
    ├── ExpiredToken
    ├── OriginRefused
    ├── InsufficientScope
    └── AuthenticationUnavailable          keys or tickets are out of reach: 503 (in `fastapi_rooms.auth`)
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect


class CloseCode(IntEnum):
    """WebSocket close codes that this library sends (RFC 6455 §7.4, and our own 4000 to 4999).

    `reconnect` is the advice to the client: 4000 to 4499 say "come back", 4500 to 4999 say "do not".
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TOKEN_EXPIRED = 4001
    SLOW_CONSUMER = 4008
    POSITION_LOST = 4010
    HEARTBEAT_TIMEOUT = 4012
    RATE_LIMITED = 4013
    BAD_TOKEN = 4500
    BAD_FRAME = 4501
    AUTHENTICATION_TIMEOUT = 4502
    TOO_MANY_CONNECTIONS = 4504
    FORBIDDEN = 4507

    @property
    def reconnect(self) -> bool:
        """Whether a client that sees this code should connect again, after a delay with jitter."""
        if self.value >= 4000:
            return self.value < 4500
        return self in _STANDARD_CODES_TO_COME_BACK_FROM


_STANDARD_CODES_TO_COME_BACK_FROM = frozenset(
    {CloseCode.GOING_AWAY, CloseCode.INTERNAL_ERROR, CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER}
)


class DisconnectReason(Enum):
    """Why a connection ended, the same on every server (the raw close code is not)."""

    CLIENT = "client"
    """The client closed, or its network did: servers do not tell these apart dependably."""
    CLOSED = "closed"
    """The application called `connection.close()`, `disconnect()`, `disconnect_user()` or `close_room()`, or
    raised an `HTTPException` or a `WebSocketException`."""
    FINISHED = "finished"
    """The endpoint returned, or left `async with`."""
    HANDLER_ERROR = "handler_error"
    """The endpoint or `on_message` raised."""
    HANDLER_CANCELLED = "handler_cancelled"
    """The endpoint's task was cancelled from outside."""
    HOOK_ERROR = "hook_error"
    """A hook raised, or outlived `hook_timeout`."""
    SLOW_CONSUMER = "slow_consumer"
    """The send queue was full and the policy is `Overflow.CLOSE`, or an awaited send found no space in time."""
    SEND_TIMEOUT = "send_timeout"
    """The server could not take one message within `send_timeout`: the peer stopped reading."""
    IDLE_TIMEOUT = "idle_timeout"
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a reason, not a secret
    AUTHENTICATION_FAILED = "authentication_failed"
    AUTHENTICATION_TIMEOUT = "authentication_timeout"
    FORBIDDEN = "forbidden"
    """`authorize` refused the room given to `connect`."""
    RATE_LIMITED = "rate_limited"
    MESSAGE_TOO_BIG = "message_too_big"
    UNSUPPORTED_DATA = "unsupported_data"
    INVALID_MESSAGE = "invalid_message"
    SHUTDOWN = "shutdown"
    """The server or `drain()` is ending every connection."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """How a connection ended.

    Attributes:
        reason: Ours, and the same on every server.
        code: The close code that we sent, or the one that the server reported. Servers report 1001, 1005 or
            1006 for one and the same event: information, nothing to branch on.
        text: The close frame's reason text, or "".
    """

    reason: DisconnectReason
    code: int
    text: str = ""


class RoomsError(Exception):
    """The base of every exception that this library raises."""


class ConfigurationError(RoomsError, ValueError):
    """An option, or a combination of options, that cannot work."""


class MissingExtra(ConfigurationError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra that brings it: `pip install "fastapi-rooms[<extra>]"`.
    """

    def __init__(self, *, extra: str, feature: str) -> None:
        self.extra = extra
        super().__init__(f'{feature} needs an optional dependency: pip install "fastapi-rooms[{extra}]"')


class WrongEventLoop(ConfigurationError, RuntimeError):
    """A manager was used from another event loop, or thread, than the one its connections live on."""


class ConnectionClosed(RoomsError, WebSocketDisconnect, WebSocketException):
    """The connection is closed; nothing can be sent or received any more.

    It is a `WebSocketDisconnect` too, so `except WebSocketDisconnect` of the tutorials catches it, and a
    `WebSocketException`, so that Starlette takes one that leaves an endpoint for what it is: no error.

    Attributes:
        connection_id: The `id` of the connection.
        disconnect: Reason, close code and text.
        code: `disconnect.code`, as in Starlette.
        reason: `disconnect.text`, as in Starlette.
    """

    def __init__(self, *, connection_id: str, disconnect: Disconnect) -> None:
        WebSocketDisconnect.__init__(self, code=disconnect.code, reason=disconnect.text)
        self.connection_id = connection_id
        self.disconnect = disconnect

    def __str__(self) -> str:
        text = f" ({self.disconnect.text})" if self.disconnect.text else ""
        return f"connection {self.connection_id} is closed: {self.disconnect.reason.value}, {self.code}{text}"


class NotConnected(RoomsError):
    """The connection's handshake is still going on: nothing can be sent, and no room joined, yet."""


class ConnectionRefused(RoomsError, HTTPException):
    """A connection was refused before accept: the client sees the HTTP status (a bare 403 on some servers).

    Attributes:
        status_code: 403 for a room that `authorize` refused, 429 for one user's limit, 503 for the manager's.
        detail: Why, in words fit for the client.
    """


class JoinRefused(RoomsError):
    """A join was refused; the connection itself is unharmed.

    Attributes:
        connection_id: Who wanted in.
        room: The room's name as given.
        reason: What refused, in words.
    """

    def __init__(self, *, connection_id: str, room: str, reason: str) -> None:
        self.connection_id = connection_id
        self.room = room
        self.reason = reason
        super().__init__(f"connection {connection_id} may not join room {room[:80]!r}: {reason}")


class NoHistory(ConfigurationError):
    """What was asked for needs a history, and the room has none.

    Attributes:
        room: The room's name; `None`: it was for everyone, or a user.
    """

    def __init__(self, room: str | None) -> None:
        self.room = room
        what = "what is not for a room" if room is None else f"room {room[:80]!r}"
        super().__init__(f"{what} has no history: RoomManager(history=...) says which rooms have one")


class NoPresence(ConfigurationError):
    """What was asked for needs presence, and the room has none.

    Attributes:
        room: The room's name.
    """

    def __init__(self, room: str) -> None:
        self.room = room
        super().__init__(f"room {room[:80]!r} has no presence: RoomManager(presence=...) says which rooms have it")


class MetadataTooLarge(RoomsError, ValueError):
    """Presence metadata is larger than it may be. Nobody was told of it.

    Attributes:
        size: Its size in bytes, as JSON.
        limit: `Presence.metadata_bytes`.
    """

    def __init__(self, *, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"presence metadata of {size} bytes: everybody in the room gets it, so it has at most {limit}; "
            "leave something out, or raise Presence(metadata_bytes=...)"
        )


class MessageTooLarge(RoomsError, ValueError):
    """A message is larger than `QueueLimits.bytes`, or than a broker takes. It was sent to nobody.

    Attributes:
        size: The message's size in bytes, encoded.
        limit: `QueueLimits.bytes`; or what the broker takes, less what goes with this message.
        broker: Which; `None` where it is the queue that it does not fit into.
    """

    def __init__(self, *, size: int, limit: int, broker: str | None = None) -> None:
        self.size = size
        self.limit = limit
        self.broker = broker
        if broker is None:
            text = f"does not fit into a send queue of {limit} bytes: split it, or raise QueueLimits(bytes=...)"
        else:
            text = f"is more than the {limit} bytes that {broker} takes: split it, or send where it can be had"
        super().__init__(f"a message of {size} bytes {text}")


class UnencodableMessage(RoomsError, TypeError):
    """A message is neither text, bytes, a Pydantic model nor JSON-able. It was sent to nobody.

    Attributes:
        message_type: The type of what was given.
    """

    def __init__(self, *, message_type: type, detail: str) -> None:
        self.message_type = message_type
        super().__init__(f"cannot send a {message_type.__name__}: {detail}")


class InvalidMessage(RoomsError, ValueError):
    """What a client sent is not JSON, not the model, or not of the kind that was asked for.

    Attributes:
        detail: What is wrong, in words fit for the client.
        field: The path of the offending field, such as `user.name`, or "" where no field is to blame.
        code: The close code that `on_invalid_message` uses by default.
    """

    def __init__(self, *, detail: str, field: str = "", code: CloseCode = CloseCode.INVALID_DATA) -> None:
        self.detail = detail
        self.field = field
        self.code = code
        super().__init__(f"{field}: {detail}" if field else detail)


class HookTimeout(RoomsError, TimeoutError):
    """A hook was still running after `Limits.hook_timeout` and was cancelled.

    Attributes:
        hook: The hook's name.
        timeout: Seconds it was given.
    """

    def __init__(self, *, hook: str, timeout: float) -> None:
        self.hook = hook
        self.timeout = timeout
        super().__init__(f"{hook} was still running after hook_timeout={timeout:g} s and was cancelled")


class AuthenticationError(RoomsError):
    """No identity could be established.

    Attributes:
        status: The HTTP status of a refusal before accept.
        code: The close code of a refusal after accept.
        detail: What is wrong, in words fit for the client; never the token.
    """

    status: int = 401
    code: CloseCode = CloseCode.BAD_TOKEN

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class MissingToken(AuthenticationError):
    """No source held a token."""


class InvalidToken(AuthenticationError):
    """The token is malformed, forged, unknown, used up, or not for this application."""


class ExpiredToken(AuthenticationError):
    """The token was good once. The client should fetch another and come back."""

    code = CloseCode.TOKEN_EXPIRED


class OriginRefused(AuthenticationError):
    """The browser's page comes from an origin that may not connect."""

    status = 403
    code = CloseCode.FORBIDDEN


class InsufficientScope(AuthenticationError):
    """The identity lacks a scope that the endpoint requires."""

    status = 403
    code = CloseCode.FORBIDDEN


class BrokerError(RoomsError):
    """A broker failed."""


class BrokerUnavailable(BrokerError):
    """The broker is out of reach, or did not take a message in time.

    Attributes:
        maybe_published: Whether the message may have been taken all the same.
    """

    def __init__(self, message: str, *, maybe_published: bool = False) -> None:
        self.maybe_published = maybe_published
        super().__init__(message)


class BrokerOverflow(BrokerError):
    """Messages came through the broker faster than this process takes them; the connection is made anew.

    Attributes:
        waiting: Messages that waited.
    """

    def __init__(self, *, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} messages from the broker waited: this process does not keep up with them")
