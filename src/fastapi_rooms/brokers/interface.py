"""What carries messages between processes: small, so that an engine is an afternoon's work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi_rooms.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTimings:
    """How long what may take at a broker, in seconds.

    Attributes:
        connect: One attempt to connect, and the wait for the first one when the app starts.
        publish: Until the engine has taken a message, and until it has confirmed a subscription.
        probe_interval: Between two proofs that what is published is heard here.
        probe_timeout: How long such a proof may take before the connection counts as deaf, and is given up.
        answer: How long other processes have to answer `count()` and `members()`.
        linger: How long a room's channel is listened to after its last member here has left.
        first_delay: Before the first new attempt to connect; it doubles with each, and has full jitter.
        longest_delay: The most that it becomes.
    """

    connect: float = 5.0
    publish: float = 2.0
    probe_interval: float = 5.0
    probe_timeout: float = 2.0
    answer: float = 1.0
    linger: float = 1.0
    first_delay: float = 0.1
    longest_delay: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"BrokerTimings({name}={getattr(self, name)!r}) must be more than 0")


class BrokerConnection(Protocol):
    """One live connection to an engine. Whatever a method raises, the connection is over, and a new one is made.

    Channels are ASCII: `A-Za-z0-9_-`, `%`, `~` and dots, at most 300 characters. Messages are any bytes.
    """

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Listen to these too: whatever is published after it has returned, anywhere, is received.

        `receive` is running meanwhile.
        """
        ...

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """Listen to these no more; a message or two may still come."""
        ...

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Hand over channel and message of each, in this order; returns when the engine has taken them all.

        One call at a time. Cancelled, or when it raises, some of them may have been taken.
        """
        ...

    async def receive(self) -> tuple[str, bytes]:
        """The next message of the channels that are listened to, our own included.

        Messages from one connection to one channel come in the order in which it published them. None is lost
        while the connection lives: one that has to drop something raises instead. One call at a time.
        """
        ...

    async def close(self) -> None:
        """Let go of it; never raises, and does not wait for a peer that is silent."""
        ...


class Broker(Protocol):
    """An engine that carries messages between processes: at most once, and only to who listens at that moment.

    What every broker does is in `fastapi_rooms.cluster`: listening again after a failure, noticing that a
    connection is deaf, delivering in this process alone while the engine is out of reach. An engine adds how
    to connect, subscribe, publish and receive.
    """

    @property
    def prefix(self) -> str:
        """Tells the channels of one manager from those of others at the same engine."""
        ...

    @property
    def timings(self) -> BrokerTimings:
        """How long what may take."""
        ...

    @property
    def shared(self) -> bool:
        """Whether several workers of one app may use it."""
        ...

    @property
    def message_bytes(self) -> int | None:
        """The longest message that the engine takes, as it travels; `None`: any.

        That is some hundred bytes more than what clients get.
        """
        ...

    async def connect(self) -> BrokerConnection:
        """Make a connection.

        Raises:
            Exception: Whatever the driver raises. The caller tries again later.
        """
        ...

    def __str__(self) -> str:
        """The engine and where it is, for logs: no passwords."""
        ...
