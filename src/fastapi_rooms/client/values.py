"""What users of a client get to see. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastapi_rooms.presence import Present

State = Literal["connecting", "connected", "waiting", "closed"]
"""Of a client. `waiting`: to connect again; `closed`: for good."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said.

    Attributes:
        event: What it is.
        data: Any JSON value.
        position: In a room with a history: who comes back with it gets what came after. `None`: it has none.
        room: Where; `None`: it is for this user or connection alone, or for everyone.
    """

    event: str
    data: Any
    position: str | None = None
    room: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What the hub says of a join.

    Attributes:
        position: Where live messages begin; `None`: the room has no history, or it is out of reach.
        recovered: Whether all that was said since the position that was brought has come, or follows. False: some
            is missing; load what it told anew. `None`: none was brought.
        reason: Why not: "epoch_changed", "expired", "too_many", "unavailable", or one that is newer than this.
        again: Whether this handle had joined before, and the connection was lost since.
    """

    position: str | None = None
    recovered: bool | None = None
    reason: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """One user came, went, or is present in another way than before.

    Attributes:
        kind: What happened.
        user: To whom.
        connections: Theirs now; of who has left, those before.
    """

    kind: Literal["join", "leave", "update"]
    user: str
    connections: Sequence[Present]
