"""Who is present in a room, as a client is told: a snapshot, and then what changes. Pure."""

from fastapi_rooms.client.reading import Frame, needed, people
from fastapi_rooms.client.values import PresenceChange
from fastapi_rooms.presence import Present

Users = dict[str, tuple[Present, ...]]


class PresenceState:
    """Of one room.

    Attributes:
        users: Each with their connections. Replaced, never changed.
        count: How many there are; more than `users` has where they are not `listed`.
        listed: Whether they are named.
    """

    def __init__(self) -> None:
        self.users: Users = {}
        self.count = 0
        self.listed = True
        self._known = False
        self._version: int | None = None

    def unsettle(self) -> None:
        """The room is joined anew: diffs mean nothing until the next snapshot, with which it is compared."""
        self._version = None

    def settle(self, frame: Frame) -> list[PresenceChange]:
        """Take a snapshot; what is different now, user by user, where that is known.

        Raises:
            BrokenMessage: It is not what it should be.
        """
        return self._become(frame, people(frame, "users"))

    def apply(self, frame: Frame) -> list[PresenceChange] | None:
        """Take a diff; what is different now. `None`: it is old, and nothing is.

        Raises:
            BrokenMessage: It is not what it should be.
        """
        if self._version is None or needed(frame, "version", int) <= self._version:
            return None
        users = dict(self.users) if needed(frame, "listed", bool) else {}
        users |= people(frame, "joins") | people(frame, "updates")
        for user in people(frame, "leaves"):
            users.pop(user, None)
        return self._become(frame, users)

    def _become(self, frame: Frame, users: Users) -> list[PresenceChange]:
        version, count, listed = (
            needed(frame, "version", int),
            needed(frame, "count", int),
            needed(frame, "listed", bool),
        )
        before, comparable = self.users, self._known and self.listed and listed
        self.users, self.count, self.listed = users, count, listed
        self._version, self._known = version, True
        return _changes(before, users) if comparable else []


def _changes(before: Users, now: Users) -> list[PresenceChange]:
    changes = [PresenceChange("leave", user, before[user]) for user in before if user not in now]
    for user, connections in now.items():
        if user not in before:
            changes.append(PresenceChange("join", user, connections))
        elif before[user] != connections:
            changes.append(PresenceChange("update", user, connections))
    return changes
