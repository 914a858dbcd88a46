"""What more a subclass of `RoomManager` may override: who may join, joining and leaving, and the broker."""

from collections.abc import Mapping
from typing import Generic

from fastapi_rooms.connection import Connection
from fastapi_rooms.hooks import UserT
from fastapi_rooms.options import RoomPolicy
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceDiff


class RoomHooks(Generic[UserT]):
    """The hooks of rooms, beside those of connections (`Hooks`). None of them does anything by default.

    The same holds for them: each has `Limits.hook_timeout` seconds, and one that raises, or takes longer, is
    logged.
    """

    async def authorize(self, connection: Connection[UserT], room: str) -> bool:
        """Whether the connection may join; asked before every join. By default: yes.

        For the room given to `connect` it runs before accept, so a refusal is an HTTP 403 (with
        `authenticate=`, whose user is known later: close code 4507). It may raise `HTTPException` for another
        status. What else it raises refuses, is logged, and reported to `on_error`.
        """
        return True

    async def on_join(self, connection: Connection[UserT], room: str) -> None:
        """The connection is a member; broadcasts to the room reach it already."""

    async def on_leave(self, connection: Connection[UserT], room: str) -> None:
        """The connection is no member any more. Runs if and only if `on_join` began."""

    async def on_room_active(self, room: str) -> None:
        """The room's first member is here. Joins wait for it before their `on_join`: do not join it from here."""

    async def on_room_idle(self, room: str) -> None:
        """The room's last member is gone. Never overlaps `on_room_active` of the same room."""

    async def on_broker_lost(self, error: Exception) -> None:
        """The broker is out of reach, once per outage. Messages reach this process alone until it is restored."""

    async def on_broker_restored(self) -> None:
        """The broker is back, or there at last, and what others send is heard again."""

    async def on_continuity_lost(self, room: str) -> None:
        """After an outage, for each room with a member here: messages from other processes may be missing.

        The place to tell the page to load its state anew.
        """

    def encode(self, message: str | bytes, position: Position) -> object:
        """How clients get a message of a room with a history: as it is, by default.

        The place to give them its position, which they bring back as `since`: `{"position": str(position), ...}`.
        Called once for each message in each process, and again for those that are replayed. One that raises is
        logged, and the message goes out as it is.
        """
        return message

    def present(self, connection: Connection[UserT], room: str) -> Mapping[str, object] | None:
        """What others are told of a connection in a room with presence: a small JSON object, `{}` by default.

        `None`: it is not shown; nor is one without a user, whatever is said. Called when it joins;
        `update_presence` changes it later. One that raises is logged, and the connection is not shown.
        """
        return {}

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """Who is in a room has changed. Runs in each process with a member of it; in order, one at a time.

        The place to tell the members in this process: `await self.broadcast_here(..., room=room)`. One that raises
        is logged.
        """

    async def _tell_presence(self, room: str, diff: PresenceDiff) -> None:
        """As `on_presence`; what a protocol on top says then comes before the hook."""
        await self.on_presence(room, diff)

    def _tell_left(self, connection: Connection[UserT], room: str) -> None:
        """A call of ours has ended a membership. For a protocol on top: synchronous, and must not raise."""

    async def _requested(self, body: bytes) -> bytes:
        """Another process asks for something that a protocol on top does here; what it is told. Must not raise."""
        return b""

    def room_policy(self, room: str) -> RoomPolicy | None:
        """How this room differs from the manager; `None`, the default: not at all.

        Called for every broadcast to the room: a pure and quick function of the name.
        """
        return None
