"""A room's history, its members and what lies between them: the test plays the engine."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

from fastapi_rooms.brokers.streams import Entry, Page, Place
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import ForeignMessage, Header, Kind, seal
from fastapi_rooms.errors import BrokerUnavailable, ConnectionClosed, Disconnect, DisconnectReason
from fastapi_rooms.fanout import Delivery, Exclude, Missed
from fastapi_rooms.histories import Histories
from fastapi_rooms.history_ports import Resumed
from fastapi_rooms.options import History
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from unit.fakes import SOON

ROOM = "red"

TOO_LARGE = "too large"
"""What no client can get."""

Live = tuple[Place, Header, bytes]


class Member:
    """A connection, as far as histories know one.

    Attributes:
        heard: What it got, in order.
        gate: What is sent to it in a replay waits for this. `None`: for nothing.
        waits: Set when something waits.
        link: Where histories look for its queue: here.
        half_empty: While it is not set, its queue is full, and a policy drops what is live.
        gone: Whether nothing can be sent to it any more.
    """

    def __init__(self, name: str, *, user_id: str | None = None) -> None:
        self.id = name
        self.user_id = user_id
        self.heard: list[str] = []
        self.gate: asyncio.Event | None = None
        self.waits = asyncio.Event()
        self.link = self
        self.half_empty = asyncio.Event()
        self.half_empty.set()
        self.gone = False

    def reads(self) -> None:
        """What waits in a replay, and comes after it, is sent."""
        assert self.gate is not None
        self.gate.set()

    async def until_half_empty(self) -> None:
        await self.half_empty.wait()

    async def send(self, payload: Payload) -> None:
        if self.gate is not None:
            self.waits.set()
            await self.gate.wait()
        if self.gone:
            raise ConnectionClosed(connection_id=self.id, disconnect=Disconnect(DisconnectReason.CLIENT, 1006))
        self.heard.append(str(payload.data))


class World:
    """One room. Also the manager that its histories ask.

    Attributes:
        epoch: Of the engine's stream.
        log: All entries there ever were in this epoch.
        kept: How many of them are kept.
        down: Whether reads fail.
        failures: Reads that will fail.
        reads: `after` of each read.
        gate: What was read is on its way until this is set. `None`: it comes at once.
        reading: Set when a read has begun.
        members: Who is in the room here.
        lost: For each time that continuity was lost: who was closed.
        closed: Who was closed alone, since it could not be brought up to date.
        fails: Deliveries that will raise.
        pauses: Whether a delivery lets others run, as one to a full queue does.
    """

    def __init__(self, *, messages: int = 10, on_join: int | Literal["keys"] = 0) -> None:
        self.history = History(messages=messages, on_join=on_join)
        self.kept = messages
        self.epoch = "e"
        self.log: list[Entry] = []
        self.down = False
        self.failures = 0
        self.reads: list[int] = []
        self.gate: asyncio.Event | None = None
        self.reading = asyncio.Event()
        self.members: dict[Member, None] = {}
        self.lost: list[list[Member]] = []
        self.closed: list[Member] = []
        self.fails = 0
        self.pauses = False
        self.histories = Histories(self._read, self._deliver_here, self)

    # What the test does.

    @property
    def last(self) -> int:
        return self.log[-1].offset if self.log else 0

    def position(self, offset: int) -> str:
        return str(Position(ROOM, self.epoch, offset))

    def say(
        self,
        *texts: str,
        exclude: tuple[str, ...] = (),
        exclude_users: tuple[str, ...] = (),
        key: str | None = None,
    ) -> list[Live]:
        """Publish; what the process would get live."""
        return [self._append(text, exclude, exclude_users, key) for text in texts]

    def begin_anew(self, epoch: str) -> None:
        """The engine has lost everything."""
        self.epoch = epoch
        self.log = []

    async def hear(self, *live: Live) -> None:
        """Messages come live."""
        for place, header, body in live:
            await self.histories.came(place, header, body)

    def enter(self, member: Member) -> None:
        self.members[member] = None
        self.histories.enter(_connection(member), ROOM, self.history)

    async def resume(self, member: Member, since: str | None = None) -> Resumed | None:
        return await self.histories.resume(_connection(member), ROOM, since)

    async def join(self, name: str, since: str | None = None, *, user_id: str | None = None) -> Member:
        """A member that has found its place."""
        member = Member(name, user_id=user_id)
        self.enter(member)
        await self.resume(member, since)
        return member

    def leave(self, member: Member) -> None:
        self.members.pop(member, None)
        self.histories.left(_connection(member), ROOM)

    async def idle(self) -> None:
        """All that was begun has ended."""
        await self.histories._tasks.join(SOON)

    async def settled(self) -> None:
        """What is read for the room has been."""
        settling = self.histories._rooms[ROOM].settling
        if settling is not None:
            await asyncio.wait((settling,))

    @contextmanager
    def slow_reads(self) -> Iterator[asyncio.Event]:
        """What is read from here on comes when the event is set, or at the end: it is as old as the read."""
        self.gate = gate = asyncio.Event()
        self.reading.clear()
        try:
            yield gate
        finally:
            self.gate = None
            gate.set()

    # What histories ask.

    def encode(self, payload: Payload, position: Position) -> Payload:
        if payload.data == TOO_LARGE:
            raise ForeignMessage
        return payload

    def find(self, connection_id: str) -> Connection[Any] | None:
        found = [member for member in self.members if member.id == connection_id]
        return _connection(found[0]) if found else None

    def continuity_lost(self, room: str, *, told: Collection[Connection[Any]]) -> None:
        assert room == ROOM
        closed = [member for member in self.members if _connection(member) not in told]
        self.lost.append(closed)
        for member in closed:
            self.leave(member)

    def position_lost(self, connection: Connection[Any]) -> None:
        member = cast("Member", connection)
        self.closed.append(member)
        self.leave(member)

    async def _read(self, room: str, *, after: int, most: int) -> Page:
        assert room == ROOM
        self.reads.append(after)
        kept = [one for one in self.log[-self.kept :] if one.offset > after] if self.kept else []
        page = Page(self.epoch, self.last, kept[-most:] if most else [])
        gate = self.gate
        self.reading.set()
        if gate is not None:
            await gate.wait()
        self.failures -= 1
        if self.down or self.failures >= 0:
            raise BrokerUnavailable("the test says so")
        return page

    async def _deliver_here(
        self,
        payload: Payload,
        *,
        room: str | None,
        user: str | None,
        exclude: Exclude,
        exclude_users: Collection[str],
        key: str | None,
        missed: Missed | None = None,
    ) -> Delivery:
        assert (room, user) == (ROOM, None)
        assert missed is not None
        if self.fails:
            self.fails -= 1
            raise RuntimeError("a hook of the user's")
        spared = set(cast("list[Any]", exclude))
        for member in tuple(self.members):
            if member not in spared and member.user_id not in exclude_users:
                if member.half_empty.is_set():
                    member.heard.append(str(payload.data))
                else:
                    missed(_connection(member))
        if self.pauses:
            await asyncio.sleep(0)
        return Delivery()

    def _append(
        self, text: str, exclude: tuple[str, ...], exclude_users: tuple[str, ...], key: str | None
    ) -> Live:
        header = Header(
            kind=Kind.MESSAGE,
            process="p",
            number=len(self.log) + 1,
            room=ROOM,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
        )
        previous = self.last
        self.log.append(Entry(previous + 1, previous, seal(header, text.encode())))
        return Place(self.epoch, previous + 1, previous), header, text.encode()


def _connection(member: Member) -> Connection[Any]:
    return cast("Connection[Any]", member)
