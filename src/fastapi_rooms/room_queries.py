"""What a room manager can be asked: who is where, what was said and what is, how the broker is."""

from contextlib import AbstractAsyncContextManager
from typing import Generic

from fastapi_rooms.across import Across
from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.connection import Connection
from fastapi_rooms.history_ports import Remembered
from fastapi_rooms.hooks import UserT
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.listening import Heard, Listener, listening
from fastapi_rooms.memberships import Memberships
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceView
from fastapi_rooms.room import Count, Member, Members


class RoomQueries(Generic[UserT]):
    """The part of `RoomManager` that changes nothing."""

    _host: ManagerHost[UserT]
    _across: Across
    _memberships: Memberships

    @property
    def rooms(self) -> tuple[str, ...]:
        """The names of the rooms that have a member here."""
        return tuple(self._host.registry.rooms)

    def members_here(self, room: str) -> tuple[Connection[UserT], ...]:
        """A snapshot of a room's members in this process, in the order of joining."""
        return self._host.registry.in_room(room)

    def count_here(self, room: str) -> int:
        """How many members a room has in this process; O(1)."""
        return self._host.registry.count_in_room(room)

    async def members(self, room: str) -> Members:
        """See `Room.members`."""
        here = [Member(connection_id=one.id, user_id=one.user_id) for one in self.members_here(room)]
        others, missing = await self._across.members(room)
        members = Members([*here, *(Member(connection_id=one, user_id=user) for one, user in others)])
        members.missing = missing
        return members

    async def count(self, room: str) -> Count:
        """See `Room.count`."""
        others, missing = await self._across.count(room)
        count = Count(self.count_here(room) + others)
        count.missing = missing
        return count

    async def position(self, room: str) -> Position:
        """Where a room with a history is now: what is published later comes after it.

        Raises:
            BrokerUnavailable: The broker is out of reach.
            ConfigurationError: The room has no history.
        """
        return await self._across.position(room)

    async def past(self, room: str, *, last: int) -> list[Remembered]:
        """The last messages of a room with a history, oldest first; see `position`."""
        return await self._across.past(room, last=last)

    def listen(self, room: str, *, since: str | Position | None = None) -> AbstractAsyncContextManager[Listener]:
        """Hear what is said in a room, here on the server: by members, `broadcast`, publishers, in any process.

            async with manager.listen("inputs") as messages:
                async for message in messages:
                    ...

        From when it is entered, a listener gets what members get, in their order. It has a bounded queue like
        theirs, under the policy of the room or the manager: what that drops is counted, and where it says
        `Overflow.CLOSE` the listener ends with an error. There is no time limit for a message, since no client can
        be gone. It is no member: no hook, limit, count, list or presence knows of it, and it keeps no room active.
        What is sent to users or to everyone is not said in the room.

        It ends with its `async with`, with `close_room`, and with `lifespan`; see `Listener`.

        Args:
            room: Which. It need not have a member, ever.
            since: In a room with a history: as for `join`.

        Raises:
            ConfigurationError: There is a broker, and `lifespan` does not run.
            WrongEventLoop: There are connections on another event loop.
        """
        self._across.check_started()
        return listening(self._host, self._memberships.reach, room, since=since, heard=self._heard)

    def _heard(self, payload: Payload) -> Heard:
        """How a listener gets what members get."""
        return Heard(data=payload.data)

    async def who(self, room: str) -> PresenceView:
        """Who is present in a room, everywhere.

        At once where this process has a member of it for a while; else other processes have
        `BrokerTimings.answer` seconds to say who is there.

        Raises:
            NoPresence: The room has none.
        """
        return await self._across.presence(room)

    def health(self) -> BrokerHealth | None:
        """How the broker is; `None` where there is none.

        Raises:
            ConfigurationError: There is one, and `lifespan` does not run.
        """
        return self._across.health()
