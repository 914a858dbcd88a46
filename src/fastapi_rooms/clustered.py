"""A room manager's part in a cluster: what it hears from other processes, and what it does about it here."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi_rooms.brokers.interface import Broker
from fastapi_rooms.brokers.streams import Page, Place
from fastapi_rooms.census import Census
from fastapi_rooms.closing import may_be_sent
from fastapi_rooms.cluster.cluster import Cluster
from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.connection import Connection
from fastapi_rooms.control import Control
from fastapi_rooms.envelope import ForeignMessage, Header, Kind, body_of, payload_of
from fastapi_rooms.errors import (
    ConfigurationError,
    MessageTooLarge,
    NoHistory,
)
from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.histories import Histories
from fastapi_rooms.history_host import HistoryHost
from fastapi_rooms.history_policy import PolicyOf, check_history
from fastapi_rooms.history_ports import DeliverHere, Remembered, Resumed, remembered
from fastapi_rooms.hooks import run_apart
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.memberships import Memberships
from fastapi_rooms.options import History
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceView
from fastapi_rooms.presence_host import ClusterWire, PresenceHost
from fastapi_rooms.presence_ports import PresenceOf
from fastapi_rooms.presences import Presences
from fastapi_rooms.room_hooks import RoomHooks
from fastapi_rooms.send_queue import check_size


class Clustered:
    """Joins a manager's rooms in this process to those in others.

    Args:
        hooks: The manager itself.
        deliver_here: How it delivers in this process.
        host: Its host.
        memberships: Its memberships.
        broker: What carries messages.
        policy_of: What is kept of a room; `None`: nothing, of any.
        presence_of: Which rooms have presence.
    """

    def __init__(
        self,
        hooks: RoomHooks[Any],
        deliver_here: DeliverHere,
        host: ManagerHost[Any],
        memberships: Memberships,
        broker: Broker,
        *,
        policy_of: PolicyOf | None,
        presence_of: PresenceOf,
    ) -> None:
        self._hooks = hooks
        self._deliver_here = deliver_here
        self._host = host
        self._memberships = memberships
        self._broker = broker
        self._policy_of = policy_of
        local = HistoryHost(hooks, host, self._tell_lost)
        self._histories = Histories(self.read, deliver_here, local)
        self._census = Census(lambda: self.cluster, host.registry)
        wire = ClusterWire(lambda: self.cluster, answer_within=broker.timings.answer)
        self._presences = Presences(wire, PresenceHost(hooks, host, presence_of), policy_of=presence_of)
        self._control = Control(
            lambda: self.cluster, host, memberships, self._presences, within=broker.timings.publish
        )
        self._cluster: Cluster | None = None
        self._occupied: dict[str, Callable[[], int]] = {}
        self._remembered: dict[str, str] = {}
        self._lost_before = False

    @property
    def cluster(self) -> Cluster:
        """What is between `start` and `stop`.

        Raises:
            ConfigurationError: The manager's `lifespan` does not run.
        """
        if self._cluster is None:
            raise ConfigurationError(
                f"a manager with a broker ({self._broker}) needs its lifespan: "
                "FastAPI(lifespan=manager.lifespan), or `async with manager.lifespan(app):` in the app's own"
            )
        return self._cluster

    def check_started(self) -> None:
        """Refuse to work before `start`.

        Raises:
            ConfigurationError: See `cluster`.
        """
        _ = self.cluster

    async def start(self) -> None:
        """Connect; where that fails, rooms are local until it succeeds."""
        self._cluster = Cluster(self._broker, self)
        self._lost_before = False
        await self._cluster.start()

    async def stop(self) -> None:
        """Let go of the broker."""
        try:
            await self._histories.stop(self._broker.timings.publish)
            await self._presences.stop(self._broker.timings.publish)
            if self._cluster is not None:
                await self._cluster.stop()
        finally:
            self._cluster = None
            self._occupied.clear()
            self._remembered.clear()

    def health(self) -> BrokerHealth:
        """How the broker is."""
        return self.cluster.health()

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
        """Deliver a message in every process, this one included."""
        cluster = self.cluster
        self._host.check_loop(even_if_empty=True)
        check_history(history := self.history_of(room), room, idempotency_key, version)
        excluded = (exclude,) if isinstance(exclude, Connection) else tuple(exclude)
        users = (exclude_users,) if isinstance(exclude_users, str) else tuple(map(str, exclude_users))
        header = Header(
            kind=Kind.MESSAGE,
            process=cluster.process,
            number=next(cluster.numbers),
            room=room,
            user=user,
            text=isinstance(payload.data, str),
            exclude=tuple(one.id for one in excluded) if excluded else (),
            exclude_users=users,
            key=key,
        )
        if history is not None:
            appended = await cluster.append(
                header, body_of(payload), history, idempotency_key=idempotency_key, version=version
            )
            delivery = Delivery(queued=None, dropped=None, closed=None, scope="cluster", offset=appended.offset)
            return replace(delivery, published=False) if appended.repeated or appended.stale else delivery
        here: Delivery | None = None

        async def deliver_here() -> None:
            nonlocal here
            here = await self._deliver_here(
                payload, room=room, user=user, exclude=excluded, exclude_users=users, key=key
            )

        if await cluster.tell(header, body_of(payload), deliver_here):
            return Delivery(queued=None, dropped=None, closed=None, scope="cluster")
        return here or Delivery()

    async def close_room(self, room: str, *, code: int | None, reason: str) -> int:
        """End all memberships of a room, everywhere; how many there were here."""
        return await self._control.tell(self.cluster.header(Kind.CLOSE_ROOM, room=room, code=code, reason=reason))

    async def disconnect_user(self, user_id: str, *, code: int, reason: str) -> int:
        """Close all connections of a user, everywhere; how many there were here."""
        asked = self.cluster.header(Kind.DISCONNECT_USER, user=user_id, code=code, reason=reason)
        return await self._control.tell(asked)

    async def count(self, room: str) -> tuple[int, frozenset[str]]:
        """See `Census`."""
        return await self._census.count(room)

    async def members(self, room: str) -> tuple[list[tuple[str, str | None]], frozenset[str]]:
        """See `Census`."""
        return await self._census.members(room)

    async def hold(self, *, user_id: str | None = None, room: str | None = None) -> None:
        """See `Reach`."""
        channels = self.cluster.channels
        held: dict[str, Callable[[], int]] = {}
        if user_id is not None:
            held[channels.user(user_id)] = partial(self._host.registry.count_of_user, user_id)
        if room is not None:
            held[channels.room(room)] = partial(self._host.count_hearing, room)
        self._occupied.update(held)
        await self.cluster.subscriptions.hold(*held)

    def history_of(self, room: str | None) -> History | None:
        """What is kept of a room."""
        return None if self._policy_of is None or room is None else self._policy_of(room)

    async def read(self, room: str, *, after: int, most: int) -> Page:
        """What is kept of a room; see `Cluster.read`.

        Raises:
            NoHistory: It has none.
        """
        if self.history_of(room) is None:
            raise NoHistory(room)
        return await self.cluster.read(room, after=after, most=most)

    async def position(self, room: str) -> Position:
        """See `RoomManager.position`."""
        page = await self.read(room, after=0, most=0)
        return Position(room, page.epoch, page.last)

    async def past(self, room: str, *, last: int) -> list[Remembered]:
        """See `RoomManager.past`."""
        return remembered(room, await self.read(room, after=0, most=last))

    def enter(self, connection: Connection[Any], room: str) -> None:
        """See `Reach`."""
        if (history := self.history_of(room)) is not None:
            self._remembered[self.cluster.channels.room(room)] = room
            self._histories.enter(connection, room, history)

    async def resume(self, connection: Connection[Any], room: str, since: object) -> Resumed | None:
        """See `Reach`."""
        return await self._histories.resume(connection, room, since)

    def show(self, connection: Connection[Any], room: str) -> None:
        """See `Reach`."""
        if self._presences.enter(connection, room):
            self._remembered[self.cluster.channels.room(room)] = room

    def left(self, connection: Connection[Any], room: str, *, on_purpose: bool) -> None:
        """See `Reach`."""
        self._histories.left(connection, room)
        self._presences.left(connection, room, on_purpose=on_purpose)

    async def presence(self, room: str) -> PresenceView:
        """See `RoomManager.who`."""
        return await self._presences.view(room)

    def update_presence(self, connection: Connection[Any], room: str, metadata: Mapping[str, object]) -> bool:
        """See `RoomManager.update_presence`."""
        return self._presences.update(connection, room, metadata)

    def release_user(self, user_id: str) -> None:
        """See `Reach`."""
        if self._cluster is not None and not self._host.registry.count_of_user(user_id):
            self._cluster.subscriptions.release(self._cluster.channels.user(user_id))

    def release_room(self, room: str) -> None:
        """See `Reach`."""
        if self._cluster is not None and not self._host.count_hearing(room):
            self._cluster.subscriptions.release(self._cluster.channels.room(room))

    def occupied(self, channel: str) -> bool:
        """See `Local`."""
        count = self._occupied.get(channel)
        if count is None:
            return channel == self.cluster.channels.everyone and bool(self._host.registry)
        return count() > 0

    def forget(self, channel: str) -> bool:
        """See `Local`."""
        if self.occupied(channel):
            return False
        self._occupied.pop(channel, None)
        room = self._remembered.pop(channel, None)
        if room is not None:
            self._histories.forget(room)
            self._presences.forget(room)
        return True

    async def deliver(self, header: Header, body: bytes, place: Place | None) -> None:
        """See `Local`."""
        if place is not None and header.kind is Kind.MESSAGE and self.history_of(header.room) is not None:
            await self._histories.came(place, header, body)
            return
        if header.kind is Kind.MESSAGE:
            await self._deliver_message(header, body)
            return
        if header.code is not None and not may_be_sent(header.code):
            raise ForeignMessage
        self._control.came(header)

    def answer(self, header: Header) -> bytes:
        """See `Local`."""
        return self._census.answer(header)

    @property
    def process(self) -> str:
        """See `Across`."""
        return self.cluster.process

    def knows(self, process: str) -> bool:
        """See `Across`. While the broker is away, nobody says that it is there."""
        return not self.cluster.supervisor.connected or self.cluster.peers.may_be_there(process)

    async def request(self, process: str, body: bytes, *, within: float) -> bytes | None:
        """See `Across`."""
        return await self.cluster.request(process, body, within=within)

    async def requested(self, body: bytes) -> bytes:
        """See `Local`."""
        return await self._hooks._requested(body)

    def presence_heard(self, header: Header, body: bytes) -> None:
        """See `Local`."""
        self._presences.heard(header, body)

    def goodbye(self, process: str) -> None:
        """See `Local`."""
        self._presences.goodbye(process)

    def broker_lost(self, error: Exception) -> None:
        """See `Local`."""
        self._lost_before = True
        self._presences.lost()
        self._spawn("on_broker_lost", [partial(self._hooks.on_broker_lost, error)])

    def broker_restored(self) -> None:
        """See `Local`."""
        self._histories.restored()
        self._presences.restored()
        if not self._lost_before:
            return
        rooms = [room for room in self._host.registry.rooms if room not in self._histories]
        hooks: list[Callable[[], Awaitable[None]]] = [self._hooks.on_broker_restored]
        self._spawn("on_broker_restored", hooks + [partial(self._hooks.on_continuity_lost, one) for one in rooms])

    async def _deliver_message(self, header: Header, body: bytes) -> None:
        try:
            check_size(payload := payload_of(header, body), self._host.queue)
        except MessageTooLarge as error:
            raise ForeignMessage from error  # of an app with larger queues
        excluded = map(self._host.registry.get, header.exclude) if header.exclude else ()
        await self._deliver_here(
            payload,
            room=header.room,
            user=header.user,
            exclude=[one for one in excluded if one is not None],
            exclude_users=header.exclude_users,
            key=header.key,
        )

    def _tell_lost(self, room: str) -> None:
        self._spawn("on_continuity_lost", [partial(self._hooks.on_continuity_lost, room)])

    def _spawn(self, name: str, hooks: list[Callable[[], Awaitable[None]]]) -> None:
        self._host.tasks.spawn(self._run(name, hooks), name=name)

    async def _run(self, name: str, hooks: list[Callable[[], Awaitable[None]]]) -> None:
        for hook in hooks:
            await run_apart(name, hook, within=self._host.limits.hook_timeout)
