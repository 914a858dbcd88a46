"""Ten thousand rooms of ten with random joins, leaves and broadcasts; and what they cost in larger numbers."""

import argparse
import asyncio
import gc
import random
import time
from dataclasses import dataclass, field
from statistics import fmean, median, quantiles
from typing import Any

from benchmarks import memberships
from benchmarks.memberships import BROADCAST, JOIN, LEAVE, MEMBERS, TEXT, Growth, Size, World, world
from benchmarks.report import Bar, table
from fastapi_rooms import Connection

NAME = "rooms"
TEN_THOUSAND_ROOMS = Size(connections=10_000, rooms_of_ten=10, room_of_all=False)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: Times that the figures of the churn are taken.
        operations: Joins, leaves and broadcasts, in random order, in each round.
        size: How many connections and rooms there are.
        growth: How cost grows with the number of memberships.
    """

    rounds: int = 10
    operations: int = 6_000
    size: Size = TEN_THOUSAND_ROOMS
    growth: memberships.Plan = field(default_factory=memberships.Plan)


@dataclass
class Rooms:
    """What came out; of the churn for each kind of operation, microseconds, round by round."""

    mean: dict[str, list[float]]
    p50: dict[str, list[float]]
    p99: dict[str, list[float]]
    growth: Growth

    def bars(self) -> list[Bar]:
        return self.growth.bars()

    def record(self) -> dict[str, Any]:
        churn = {"mean_us": self.mean, "p50_us": self.p50, "p99_us": self.p99}
        return {"churn": churn, "growth_nanoseconds": self.growth.costs}

    def text(self) -> str:
        rows = [
            (
                operation,
                f"{median(means):.1f}",
                f"{median(self.p50[operation]):.1f}",
                f"{median(self.p99[operation]):.1f}",
                f"{1e6 / median(means):,.0f}",
            )
            for operation, means in self.mean.items()
        ]
        head = ("operation", "mean us", "p50 us", "p99 us", "operations/s")
        title = f"Rooms: random operations in 10,000 rooms of {MEMBERS}; medians of the rounds"
        return table(title, head, rows) + "\n" + self.growth.text()


class Churn:
    """Random operations on a world, and what each took."""

    def __init__(self, one: World, chance: random.Random) -> None:
        self._world = one
        self._chance = chance
        self._members = [(connection, room) for connection in one.connections for room in connection.rooms]
        self._counts = dict.fromkeys(one.rooms, MEMBERS)

    async def round(self, operations: int) -> dict[str, list[float]]:
        """Microseconds of each operation, by kind."""
        kinds = {JOIN: self._join, LEAVE: self._leave, BROADCAST: self._broadcast}
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(operations):
            kind = self._chance.choice((JOIN, LEAVE, BROADCAST))
            times[kind].append(await kinds[kind]() / 1e3)
        return times

    def check(self) -> None:
        """Raise where members are not who they must be."""
        manager = self._world.manager
        if any(manager.count_here(room) != count for room, count in self._counts.items()):
            raise RuntimeError("a room has not the members that it must have")

    async def _join(self) -> int:
        connection, room = self._world.pick(self._chance)
        start = time.perf_counter_ns()
        await self._world.manager.join(connection, room)
        took = time.perf_counter_ns() - start
        self._members.append((connection, room))
        self._counts[room] += 1
        return took

    async def _leave(self) -> int:
        connection, room = self._draw_member()
        start = time.perf_counter_ns()
        await self._world.manager.leave(connection, room)
        took = time.perf_counter_ns() - start
        self._counts[room] -= 1
        return took

    async def _broadcast(self) -> int:
        room = self._chance.choice(self._world.rooms)
        start = time.perf_counter_ns()
        delivery = await self._world.manager.broadcast(TEXT, room=room)
        took = time.perf_counter_ns() - start
        if delivery.queued != self._counts[room]:
            raise RuntimeError(f"{delivery} in a room of {self._counts[room]}")
        return took

    def _draw_member(self) -> tuple[Connection, str]:
        members = self._members
        place = self._chance.randrange(len(members))
        members[place], members[-1] = members[-1], members[place]
        return members.pop()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    samples = arguments.pairs or (50 if arguments.full else 15)
    return Plan(rounds=50 if arguments.full else 10, growth=memberships.Plan(samples=samples))


def run(plan: Plan) -> Rooms:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Rooms:
    rounds = await _churn(plan)
    return Rooms(
        mean={kind: [fmean(one[kind]) for one in rounds] for kind in rounds[0]},
        p50={kind: [median(one[kind]) for one in rounds] for kind in rounds[0]},
        p99={kind: [quantiles(one[kind], n=100)[-1] for one in rounds] for kind in rounds[0]},
        growth=await memberships.measure(plan.growth),
    )


async def _churn(plan: Plan) -> list[dict[str, list[float]]]:
    chance = random.Random(1)
    async with world(plan.size, chance) as one:
        churn = Churn(one, chance)
        gc.collect()  # building it is not what is measured
        rounds = [await churn.round(plan.operations) for _ in range(plan.rounds)]
        churn.check()
    return rounds
