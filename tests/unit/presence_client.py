"""What a page makes of who is present."""

from fastapi_rooms.presence import People, PresenceDiff, PresenceView
from fastapi_rooms.roster import Metadata

Tabs = list[Metadata]
"""What is told of a user's connections."""


def tabs(people: People) -> dict[str, Tabs]:
    return {user: [present.metadata for present in its] for user, its in people.items()}


class Client:
    """What a page makes of a snapshot and the diffs after it."""

    def __init__(self, view: PresenceView) -> None:
        self.version = view.version
        self.count = view.count
        self.listed = view.listed
        self.users = tabs(view.users)

    def apply(self, diff: PresenceDiff) -> None:
        if diff.version <= self.version:
            return
        self.count, self.listed = diff.count, diff.listed
        if not diff.listed:
            self.users = {}
            return
        self.users.update(tabs(diff.joins))
        self.users.update(tabs(diff.updates))
        for user in diff.leaves:
            self.users.pop(user, None)
