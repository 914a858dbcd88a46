"""What is bounded, and what happens at the bound: small frozen dataclasses.

Everywhere `None` switches a bound off. Times are seconds, sizes are bytes. An option that cannot work raises
`ConfigurationError` when the dataclass is made, not when the first client arrives.
"""

import math
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from fastapi_rooms.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MOST_METADATA: Final = 2048
"""Bytes that may be told of one connection: hundreds of them travel in one message."""

MOST_HISTORY: Final = 10_000
"""Messages that may be kept of a room: each process has those of its own rooms in memory."""

CONTROL_MESSAGES: Final = 16
"""Messages that a full send queue still takes for control: replies, heartbeats, presence."""

CONTROL_BYTES: Final = 64 * 1024
"""Bytes that a full send queue still takes for control."""


class Overflow(Enum):
    """What happens to a broadcast, or a `send_nowait`, that finds a connection's send queue full.

    Awaited sends (`await connection.send(...)`) are not subject to it: they wait for space.
    """

    CLOSE = "close"
    """Close the slow consumer with 4008; it may come back. For messages that must not be missed."""
    DROP_OLDEST = "drop_oldest"
    """Drop the oldest queued messages until the new one fits. For streams where the newest matters."""
    DROP_NEWEST = "drop_newest"
    """Drop the new message. For streams where a run without holes matters more than being up to date."""
    CONFLATE = "conflate"
    """A newer message with the same `key=` replaces the queued one, in its place. For state: figures, cursors.

    Replacing happens whenever a message with that key is still queued, full or not, and counts as
    `conflated` in the statistics. A message that finds the queue full and nothing to replace closes the
    connection as `CLOSE` does, so bound the number of keys below `QueueLimits.messages`.
    """


