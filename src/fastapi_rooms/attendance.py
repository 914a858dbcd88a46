"""One room's presence at one process: what happens here, what is heard of others, and what is said. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from fastapi_rooms.options import Presence
from fastapi_rooms.presence_wire import MOST, Change
from fastapi_rooms.replica import Replica
from fastapi_rooms.roster import Metadata, Roster, Stay

MOST_REPLICAS: Final = 10_000
"""Processes that may be known of in a room."""


class _Left(NamedTuple):
    """A connection has ended, and it is to be said.

    Attributes:
        user: Whose it was, where it left on purpose.
    """

    user: str | None


class Attendance:
    """Each process says what becomes of its own connections, and believes what others say of theirs.

    Nobody says anything of somebody else's, so that what is known is a union, and does not depend on the order
    in which processes are heard. What one process says is numbered, so that a change which was lost is noticed,
    and all that it has is asked for.

    Args:
        policy: How.
        process: This one's id.
        numbers: The process's own count: clocks of all its rooms.

    Attributes:
        roster: Who is present.
    """

    def __init__(self, policy: Presence, process: str, numbers: Iterator[int]) -> None:
        self._policy = policy
        self._process = process
        self._numbers = numbers
        self._clock = 0
        self._unsaid: dict[str, Stay | _Left] = {}
        self._replicas: dict[str, Replica] = {}
        self.roster = Roster(listed=policy.listed)

    # What happens here.

    def enter(self, connection: str, user: str, metadata: Metadata) -> None:
        """A connection of this process is there, or has other metadata."""
        stay = Stay(connection, user, metadata)
        if self.roster.stay(self._process, connection) != stay:
            self._unsaid[connection] = stay
            self.roster.put(self._process, stay)

    def leave(self, connection: str, *, on_purpose: bool, now: float) -> None:
        """It is not there any more; harmless where it was not shown."""
        known = self.roster.stay(self._process, connection)
        if known is None or (known.due is not None and not on_purpose):
            return
        if on_purpose or self._policy.grace == 0:
            self.roster.drop(self._process, connection)
        else:
            self.roster.linger(self._process, connection, now + self._policy.grace)
        self._unsaid[connection] = _Left(known.user if on_purpose else None)

    @property
    def here(self) -> bool:
        """Whether a connection of this process is there, or lingers."""
        return any(self.roster.stays(self._process))

    # What is said.

    def change(self) -> Change | None:
        """What is to be said next; `None`: nothing."""
        if not self._unsaid:
            return None
        connections = tuple(islice(self._unsaid, MOST))
        after, self._clock = self._clock, next(self._numbers)
        put, drop = [], []
        for connection in connections:
            unsaid = self._unsaid.pop(connection)
            if isinstance(unsaid, Stay):
                put.append((connection, unsaid.user, unsaid.metadata, None))
            else:
                drop.append((connection, unsaid.user))
        return Change(after, self._clock, put, drop, more=after == 0 and bool(self._unsaid))

    def refresh(self) -> Change | None:
        """That nothing has changed; `None`: nothing was ever said."""
        return Change(self._clock, self._clock) if self._clock else None

    def hello(self) -> Change:
        """The same, and the question who else is there."""
        known = {process: replica.clock or 0 for process, replica in self._replicas.items()}
        return Change(self._clock, self._clock, known=known)

    def is_news(self, known: Mapping[str, int]) -> bool:
        """Whether who knows so much of each process lacks something of this one."""
        return known.get(self._process, 0) != self._clock

    def everything(self, now: float) -> Sequence[Change]:
        """All that this process has: one message, or several parts."""
        stays = [
            (stay.connection, stay.user, stay.metadata, None if stay.due is None else max(0.0, stay.due - now))
            for stay in self.roster.stays(self._process)
        ]
        last = max(0, len(stays) - 1) // MOST
        clock = self._clock or next(self._numbers)  # what it said before it forgot the room is older than this
        return [
            Change(0, clock, stays[part * MOST : (part + 1) * MOST], part=part, more=part < last)
            for part in range(last + 1)
        ]

    # What is heard.

    def came(self, process: str, change: Change, now: float) -> None:
        """Another process has said what has changed; see `asks`."""
        replica = self._replica(process, now)
        if replica is not None:
            for one in replica.take(change):
                self._apply(process, one, now)

    def came_all(self, process: str, part: Change, now: float) -> bool:
        """Another process has said what it has, or a part of that; whether all of it has come."""
        replica = self._replica(process, now)
        if replica is None:
            return True
        changes = replica.take_all(part)
        for one in changes or ():
            self._apply(process, one, now)
        return changes is not None

    def asks(self, process: str, now: float, *, again_after: float) -> bool:
        """Whether something that a process has said is missing, and it is time to ask for all it has."""
        replica = self._replicas.get(process)
        if replica is None or not replica.behind:
            return False
        if replica.asked is not None and now - replica.asked < again_after:
            return False
        replica.asked = now
        return True

    def goodbye(self, process: str, now: float) -> None:
        """Another process ends: its people have the time to come back elsewhere."""
        self.roster.linger_all(process, now + self._policy.grace)
        self._replicas.pop(process, None)

    def forget_others(self) -> None:
        """Nobody here wants to know any more."""
        self.roster.drop_others(self._process)
        self._replicas.clear()

    def believe(self, now: float) -> None:
        """Nothing was heard for a while, and that was nobody's fault: all are believed as if heard now."""
        for replica in self._replicas.values():
            replica.heard = now

    # Time.

    def due(self) -> float | None:
        """When something may have to go."""
        dues = [replica.heard + self._policy.ttl for replica in self._replicas.values()]
        lingering = self.roster.due()
        return min(dues, default=lingering) if lingering is None else min([*dues, lingering])

    def expire(self, now: float) -> None:
        """Let go of who was away for too long, and of processes that were not heard of for too long."""
        self.roster.expire(now)
        for process, replica in tuple(self._replicas.items()):
            if replica.heard + self._policy.ttl <= now:
                self.roster.drop_all(process)
                del self._replicas[process]

    def _replica(self, process: str, now: float) -> Replica | None:
        replica = self._replicas.get(process)
        if replica is None:
            if len(self._replicas) >= MOST_REPLICAS:
                return None
            replica = self._replicas[process] = Replica()
        replica.heard = now
        return replica

    def _apply(self, process: str, change: Change, now: float) -> None:
        stays = [
            Stay(connection, user, metadata, None if left is None else now + left)
            for connection, user, metadata, left in change.put
        ]
        for connection, user in change.drop:  # first, so that those who come take the place of those who go
            if user is not None or self._policy.grace == 0:
                self.roster.drop(process, connection, user)
            else:
                self.roster.linger(process, connection, now + self._policy.grace)
        if change.after == 0:
            self.roster.replace(process, stays, now + self._policy.grace)
        else:
            for stay in stays:
                self.roster.put(process, stay)
