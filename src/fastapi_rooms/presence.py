"""Who is in a room, as users of a manager see it. Plain data, and JSON-able as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Present:
    """One connection of somebody who is present: a tab, a phone.

    Attributes:
        id: The connection's. For some seconds after it has ended it still stands for its user.
        metadata: What `present` said of it, or `update_presence` since: a JSON object. Not to be changed.
    """

    id: str
    metadata: Mapping[str, object]


People: TypeAlias = Mapping[str, Sequence[Present]]
"""Users, each with their connections, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceView:
    """Who is present in a room: a snapshot, as this process knows it.

    Attributes:
        version: Diffs with a higher version are news to who has this. Versions are one process's: a client that
            comes back, to any process, needs a new snapshot.
        count: How many users there are.
        listed: Whether `users` names them; False where they are more than `Presence.listed`.
        users: They.
        missing: Ids of processes that have not said in time who is there: those may be missing.
    """

    version: int
    count: int
    listed: bool = True
    users: People = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceDiff:
    """What has changed since the diff before, or since a snapshot. Applying one twice changes nothing.

    Attributes:
        version: More than that of the one before.
        count: How many users there are now.
        listed: Whether users are named. False: they have become too many, or are still, and `count` alone is
            told. The first diff that names them again has all of them in `joins`.
        joins: Who has come, with their connections now.
        leaves: Who has gone, with what they were; perhaps somebody who was in a snapshot for a moment only.
        updates: Who has other connections, or metadata, than before.
    """

    version: int
    count: int
    listed: bool = True
    joins: People = field(default_factory=dict)
    leaves: People = field(default_factory=dict)
    updates: People = field(default_factory=dict)