def _check_bounds(options: "DataclassInstance", *, zero_allowed: frozenset[str] = frozenset()) -> None:
    for field in fields(options):
        value = getattr(options, field.name)
        if value is None or isinstance(value, (str, bytes, bool)) or not isinstance(value, (int, float)):
            continue
        if math.isnan(value) or value < 0 or (value == 0 and field.name not in zero_allowed):
            name = type(options).__name__
            raise ConfigurationError(f"{name}({field.name}={value!r}) must be more than 0; None switches it off")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """The bounds of each connection's send queue, what is in flight included.

    Attributes:
        messages: Messages that may wait for one client. `None`: no bound by number.
        bytes: Bytes that may wait for one client, as encoded. `None`: no bound by size. A message larger than
            this raises `MessageTooLarge`.
        send_timeout: Seconds that the server may take for one message, and that an awaited send waits for
            space. Then the connection is closed with 4008. `None`: for ever.
        close_timeout: Seconds that the close frame, and what is queued before it, may take, and within which a
            peer that did not read must answer it. Then the transport is aborted where the server allows it.
            `None`: for ever.
    """

    messages: int | None = 1024
    bytes: int | None = 1024 * 1024
    send_timeout: float | None = 5.0
    close_timeout: float | None = 2.0

    def __post_init__(self) -> None:
        _check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process, one user and one client may use.

    Attributes:
        connections: Connections of this manager; one more is refused with 503 before accept.
        connections_per_user: Connections of one `user_id`; one more is refused with 429 before accept, or
            closed with 4504 where the user is known only after it.
        rooms_per_connection: Rooms that one connection may be in; one more raises `JoinRefused`.
        room_name_bytes: Longest room name, UTF-8 encoded; a longer one raises `JoinRefused`.
        message_bytes: Longest message from a client, UTF-8 encoded; a longer one closes with 1009. The server
            buffers a whole message before we see it: set its own limit too.
        inbox_messages: Received messages that may wait for the handler; then the socket is not read.
        inbox_bytes: Bytes that may wait for the handler; then the socket is not read.
        idle_timeout: Seconds without any message from the client, then it is closed with 4012.
        handler_grace: Seconds that a running endpoint or `on_message` has after the disconnect, then its task
            is cancelled. 0: at once.
        hook_timeout: Seconds for each hook and each `authorize`.
        authentication_timeout: Seconds for the first message of `connect(..., authenticate=...)`; then 4502.
        write_window: Seconds for which messages to one client are gathered into one write, on servers with shared
            frames and for a hub's clients: up to so much later, in fewer writes. `None` (default): for one turn
            of the event loop.
        shutdown_spread: Seconds over which the clients are sent away with 1012 when the server stops, on servers
            with shared frames, so that they do not all come back at once. The server's own graceful timeout must
            be longer. `None` (default), and behind a middleware that wraps `send`: all at once, as the server
            does it.
    """

    connections: int | None = None
    connections_per_user: int | None = None
    rooms_per_connection: int | None = 128
    room_name_bytes: int | None = 255
    message_bytes: int | None = 64 * 1024
    inbox_messages: int | None = 32
    inbox_bytes: int | None = 256 * 1024
    idle_timeout: float | None = None
    handler_grace: float | None = 5.0
    hook_timeout: float | None = 10.0
    authentication_timeout: float | None = 10.0
    write_window: float | None = None
    shutdown_spread: float | None = None

    def __post_init__(self) -> None:
        _check_bounds(self, zero_allowed=frozenset({"handler_grace"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Token buckets for what one client sends: a message beyond them closes with 4013.

    Attributes:
        rate: Messages per second, sustained. `None`: not limited by number.
        burst: Messages that may come at once after a quiet time.
        bytes_rate: Bytes per second, sustained. `None` (default): not limited by size.
        bytes_burst: Bytes that may come at once; `None`: the larger of `bytes_rate` and 64 KiB.
    """

    rate: float | None = 100.0
    burst: float = 200.0
    bytes_rate: float | None = None
    bytes_burst: float | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)
        if self.burst < 1:
            raise ConfigurationError(f"RateLimit(burst={self.burst!r}) must be at least 1, or nothing passes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A message or a ping to a quiet client, who must then show life: any inbound message, to a ping a pong too.

    A message is for servers that have no protocol pings, for proxies that cut quiet connections, and for clients
    that answer in the application: the page must reply to it with anything at all. `message=None` sends protocol
    pings (RFC 6455 §5.5.2), which browsers answer by themselves, on servers with shared frames, in place of the
    server's own; on other servers it sends nothing, and leaves liveness to the server.

    Attributes:
        interval: Seconds without a sign of life until `message` is sent.
        timeout: Seconds after it without one until the connection is closed with 4012.
        message: What is sent: text, bytes, a model, or anything JSON-able. `None`: a protocol ping.
    """

    interval: float = 25.0
    timeout: float = 10.0
    message: object = '{"type":"ping"}'

    def __post_init__(self) -> None:
        _check_bounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is kept of a room's messages, for those who come back.

    Attributes:
        messages: How many; the oldest go first.
        seconds: For how long each.
        on_join: How many of the last ones a member gets first, where it brings no position, or one that does not
            help any more. "keys": of all that have the same `key=` the last one, and none without a key.
            0 (default): none.
    """

    messages: int = 100
    seconds: float = 300.0
    on_join: int | Literal["keys"] = 0

    def __post_init__(self) -> None:
        _check_bounds(self, zero_allowed=frozenset({"on_join"}))
        if not 1 <= self.messages <= MOST_HISTORY:
            raise ConfigurationError(f"History(messages={self.messages!r}) must be 1 to {MOST_HISTORY}")
        count = self.on_join
        if count != "keys" and not (type(count) is int and 0 <= count <= self.messages):
            raise ConfigurationError(
                f"History(on_join={count!r}) must be 0 to messages={self.messages}, or 'keys'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """How it is known who is in a room.

    Attributes:
        grace: For how long somebody whose last connection has ended is still present: a page that is loaded
            anew, a phone in a tunnel, a deploy. Who leaves by a call of ours goes at once. 0: everybody does.
        ttl: For how long a process that says nothing more is believed.
        refresh: Between two times that a process says that nothing has changed; less than half of `ttl`.
        interval: Between two diffs of a room, at least: what happens meanwhile comes in one.
        listed: Above so many users only their number is told. `None`: never.
        metadata_bytes: The most that is told of one connection, as JSON; 2048 at most.
    """

    grace: float = 15.0
    ttl: float = 60.0
    refresh: float = 25.0
    interval: float = 0.1
    listed: int | None = 1000
    metadata_bytes: int = 1024

    def __post_init__(self) -> None:
        _check_bounds(self, zero_allowed=frozenset({"grace", "interval"}))
        if any(one is None for one in (self.grace, self.ttl, self.refresh, self.interval, self.metadata_bytes)):
            raise ConfigurationError("of Presence's options, `listed` alone can be None")
        if self.metadata_bytes > MOST_METADATA:
            raise ConfigurationError(f"Presence(metadata_bytes={self.metadata_bytes!r}): at most {MOST_METADATA}")
        if not 2 * self.refresh < self.ttl:
            raise ConfigurationError(
                f"Presence(refresh={self.refresh!r}, ttl={self.ttl!r}): a process must be heard twice within ttl"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomPolicy:
    """How one room differs from its manager; `RoomManager.room_policy` returns it.

    Attributes:
        overflow: What happens to this room's messages at a full queue. `None`: as the manager.
        members: Members that the room may have in this process; one more raises `JoinRefused`. `None` (default):
            any number.
    """

    overflow: Overflow | None = None
    members: int | None = None

    def __post_init__(self) -> None:
        _check_bounds(self)
