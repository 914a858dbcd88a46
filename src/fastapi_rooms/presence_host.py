"""What presence asks of its manager, and of the other processes at the broker."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import Kind
from fastapi_rooms.hooks import run_apart
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.presence import PresenceDiff
from fastapi_rooms.presence_ports import PresenceOf
from fastapi_rooms.presence_wire import plain
from fastapi_rooms.room_hooks import RoomHooks

logger = logging.getLogger("fastapi_rooms")


class ClusterWire:
    """See `fastapi_rooms.presence_ports.Wire`.

    Args:
        cluster: What is between start and stop.
        answer_within: See there.
    """

    def __init__(self, cluster: Callable[[], Cluster], *, answer_within: float) -> None:
        self._cluster = cluster
        self._answer_within = answer_within

    @property
    def process(self) -> str:
        """See there."""
        return self._cluster().process

    @property
    def answer_within(self) -> float:
        """See there."""
        return self._answer_within

    def others(self) -> frozenset[str]:
        """See there."""
        return self._cluster().peers.now()

    async def say(self, room: str, body: bytes) -> None:
        """See there."""
        await self._post(Kind.PRESENCE, room, None, body)

    async def ask(self, room: str, process: str | None) -> None:
        """See there."""
        await self._post(Kind.PRESENCE_ASK, room, process, b"")

    async def tell(self, room: str, process: str, body: bytes) -> None:
        """See there."""
        await self._post(Kind.PRESENCE_ALL, room, process, body)

    async def _post(self, kind: Kind, room: str, process: str | None, body: bytes) -> None:
        cluster = self._cluster()
        await cluster.post(cluster.header(kind, room=room, user=process), body)


class PresenceHost:
    """See `fastapi_rooms.presence_ports.PresenceLocal`.

    Args:
        hooks: The manager itself.
        host: Its host.
        policy_of: Which rooms have presence.
    """

    def __init__(self, hooks: RoomHooks[Any], host: ManagerHost[Any], policy_of: PresenceOf) -> None:
        self._hooks = hooks
        self._host = host
        self._policy_of = policy_of
        kind = type(hooks)
        self._tells = (
            kind.on_presence is not RoomHooks.on_presence or kind._tell_presence is not RoomHooks._tell_presence
        )

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        """See there."""
        policy = self._policy_of(room)
        try:
            metadata = self._hooks.present(connection, room)
            (connection.user_id or "").encode()
            if policy is None or metadata is None:
                return None
            return plain(metadata, most=policy.metadata_bytes)
        except Exception:  # a user's hook may raise anything, and others could not be told of such a user
            logger.exception("present failed: connection %s is not shown in %r", connection.id, room[:80])
            return None

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """See there."""
        if self._tells:
            hook = partial(self._hooks._tell_presence, room, diff)
            await run_apart("on_presence", hook, within=self._host.limits.hook_timeout)
