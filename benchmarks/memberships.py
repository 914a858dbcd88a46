"""What one join and one leave cost with a million memberships, against a thousand. No sockets."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.report import Bar
from benchmarks.silent import SilentClient
from fastapi_rooms import Connection, Limits, RoomManager

MOST = 1.5
EVERYONE = "everyone"


@dataclass(frozen=True, kw_only=True)
class Size:
    """So many connections, each in so many rooms: one that all are in, the others picked at random."""

    connections: int
    rooms_each: int
    rooms: int

    @property
    def memberships(self) -> int:
        return self.connections * self.rooms_each


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        samples: Batches at either size, by turns.
        batch: Joins, and then leaves, in one batch: never used before, picked at random.
        small: The size to compare with.
        large: The size that must not cost more.
    """

    samples: int = 15
    batch: int = 500
    small: Size = Size(connections=100, rooms_each=10, rooms=100)
    large: Size = Size(connections=10_000, rooms_each=100, rooms=10_000)


@dataclass
class World:
    """A manager with its memberships."""

    manager: RoomManager
    connections: list[Connection]
    rooms: list[str]

    def pick(self, batch: int, chance: random.Random) -> list[tuple[Connection, str]]:
        """Memberships that do not exist yet."""
        picked: dict[tuple[Connection, str], None] = {}
        while len(picked) < batch:
            connection, room = chance.choice(self.connections), chance.choice(self.rooms)
            if room not in (connection.memberships or ()):
                picked[connection, room] = None
        return list(picked)


@dataclass
class Memberships:
    """What came out: nanoseconds for each operation at each size, batch by batch."""

    small: dict[str, list[float]] = field(default_factory=dict)
    large: dict[str, list[float]] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        return [
            Bar(
                name=f"{operation}, 1,000,000 memberships / 1,000",
                values=[much / little for much, little in zip(self.large[operation], costs, strict=True)],
                most=MOST if operation.startswith("manager") else None,
            )
            for operation, costs in self.small.items()
        ]

    def record(self) -> dict[str, Any]:
        return {"nanoseconds": {"small": self.small, "large": self.large}}


def run(plan: Plan) -> Memberships:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Memberships:
    result = Memberships()
    chance = random.Random(1)
    async with _world(plan.small, chance) as small, _world(plan.large, chance) as large:
        gc.collect()  # building them is not what is measured
        for _ in range(plan.samples):
            for world, costs in ((small, result.small), (large, result.large)):
                for operation, nanoseconds in (await _sample(world, plan.batch, chance)).items():
                    costs.setdefault(operation, []).append(nanoseconds / plan.batch)
    return result


async def _sample(world: World, batch: int, chance: random.Random) -> dict[str, int]:
    manager, registry = world.manager, world.manager._host.registry
    picked = world.pick(batch, chance)
    times = [time.perf_counter_ns()]
    for connection, room in picked:
        await manager.join(connection, room)
    times.append(time.perf_counter_ns())
    for connection, room in picked:
        await manager.leave(connection, room)
    times.append(time.perf_counter_ns())
    for connection, room in picked:
        registry.join(connection, room)
    times.append(time.perf_counter_ns())
    for connection, room in picked:
        registry.leave(connection, room)
    times.append(time.perf_counter_ns())
    names = ("manager join", "manager leave", "registry join", "registry leave")
    return {name: after - before for name, before, after in zip(names, times, times[1:], strict=False)}


@asynccontextmanager
async def _world(size: Size, chance: random.Random) -> AsyncGenerator[World]:
    manager = RoomManager(limits=Limits(rooms_per_connection=None))
    rooms = [EVERYONE, *(f"room {number}" for number in range(size.rooms - 1))]
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(manager.connect(SilentClient().websocket()))
            for _ in range(size.connections)
        ]
        for connection in connections:
            for room in (EVERYONE, *chance.sample(rooms[1:], size.rooms_each - 1)):
                # As `manager.join` leaves it when its hooks are done, a million times in seconds.
                manager._host.registry.join(connection, room)
        yield World(manager, connections, rooms)
