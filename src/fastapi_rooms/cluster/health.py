"""What a manager knows of its broker."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerHealth:
    """How a manager's broker is.

    Attributes:
        broker: Which, without passwords.
        connected: Whether messages reach other processes, and theirs this one.
        error: Why not; `None` while it is connected.
        outages: How often it was lost since the start.
        channels: Channels that are listened to.
        peers: Other processes that were heard of lately.
        foreign: Messages on our channels that were not ours, or of another version: dropped.
    """

    broker: str
    connected: bool
    error: str | None
    outages: int
    channels: int
    peers: int
    foreign: int
