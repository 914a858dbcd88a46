"""Who plays in a story: processes, their clients, and what may be seen of both."""

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from fastapi_rooms import Connection, Joined
from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.testing import SocketClosed, WaitTimeout, WebSocketSession, eventually

from .model import Channel, Guest
from .workers import SOON, Manager, Worker


class Phase(Enum):
    """How the engine is."""

    STEADY = "all processes are connected, and know each other"
    DYING = "it is killed in the middle of what is sent"
    DOWN = "it is dead"
    COMING = "it runs, and processes find that out"


@dataclass(eq=False)
class Process:
    """One manager of the story.

    Attributes:
        name: Its own, and no later one's.
        left: Whose membership of which room has ended here.
        outages: How many it must have noticed before it is steady.
    """

    name: str
    worker: Worker
    left: list[tuple[str | None, str]] = field(default_factory=list)
    outages: int = 0

    @property
    def manager(self) -> Manager:
        return self.worker.manager

    @property
    def cluster(self) -> Cluster:
        assert isinstance(self.manager._across, Clustered)
        return self.manager._across.cluster

    async def steady(self, processes: Collection["Process"]) -> None:
        """Wait until it has noticed what happened to the engine, and knows the others."""
        cluster, others = self.cluster, {one.cluster.process for one in processes if one is not self}

        def knows() -> bool:
            supervisor = cluster.supervisor
            return supervisor.connected and supervisor.outages >= self.outages and others <= cluster.peers.now()

        await eventually(knows, timeout=SOON, awaited=f"{self.name} to know the others")

    async def settle(self, channels: Collection[Channel], *, connected: bool) -> None:
        """Wait until `on_leave` has run for all who left, and it listens to these channels, and to its own."""
        cluster = self.cluster
        needed = {_name(cluster, one) for one in channels} | {cluster.channels.process(cluster.process)}

        def listens() -> bool:
            subscriptions = cluster.subscriptions
            heard = all(map(subscriptions.hears, needed)) and len(subscriptions) == len(needed)
            return set(subscriptions.wanted) == needed and (heard or not connected)

        left = Counter(self.left)
        await eventually(lambda: Counter(self.manager.left) == left, timeout=SOON, awaited=f"{left} to leave")
        await eventually(listens, timeout=SOON, awaited=f"{self.name} to listen to {needed} alone")


@dataclass(eq=False)
class Client:
    """A guest, and the WebSocket that it has."""

    guest: Guest
    process: Process
    socket: WebSocketSession
    connection: Connection[object]

    @property
    def manager(self) -> Manager:
        return self.process.manager

    async def read(self) -> None:
        """Read until nothing is missing; what is in the end, the model says."""
        try:
            while self.guest.waits:
                self.guest.got.append(int(await self.socket.receive_text(timeout=SOON)))
        except (SocketClosed, WaitTimeout):
            return

    async def member(self, room: str, joining: "asyncio.Task[Joined]") -> None:
        """Wait until it is a member, which is before it has joined."""
        manager = self.manager
        while not joining.done() and self.connection not in manager.members_here(room):  # noqa: ASYNC110 - as `eventually`
            await asyncio.sleep(0)

    async def outside(self, room: str) -> None:
        """Wait until it is no member."""
        manager, awaited = self.manager, f"{self.guest} to leave {room}"
        await eventually(lambda: self.connection not in manager.members_here(room), timeout=SOON, awaited=awaited)

    async def gone(self) -> None:
        """Wait until its process has forgotten it."""
        manager, awaited = self.manager, f"{self.guest} to be gone"
        await eventually(lambda: manager.connection(self.connection.id) is None, timeout=SOON, awaited=awaited)

    async def sent_away(self, code: int) -> None:
        """Wait until it was."""
        assert (await self.socket.wait_closed(timeout=SOON)).code == code
        await self.gone()


def _name(cluster: Cluster, channel: Channel) -> str:
    """What the engine calls the channel."""
    kind, name = channel
    if kind == "room":
        return cluster.channels.room(name)
    return cluster.channels.user(name) if kind == "user" else cluster.channels.everyone
