"""What `connection.statistics()` and `manager.statistics()` return: plain figures, safe to log or to serve."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Drops:
    """Messages that were not delivered, by reason.

    Attributes:
        oldest: Taken out of a full queue by `Overflow.DROP_OLDEST`.
        newest: Dropped on arrival at a full queue.
        conflated: Replaced by a newer message with the same key.
        discarded: Still queued when the connection ended.
    """

    oldest: int = 0
    newest: int = 0
    conflated: int = 0
    discarded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatistics:
    """The figures of one connection since it was accepted.

    Attributes:
        queued: Messages waiting for the client now, what is in flight included.
        queued_bytes: Their size, and what the server still holds for the client where it says so (shared frames).
        high_water: Most messages that ever waited at once.
        high_water_bytes: Most bytes that ever waited at once.
        oldest_queued_age: Seconds that the oldest waiting message has waited; 0.0 where none waits.
        sent: Messages that the server took.
        sent_bytes: Their size.
        received: Messages from the client.
        received_bytes: Their size.
        inbox: Received messages that the handler has not taken yet.
        dropped: Messages not delivered, by reason.
    """

    queued: int = 0
    queued_bytes: int = 0
    high_water: int = 0
    high_water_bytes: int = 0
    oldest_queued_age: float = 0.0
    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0
    inbox: int = 0
    dropped: Drops = Drops()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatistics:
    """The figures of one manager in this process.

    Attributes:
        connections: Registered connections now.
        users: Users with at least one connection now.
        rooms: Rooms with at least one member now.
        accepted: Connections that were accepted since the manager was made.
        disconnected: How many of them ended, by `DisconnectReason.value`.
        total: Sums over live and ended connections; `high_water*` and `oldest_queued_age` are the greatest.
    """

    connections: int
    users: int
    rooms: int
    accepted: int
    disconnected: dict[str, int]
    total: ConnectionStatistics


def combine(figures: Iterable[ConnectionStatistics]) -> ConnectionStatistics:
    """The figures of several connections taken together: sums, and the greatest `high_water*` and age."""
    parts = tuple(figures)
    return ConnectionStatistics(
        queued=sum(one.queued for one in parts),
        queued_bytes=sum(one.queued_bytes for one in parts),
        high_water=max((one.high_water for one in parts), default=0),
        high_water_bytes=max((one.high_water_bytes for one in parts), default=0),
        oldest_queued_age=max((one.oldest_queued_age for one in parts), default=0.0),
        sent=sum(one.sent for one in parts),
        sent_bytes=sum(one.sent_bytes for one in parts),
        received=sum(one.received for one in parts),
        received_bytes=sum(one.received_bytes for one in parts),
        inbox=sum(one.inbox for one in parts),
        dropped=Drops(
            oldest=sum(one.dropped.oldest for one in parts),
            newest=sum(one.dropped.newest for one in parts),
            conflated=sum(one.dropped.conflated for one in parts),
            discarded=sum(one.dropped.discarded for one in parts),
        ),
    )


def ended(figures: ConnectionStatistics) -> ConnectionStatistics:
    """What stays of a connection's figures once it is gone: nothing waits any more."""
    return ConnectionStatistics(
        high_water=figures.high_water,
        high_water_bytes=figures.high_water_bytes,
        sent=figures.sent,
        sent_bytes=figures.sent_bytes,
        received=figures.received,
        received_bytes=figures.received_bytes,
        dropped=figures.dropped,
    )
