"""What a room manager does across processes; and how, where there is one process alone."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol

from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import NoHistory, NoPresence
from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.history_policy import check_history
from fastapi_rooms.history_ports import DeliverHere, Remembered
from fastapi_rooms.memberships import Memberships
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceView


class Across(Protocol):
    """The processes of one app. See `RoomManager` for what is not said here."""

    def check_started(self) -> None:
        """Refuse to work before `start`, where it is needed."""
        ...

    async def start(self) -> None:
        """Be one of them."""
        ...

    async def stop(self) -> None:
        """Be none any more."""
        ...

    def health(self) -> BrokerHealth | None:
        """How what joins them is; `None`: nothing does."""
        ...

    async def broadcast(
        self,
        payload: Payload,
        *,
        room: str | None,
        user: str | None,
        exclude: Exclude,
        exclude_users: str | Collection[str],
        key: str | None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Delivery:
        """To a room, a user, or everyone."""
        ...

    async def close_room(self, room: str, *, code: int | None, reason: str) -> int:
        """End all its memberships."""
        ...

    async def disconnect_user(self, user_id: str, *, code: int, reason: str) -> int:
        """Close all connections of a user."""
        ...

    async def count(self, room: str) -> tuple[int, frozenset[str]]:
        """Members elsewhere, and the processes that did not say."""
        ...

    async def members(self, room: str) -> tuple[list[tuple[str, str | None]], frozenset[str]]:
        """Connections and users elsewhere, and the processes that did not say."""
        ...

    @property
    def process(self) -> str:
        """This one's name among them."""
        ...

    def knows(self, process: str) -> bool:
        """Whether there may be another process of this name."""
        ...

    async def request(self, process: str, body: bytes, *, within: float) -> bytes | None:
        """Have another process do something; its answer, or `None` where there is none within so many seconds."""
        ...

    async def position(self, room: str) -> Position:
        """Where a history is."""
        ...

    async def past(self, room: str, *, last: int) -> list[Remembered]:
        """What a history has kept."""
        ...

    async def presence(self, room: str) -> PresenceView:
        """Who is present."""
        ...

    def update_presence(self, connection: Connection[Any], room: str, metadata: Mapping[str, object]) -> bool:
        """What is told of a connection from now on."""
        ...


class Alone:
    """There is one process, with neither history nor presence: those take a broker, if only one in memory.

    Args:
        deliver_here: How the manager delivers.
        memberships: Its memberships.
        disconnect_here: Closes all connections of a user.
    """

    def __init__(
        self,
        deliver_here: DeliverHere,
        memberships: Memberships,
        disconnect_here: Callable[[str, int, str], Awaitable[int]],
    ) -> None:
        self._deliver_here = deliver_here
        self._memberships = memberships
        self._disconnect_here = disconnect_here

    def check_started(self) -> None:
        """See `Across`, as for all others. Nothing needs to."""

    async def start(self) -> None:
        """Nothing is to be done."""

    async def stop(self) -> None:
        """Nothing is to be done."""

    def health(self) -> BrokerHealth | None:
        """`None`."""
        return None

    async def broadcast(
        self,
        payload: Payload,
        *,
        room: str | None,
        user: str | None,
        exclude: Exclude,
        exclude_users: str | Collection[str],
        key: str | None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Delivery:
        """To connections here."""
        check_history(None, room, idempotency_key, version)
        users = (exclude_users,) if isinstance(exclude_users, str) else exclude_users
        return await self._deliver_here(
            payload, room=room, user=user, exclude=exclude, exclude_users=users, key=key
        )

    async def close_room(self, room: str, *, code: int | None, reason: str) -> int:
        """End its memberships here."""
        return await self._memberships.close(room, code=code, reason=reason)

    async def disconnect_user(self, user_id: str, *, code: int, reason: str) -> int:
        """Close the user's connections here."""
        return await self._disconnect_here(user_id, code, reason)

    async def count(self, room: str) -> tuple[int, frozenset[str]]:
        """There is no elsewhere."""
        return 0, frozenset()

    async def members(self, room: str) -> tuple[list[tuple[str, str | None]], frozenset[str]]:
        """There is no elsewhere."""
        return [], frozenset()

    @property
    def process(self) -> str:
        """The only one needs no name."""
        return "0"

    def knows(self, process: str) -> bool:
        """There is no other."""
        return False

    async def request(self, process: str, body: bytes, *, within: float) -> bytes | None:
        """There is no other."""
        return None

    async def position(self, room: str) -> Position:
        """No room has one."""
        raise NoHistory(room)

    async def past(self, room: str, *, last: int) -> list[Remembered]:
        """No room has one."""
        raise NoHistory(room)

    async def presence(self, room: str) -> PresenceView:
        """No room has it."""
        raise NoPresence(room)

    def update_presence(self, connection: Connection[Any], room: str, metadata: Mapping[str, object]) -> bool:
        """No room has it."""
        raise NoPresence(room)
