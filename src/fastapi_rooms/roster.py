"""Who is present in one room: a union of what each process says of its own connections. Pure."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from fastapi_rooms.presence import People, PresenceDiff, PresenceView, Present

Metadata: TypeAlias = Mapping[str, object]

_Key: TypeAlias = tuple[str, str]
"""Process and connection: no process can touch what another says."""

_Found: TypeAlias = tuple[Present, ...] | None

_BACK_BELOW: Final = 0.9
"""The part of `listed` at which users are named again: a room at its border does not flap."""

_SPARE_DUES: Final = 64
"""Times kept of connections that linger no more, beside two for each connection."""


class Stay(NamedTuple):
    """One connection of a process.

    Attributes:
        connection: Its id.
        user: Whose.
        metadata: What is told of it.
        due: When it counts as gone; `None`: it is there.
    """

    connection: str
    user: str
    metadata: Metadata
    due: float | None = None


class Roster:
    """Everybody who is present, by user.

    A connection that ended without a word lingers, and still stands for its user: until it is due, or until the
    next connection of the same user takes its place. A user is present while one connection is there, or lingers.

    Args:
        listed: Above so many users only their number is told. `None`: never.
    """

    def __init__(self, *, listed: int | None) -> None:
        self._listed = listed
        self._processes: dict[str, dict[str, Stay]] = {}
        self._users: dict[str, dict[_Key, Stay]] = {}
        self._dues: list[tuple[float, _Key]] = []
        self._version = 0
        self._naming = True
        self._told: int | None = 0
        self._before: dict[str, _Found] = {}
        self._shown: dict[str, _Found] = {}
        self._untold: deque[PresenceDiff] = deque()

    def __len__(self) -> int:
        """How many users are present."""
        return len(self._users)

    def stay(self, process: str, connection: str) -> Stay | None:
        """One connection."""
        return self._processes.get(process, {}).get(connection)

    def stays(self, process: str) -> Iterator[Stay]:
        """All connections of a process."""
        return iter(tuple(self._processes.get(process, {}).values()))

    def put(self, process: str, stay: Stay) -> None:
        """A connection is there, with this metadata from now on; or it lingers, where `due` says so."""
        key = process, stay.connection
        known = self.stay(*key)
        if known is not None and known.user != stay.user:
            self._remove(key)
            known = None
        self._touch(stay.user)
        stays = self._users.setdefault(stay.user, {})
        place = key if known is not None or stay.due is not None else _lingering(stays, stay.metadata)
        if place is None or place == key:
            stays[key] = stay
        else:  # in the place of the other, so that nobody sees a difference
            self._users[stay.user] = {
                (key if one == place else one): (stay if one == place else its) for one, its in stays.items()
            }
            self._unlist(place)
        self._processes.setdefault(process, {})[stay.connection] = stay
        if stay.due is not None:
            heapq.heappush(self._dues, (stay.due, key))
            self._forget_old_dues()

    def linger(self, process: str, connection: str, due: float) -> None:
        """A connection has ended without a word; harmless where it lingers already, or is not known."""
        known = self.stay(process, connection)
        if known is not None and known.due is None:
            self.put(process, known._replace(due=due))

    def drop(self, process: str, connection: str, user: str | None = None) -> None:
        """A connection has left on purpose: its user's lingering ones go with the last that is there.

        Args:
            process: Where it was.
            connection: Which.
            user: Whose, if it came and went before anything was heard of it.
        """
        known = self.stay(process, connection)
        if known is not None:
            self._remove((process, connection))
            user = known.user
        others = self._users.get(user, {}) if user is not None else {}
        if all(one.due is not None for one in others.values()):
            for key in tuple(others):
                self._remove(key)

    def replace(self, process: str, stays: Iterable[Stay], due: float) -> None:
        """All that a process has: what it does not name any more lingers."""
        gone = set(self._processes.get(process, ()))
        for stay in stays:
            gone.discard(stay.connection)
            self.put(process, stay)
        for connection in gone:
            self.linger(process, connection, due)

    def linger_all(self, process: str, due: float) -> None:
        """A process has said goodbye."""
        for stay in self.stays(process):
            self.linger(process, stay.connection, due)

    def drop_all(self, process: str) -> None:
        """A process is gone."""
        for stay in self.stays(process):
            self._remove((process, stay.connection))

    def drop_others(self, process: str) -> None:
        """No other process is of interest any more."""
        for other in tuple(self._processes):
            if other != process:
                self.drop_all(other)

    def due(self) -> float | None:
        """When the next lingering connection may be due."""
        return self._dues[0][0] if self._dues else None

    def expire(self, now: float) -> None:
        """Remove what is due."""
        while self._dues and self._dues[0][0] <= now:
            due, key = heapq.heappop(self._dues)
            known = self.stay(*key)
            if known is not None and known.due == due:
                self._remove(key)

    def view(self, missing: frozenset[str] = frozenset()) -> PresenceView:
        """A snapshot; the next diff has what comes after it."""
        if self._names() != self._naming:
            turn = self._restate()  # snapshot and diff before it are of one kind
            if not turn.listed:
                self._untold.clear()  # it ends what those said
            self._untold.append(turn)
        if not self._naming:
            if self._told != len(self):
                self._told = None  # a number was shown that no diff has told
            return PresenceView(version=self._version, count=len(self), listed=False, missing=missing)
        for user, told in self._before.items():
            now = self._present(user)
            if not _same(told, now):
                self._shown[user] = now
        return PresenceView(version=self._version, count=len(self), users=self._all(), missing=missing)

    def diff(self) -> PresenceDiff | None:
        """What has changed since the last one; `None`: nothing."""
        if self._untold:
            return self._untold.popleft()
        if self._names() != self._naming or not (self._naming or self._told == len(self)):
            return self._restate()
        before, self._before = self._before, {}
        shown, self._shown = self._shown, {}
        joins: dict[str, tuple[Present, ...]] = {}
        leaves: dict[str, tuple[Present, ...]] = {}
        updates: dict[str, tuple[Present, ...]] = {}
        for user, told in before.items():
            now = self._present(user)
            if _same(told, now) and user not in shown:
                continue
            if now is None:
                leaves[user] = told or shown.get(user) or ()
            else:
                (joins if told is None else updates)[user] = now
        return self._new(joins=joins, leaves=leaves, updates=updates) if joins or leaves or updates else None

    def _restate(self) -> PresenceDiff:
        """How it is, whatever was told."""
        self._naming = self._names()
        self._before, self._shown = {}, {}
        return self._new(joins=self._all()) if self._naming else self._new(listed=False)

    def _new(
        self,
        *,
        listed: bool = True,
        joins: People | None = None,
        leaves: People | None = None,
        updates: People | None = None,
    ) -> PresenceDiff:
        self._version += 1
        self._told = len(self)
        return PresenceDiff(
            version=self._version,
            count=len(self),
            listed=listed,
            joins=joins or {},
            leaves=leaves or {},
            updates=updates or {},
        )

    def _names(self) -> bool:
        if self._listed is None:
            return True
        return len(self) <= (self._listed if self._naming else int(self._listed * _BACK_BELOW))

    def _all(self) -> People:
        return {user: self._present(user) or () for user in self._users}

    def _present(self, user: str) -> _Found:
        stays = self._users.get(user)
        return None if stays is None else tuple(Present(one.connection, one.metadata) for one in stays.values())

    def _touch(self, user: str) -> None:
        if self._naming:
            self._before.setdefault(user, self._present(user))

    def _remove(self, key: _Key) -> None:
        process, connection = key
        user = self._processes[process][connection].user
        self._touch(user)
        self._unlist(key)
        stays = self._users[user]
        del stays[key]
        if not stays:
            del self._users[user]

    def _forget_old_dues(self) -> None:
        """While nobody may expire, a user who comes and goes leaves one each time."""
        if len(self._dues) > _SPARE_DUES + 2 * sum(map(len, self._processes.values())):
            self._dues = [
                (stay.due, (process, stay.connection))
                for process, stays in self._processes.items()
                for stay in stays.values()
                if stay.due is not None
            ]
            heapq.heapify(self._dues)

    def _unlist(self, key: _Key) -> None:
        process, connection = key
        del self._processes[process][connection]
        if not self._processes[process]:
            del self._processes[process]


def _lingering(stays: Mapping[_Key, Stay], metadata: Metadata) -> _Key | None:
    """The connection whose place a new one takes: one that was the same, or else the oldest that lingers."""
    lingering = [key for key, stay in stays.items() if stay.due is not None]
    return next((key for key in lingering if stays[key].metadata == metadata), lingering[0] if lingering else None)


def _same(one: _Found, other: _Found) -> bool:
    """Whether a client would see no difference: who comes back with another connection is the same."""
    if one is None or other is None:
        return one is other
    return [present.metadata for present in one] == [present.metadata for present in other]
