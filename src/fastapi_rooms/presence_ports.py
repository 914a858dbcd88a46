"""What presence asks of others."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from fastapi_rooms.connection import Connection
from fastapi_rooms.options import Presence
from fastapi_rooms.presence import PresenceDiff

PresenceOf = Callable[[str], Presence | None]
"""Whether it is known who is in a room, a function of its name; `None`: it is not."""


class Wire(Protocol):
    """The other processes."""

    @property
    def process(self) -> str:
        """This one's id."""
        ...

    @property
    def answer_within(self) -> float:
        """Seconds that others have to answer."""
        ...

    def others(self) -> frozenset[str]:
        """Ids of those that are known."""
        ...

    async def say(self, room: str, body: bytes) -> None:
        """To all processes with a member of the room. Never raises where they are out of reach."""
        ...

    async def ask(self, room: str, process: str | None) -> None:
        """One process, or all, for what they have in a room; likewise."""
        ...

    async def tell(self, room: str, process: str, body: bytes) -> None:
        """One process what this one has in a room; likewise."""
        ...


class PresenceLocal(Protocol):
    """The manager."""

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        """What is told of a connection, as plain JSON; `None`: it is not shown."""
        ...

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """Tell the manager. Never raises."""
        ...


def presence_of(presence: "Presence | PresenceOf | None") -> PresenceOf:
    """The same for every room, or the function itself."""
    return partial(_always, presence) if presence is None or isinstance(presence, Presence) else presence


def _always(presence: Presence | None, room: str) -> Presence | None:
    return presence
