"""What `connection.statistics()` and `manager.statistics()` return: plain figures, safe to log or to serve."""

from dataclasses import dataclass, fields


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
        queued_bytes: Their size.
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


_GREATEST = frozenset({"high_water", "high_water_bytes", "oldest_queued_age"})


def combine(one: ConnectionStatistics, other: ConnectionStatistics) -> ConnectionStatistics:
    """The figures of two connections, or groups of them, taken together."""
    values: dict[str, float] = {}
    for field in fields(ConnectionStatistics):
        if field.name != "dropped":
            left, right = getattr(one, field.name), getattr(other, field.name)
            values[field.name] = max(left, right) if field.name in _GREATEST else left + right
    drops = Drops(
        oldest=one.dropped.oldest + other.dropped.oldest,
        newest=one.dropped.newest + other.dropped.newest,
        conflated=one.dropped.conflated + other.dropped.conflated,
        discarded=one.dropped.discarded + other.dropped.discarded,
    )
    return ConnectionStatistics(dropped=drops, **values)  # type: ignore[arg-type]  # the fields' own values


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
