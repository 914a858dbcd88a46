"""Rooms without sockets: what joining, leaving and broadcasting cost from 1,000 memberships to a million."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from benchmarks.report import Bar, table
from benchmarks.silent import SilentClient
from fastapi_rooms import Connection, Limits, RoomManager

MOST = 1.5
MEMBERS = 10
SETTLE_SECONDS = 0.2
EVERYONE = "everyone"
JOIN, LEAVE, BROADCAST = "join", "leave", "broadcast"
JOIN_ALL, LEAVE_ALL = "join the room of all", "leave the room of all"
REGISTRY_JOIN, REGISTRY_LEAVE = "registry alone: join", "registry alone: leave"
BOUNDED = (JOIN, LEAVE, JOIN_ALL, LEAVE_ALL)
TEXT = '{"type":"message","room":"general","from":"ada","text":"hello"}'


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many connections and rooms there are.

    Attributes:
        connections: All alike.
        rooms_of_ten: In how many rooms of ten members each connection is.
        room_of_all: Whether all are in one more.
    """

    connections: int
    rooms_of_ten: int
    room_of_all: bool = True

    @property
    def memberships(self) -> int:
        return self.connections * (self.rooms_of_ten + self.room_of_all)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        samples: Batches at each size, by turns.
        batch: Operations of each kind in one batch.
        sizes: From the smallest, with which the others are compared, to the largest, which has the bar.
    """

    samples: int = 15
    batch: int = 400
    sizes: tuple[Size, ...] = (
        Size(connections=100, rooms_of_ten=9),
        Size(connections=1_000, rooms_of_ten=9),
        Size(connections=2_500, rooms_of_ten=39),
        Size(connections=10_000, rooms_of_ten=99),
    )


class Hooked(RoomManager):
    """An application's manager: it has hooks, which do nothing."""

    async def authorize(self, connection: Connection, room: str) -> bool:
        return True

    async def on_join(self, connection: Connection, room: str) -> None:
        pass

    async def on_leave(self, connection: Connection, room: str) -> None:
        pass


@dataclass
class World:
    """A manager with its connections, and the rooms of ten."""

    manager: RoomManager
    connections: list[Connection]
    rooms: list[str]

    def pick(self, chance: random.Random) -> tuple[Connection, str]:
        """A membership that does not exist."""
        while True:
            connection, room = chance.choice(self.connections), chance.choice(self.rooms)
            if room not in connection.rooms:
                return connection, room


@dataclass
class Growth:
    """What came out: for each number of memberships the nanoseconds of each operation, batch by batch."""

    costs: dict[int, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, memberships: int, operation: str, nanoseconds: float) -> None:
        self.costs.setdefault(memberships, {}).setdefault(operation, []).append(nanoseconds)

    def bars(self) -> list[Bar]:
        few, many = min(self.costs), max(self.costs)
        bars = []
        for operation, costs in self.costs[many].items():
            ratios = [cost / other for cost, other in zip(costs, self.costs[few][operation], strict=True)]
            most = MOST if operation in BOUNDED else None
            bars.append(Bar(name=f"{operation}, {many:,} memberships / {few:,}", values=ratios, most=most))
        return bars

    def text(self) -> str:
        rows = [
            (operation, *(f"{median(costs[operation]) / 1e3:.2f}" for costs in self.costs.values()))
            for operation in self.costs[min(self.costs)]
        ]
        head = ("operation", *(f"{memberships:,}" for memberships in self.costs))
        return table("Rooms: microseconds for one operation, by number of memberships; medians", head, rows)


async def measure(plan: Plan) -> Growth:
    """All sizes live beside each other, and are asked by turns."""
    result = Growth()
    chance = random.Random(1)
    async with AsyncExitStack() as stack:
        worlds = [(size, await stack.enter_async_context(world(size, chance))) for size in plan.sizes]
        stack.enter_context(collected())
        for _ in range(plan.samples):
            for size, one in worlds:
                for operation, calls in _stages(one, plan.batch, chance):
                    start = time.perf_counter_ns()
                    for call in calls:
                        await call()
                    took = time.perf_counter_ns() - start
                    result.add(size.memberships, operation, took / len(calls))
                for operation, nanoseconds in _registry(one, plan.batch, chance).items():
                    result.add(size.memberships, operation, nanoseconds / plan.batch)
    return result


@contextmanager
def collected() -> Generator[None]:
    """Let the garbage collector look at new objects only: else the small world pays for the large one."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _stages(
    one: World, batch: int, chance: random.Random
) -> Iterator[tuple[str, list[Callable[[], Awaitable[object]]]]]:
    """What is called, stage by stage; afterwards everyone is where they were."""
    manager = one.manager
    picked = _distinct(one, batch, chance)
    yield JOIN, [partial(manager.join, connection, room) for connection, room in picked]
    yield LEAVE, [partial(manager.leave, connection, room) for connection, room in picked]
    some = chance.sample(one.connections, min(batch, len(one.connections) // 2))
    yield LEAVE_ALL, [partial(manager.leave, connection, EVERYONE) for connection in some]
    yield JOIN_ALL, [partial(manager.join, connection, EVERYONE) for connection in some]
    yield BROADCAST, [partial(manager.broadcast, TEXT, room=chance.choice(one.rooms)) for _ in range(batch)]


def _registry(one: World, batch: int, chance: random.Random) -> dict[str, int]:
    registry = one.manager._host.registry
    picked = _distinct(one, batch, chance)
    start = time.perf_counter_ns()
    for connection, room in picked:
        registry.join(connection, room)
    joined = time.perf_counter_ns()
    for connection, room in picked:
        registry.leave(connection, room)
    return {REGISTRY_JOIN: joined - start, REGISTRY_LEAVE: time.perf_counter_ns() - joined}


def _distinct(one: World, batch: int, chance: random.Random) -> list[tuple[Connection, str]]:
    picked: set[tuple[Connection, str]] = set()
    while len(picked) < batch:
        picked.add(one.pick(chance))
    return sorted(picked, key=lambda _: chance.random())


@asynccontextmanager
async def world(size: Size, chance: random.Random) -> AsyncGenerator[World]:
    """Connections in their rooms, until the block is left."""
    manager = Hooked(limits=Limits(rooms_per_connection=None))
    registry = manager._host.registry  # joins as `manager.join` leaves them, a million in seconds
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(manager.connect(SilentClient().websocket()))
            for _ in range(size.connections)
        ]
        for connection in connections if size.room_of_all else ():
            registry.join(connection, EVERYONE)
        rooms: list[str] = []
        for _ in range(size.rooms_of_ten):
            order = chance.sample(connections, len(connections))
            for first in range(0, len(order), MEMBERS):
                rooms.append(f"room {len(rooms)}")
                for connection in order[first : first + MEMBERS]:
                    registry.join(connection, rooms[-1])
        await asyncio.sleep(SETTLE_SECONDS)  # each connection's tasks begin
        yield World(manager, connections, rooms)
