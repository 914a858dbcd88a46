"""`listen`: what is said in a room, heard by the server itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from starlette.requests import HTTPConnection

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import CloseCode, ConnectionClosed, DisconnectReason, InvalidMessage
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.link import Link
from fastapi_rooms.memberships import Joined, Reach
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from fastapi_rooms.send_queue import Dropped
from fastapi_rooms.statistics import ConnectionStatistics
from fastapi_rooms.transports.in_process import InProcessTransport

_QUIET_ENDS: Final = frozenset({CloseCode.NORMAL, CloseCode.SERVICE_RESTART})
"""The room was closed, or the manager's life has ended; all else is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message of a room, as a listener gets it.

    Attributes:
        data: At a manager: the `str` or `bytes` that members get. At a hub: the event's data, decoded.
        event: At a hub: the name of the event. `None`: there is none.
        position: At a hub, in a room with a history: where it was said, for another `listen(since=...)`.
    """

    data: Any
    event: str | None = None
    position: str | None = None


class Listener:
    """Messages of one room, for one task: `async for message in messages`.

    It ends quietly when the room is closed, or the manager's `lifespan` ends, after what was said before.

    Attributes:
        joined: Where it began, as `join` says it: whether all since a position comes, and if not, why.

    Raises:
        ConnectionClosed: While iterating: messages were missed. The queue was full and the policy is
            `Overflow.CLOSE` (4008), or a history went on without this process (4010).
    """

    def __init__(
        self, connection: Connection[None], transport: InProcessTransport, heard: Callable[[Payload], Heard]
    ) -> None:
        self.joined: Joined
        self._connection = connection
        self._transport = transport
        self._heard = heard

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Heard:
        payload = await self._transport.take()
        if payload is not None:
            return self._heard(payload)
        disconnect = self._connection.disconnect
        if disconnect is None or disconnect.code in _QUIET_ENDS:
            raise StopAsyncIteration
        raise ConnectionClosed(connection_id=self._connection.id, disconnect=disconnect)

    def statistics(self) -> ConnectionStatistics:
        """What waits, and what was dropped, so far."""
        return self._connection.statistics()


class _Stay:
    """The `Owner` of a listener's link: unregisters it in the moment in which it ends."""

    def __init__(self, host: ManagerHost[Any], reach: Reach | None, room: str) -> None:
        self._host = host
        self._reach = reach
        self._room = room
        self.connection: Connection[None]

    def link_down(self) -> None:
        self._host.listeners.remove(self.connection, self._room)
        if self._reach is not None:
            self._reach.left(self.connection, self._room, on_purpose=True)
            self._reach.release_room(self._room)

    def link_dropped(self, dropped: Dropped) -> None:
        """The statistics count it."""


@asynccontextmanager
async def listening(
    host: ManagerHost[Any],
    reach: Reach | None,
    room: str,
    *,
    since: str | Position | None,
    heard: Callable[[Payload], Heard],
) -> AsyncIterator[Listener]:
    """Listen in a room; see `RoomManager.listen`.

    Args:
        host: The manager's host.
        reach: Its reach beyond this process.
        room: See there.
        since: See there.
        heard: Reads what members get.
    """
    host.bind_loop()
    stay, transport = _Stay(host, reach, room), InProcessTransport()
    connection = stay.connection = _connection(host, stay, transport)
    listener = Listener(connection, transport, heard)
    connection.link.open()
    host.listeners.add(connection, room)
    try:
        listener.joined = await _enter(connection, transport, reach, room, since)
        if host.draining:
            connection.link.send_away()
        yield listener
    finally:
        transport.abandon()
        connection.link.shut(DisconnectReason.CLOSED, CloseCode.NORMAL)
        await connection.link.finish()


async def _enter(
    connection: Connection[None], transport: InProcessTransport, reach: Reach | None, room: str, since: object
) -> Joined:
    joined = Joined(room=room, new=True)
    if reach is None:
        return joined
    reach.enter(connection, room)
    await reach.hold(room=room)
    transport.catching_up = True  # it may be more than a queue holds, and nobody takes anything yet
    try:
        resumed = await reach.resume(connection, room, since)
    finally:
        transport.catching_up = False
    if resumed is None:
        return joined
    return replace(joined, position=resumed.position, recovered=resumed.recovered, reason=resumed.reason)


def _connection(host: ManagerHost[Any], stay: _Stay, transport: InProcessTransport) -> Connection[None]:
    link = Link(
        transport,
        stay,
        queue=replace(host.queue, send_timeout=None),  # a slow task is the queue's affair, not a stalled client
        overflow=host.overflow,
        limits=replace(host.limits, idle_timeout=None),
        rate_limit=None,
        heartbeat=None,
        beat=None,
    )
    nobody = HTTPConnection({"type": "websocket", "path": "", "query_string": b"", "headers": []})
    return Connection(nobody, link, user=None, user_id=None, on_invalid=_says_nothing)


async def _says_nothing(connection: Connection[None], error: InvalidMessage) -> None:
    raise error
