"""Control in every process: ending the memberships of a room, or the connections of a user."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.envelope import Header, Kind
from fastapi_rooms.errors import CloseCode, DisconnectReason
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.memberships import Memberships
from fastapi_rooms.presences import Presences


class Control:
    """Tells all processes, and does here what is told, in the order of the room's, or the user's, messages.

    Args:
        cluster: What is between start and stop.
        host: The manager's.
        memberships: Its memberships.
        presences: Who is in its rooms.
        within: Seconds after which it is done here, though it has not come back from the broker.
    """

    def __init__(
        self,
        cluster: Callable[[], Cluster],
        host: ManagerHost[Any],
        memberships: Memberships,
        presences: Presences,
        *,
        within: float,
    ) -> None:
        self._cluster = cluster
        self._host = host
        self._memberships = memberships
        self._presences = presences
        self._within = within
        self._effects: dict[int, asyncio.Future[int]] = {}

    async def tell(self, header: Header) -> int:
        """Have it done in every process; how many memberships or connections it concerned here."""
        cluster = self._cluster()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._effects[header.number] = done

        async def here() -> None:
            self._do_told(header)

        heard = cluster.hears(header)
        try:
            if await cluster.tell(header, b"", here) and heard:
                await asyncio.wait((done,), timeout=self._within)
        finally:
            self._effects.pop(header.number, None)
        if done.done():
            return done.result()
        cluster.gave_up(header.number)  # it was taken, and did not come back in time
        return self._do(header)

    def came(self, header: Header) -> None:
        """It has come from the broker."""
        if header.process == self._cluster().process:
            self._do_told(header)
        else:
            self._do(header)

    def _do_told(self, header: Header) -> None:
        """What this process has told, and may wait for."""
        done = self._effects.pop(header.number, None)
        number = self._do(header)
        if done is not None and not done.done():
            done.set_result(number)

    def _do(self, header: Header) -> int:
        """At once: what takes time goes on in tasks."""
        registry = self._host.registry
        if header.kind is Kind.DISCONNECT_USER:
            connections = registry.of_user(header.user or "")
            code = CloseCode.FORBIDDEN if header.code is None else header.code
        else:
            connections = registry.in_room(room := header.room or "")
            self._host.listeners.close_room(room)
            if header.code is None:
                for connection in connections:
                    self._memberships.start_leaving(connection, room)
                return len(connections)
            code = header.code
        for connection in connections:
            for room in (header.room,) if header.room is not None else connection.rooms:
                self._presences.left(connection, room, on_purpose=True)
            connection.link.shut(DisconnectReason.CLOSED, code, header.reason, flush=True)
        return len(connections)
