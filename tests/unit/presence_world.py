"""A manager's presence, and what lies between it and others: the test plays hooks, broker, peers and time."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi_rooms.attendance import Attendance
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import Header, Kind
from fastapi_rooms.options import Presence
from fastapi_rooms.presence import PresenceDiff
from fastapi_rooms.presence_wire import Change, read, write
from fastapi_rooms.presences import Presences
from unit.fakes import SOON

ROOM = "red"
ANSWER = 3.0
POLICY = Presence(grace=15.0, ttl=60.0, refresh=25.0, interval=1.0, listed=None, metadata_bytes=64)
TURNS = 12


class Person:
    """A connection, as far as presence knows one."""

    def __init__(self, name: str, user_id: str | None, rooms: tuple[str, ...]) -> None:
        self.id = name
        self.user_id = user_id
        self.memberships = dict.fromkeys(rooms)
        self.disconnect: object = None


class World:
    """One process. Also the manager and the wire that its presence knows.

    Attributes:
        peers: Other processes that are known.
        said: What was said of each room.
        asked: Whom a room was asked of: a process, or all.
        told: What was told to whom.
        diffs: What the hook was told.
        at: When.
        metadata: What the hook says of connections.
        hook_gate: While it is not set, the hook takes its time.
        say_gate: While it is not set, what is said is on its way.
        overlapping: How often the hook was called while it ran.
    """

    process = "here"
    answer_within = ANSWER

    def __init__(self, *, peers: tuple[str, ...] = (), rooms: Mapping[str, Presence | None] | None = None) -> None:
        self.peers = set(peers)
        self.said: list[tuple[str, Change]] = []
        self.asked: list[tuple[str, str | None]] = []
        self.told: list[tuple[str, str, Change]] = []
        self.diffs: list[PresenceDiff] = []
        self.at: list[float] = []
        self.metadata: dict[str, Mapping[str, object] | None] = {}
        self.hook_gate, self.say_gate = asyncio.Event(), asyncio.Event()
        self.hook_gate.set()
        self.say_gate.set()
        self.overlapping = 0
        self._running = False
        self._moved = 0.0
        self._rooms = {ROOM: POLICY, **(rooms or {})}
        self.presences = Presences(self, self, policy_of=self._rooms.get)

    # What the test does.

    def enter(self, name: str, user_id: str | None = None, *, room: str = ROOM) -> Person:
        """A connection is a member. Its user is called as it is, unless told otherwise."""
        person = Person(name, user_id or name.rstrip("0123456789"), (room,))
        self.presences.enter(_connection(person), room)
        return person

    def enter_unknown(self) -> Person:
        """One without a user."""
        person = Person("unknown", None, (ROOM,))
        self.presences.enter(_connection(person), ROOM)
        return person

    def leave(self, person: Person, *, on_purpose: bool = False) -> None:
        for room in person.memberships:
            self.presences.left(_connection(person), room, on_purpose=on_purpose)
        person.memberships.clear()

    def update(self, person: Person, metadata: Mapping[str, object], *, room: str = ROOM) -> bool:
        return self.presences.update(_connection(person), room, metadata)

    def hear(self, process: str, change: Change | None, *, room: str = ROOM) -> None:
        """Another process says something of its own."""
        assert change is not None
        self.presences.heard(Header(kind=Kind.PRESENCE, process=process, number=1, room=room), write(change))

    def be_asked(self, process: str, *, room: str = ROOM) -> None:
        self.presences.heard(Header(kind=Kind.PRESENCE_ASK, process=process, number=1, room=room), b"")

    def be_told(self, process: str, *parts: Change, room: str = ROOM) -> None:
        header = Header(kind=Kind.PRESENCE_ALL, process=process, number=1, room=room)
        for part in parts:
            self.presences.heard(header, write(part))

    def answer(self, process: str, attendance: Attendance | None = None) -> None:
        """Another process answers: with nobody, unless told otherwise."""
        everything = [Change(0, 1)] if attendance is None else attendance.everything(self.now)
        self.be_told(process, *everything)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def rooms(self) -> list[str]:
        """Those that something is known of."""
        return list(self.presences._rooms)

    def timers(self) -> int:
        """How many wait for something that is due."""
        scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009
        return sum(not one.cancelled() and "Presences._expire" in repr(one) for one in scheduled)

    def users(self) -> dict[str, list[str]]:
        """Who is there, as this process knows; looking changes nothing."""
        stays = self.presences._rooms[ROOM].attendance.roster._users
        return {user: [one.connection for one in its.values()] for user, its in stays.items()}

    async def turn(self) -> None:
        """All that was begun goes on until it waits for something."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def pass_time(self, by: float) -> None:
        """Time passes, at once."""
        await self.turn()
        self._moved += by
        await self.turn()

    async def joined(self, name: str = "ann") -> Person:
        """A member, who knows already who else is there."""
        person = self.enter(name)
        await self.turn()
        for peer in sorted(self.peers):
            self.answer(peer)
        await self.pass_time(POLICY.interval)
        return person

    async def stop(self) -> None:
        """The end, which waits for nobody who does not end."""
        async with asyncio.timeout(SOON):
            await self.presences.stop(10 * SOON)

    # What presence asks.

    def others(self) -> frozenset[str]:
        return frozenset(self.peers)

    async def say(self, room: str, body: bytes) -> None:
        self.said.append((room, read(body)))
        await self.say_gate.wait()

    async def ask(self, room: str, process: str | None) -> None:
        self.asked.append((room, process))

    async def tell(self, room: str, process: str, body: bytes) -> None:
        self.told.append((room, process, read(body)))
        await self.say_gate.wait()

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        return self.metadata.get(connection.id, {})

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        self.overlapping += self._running
        self._running = True
        self.diffs.append(diff)
        self.at.append(self.now)
        try:
            await self.hook_gate.wait()
        finally:
            self._running = False


@asynccontextmanager
async def world_of(
    *, peers: tuple[str, ...] = (), rooms: Mapping[str, Presence | None] | None = None
) -> AsyncIterator[World]:
    """A world that is stopped at the end, on a loop whose time it moves."""
    world = World(peers=peers, rooms=rooms)
    loop = asyncio.get_running_loop()
    time: Callable[[], float] = loop.time
    loop.time = lambda: time() + world._moved  # type: ignore[method-assign]
    try:
        yield world
        world.say_gate.set()
        world.hook_gate.set()
        await world.stop()
        assert (len(world.presences._tasks), world.rooms, world.timers()) == (0, [], 0)
    finally:
        loop.time = time  # type: ignore[method-assign]


def peer(process: str = "there", **users: str) -> Attendance:
    """Another process, with connections of users."""
    attendance = Attendance(POLICY, process, itertools.count(2))  # 1 was its answer that it had nobody
    for connection, user in users.items():
        attendance.enter(connection, user, {})
    return attendance


def background(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """What the test waits for later."""
    return asyncio.get_running_loop().create_task(work)


def _connection(person: Person) -> Connection[Any]:
    return cast("Connection[Any]", person)
