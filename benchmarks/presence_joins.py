"""What joining and leaving costs in a room of few and of many who are present; everything in one process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.memberships import collected
from benchmarks.presence_result import BOTH, JOIN, LEAVE, SNAPSHOT, Kind
from benchmarks.presence_world import ROOM, Crowd, crowd, settled
from fastapi_rooms import Connection, Presence
from fastapi_rooms.brokers import MemoryBroker

SETTLE_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        pairs: Batches at each size, by turns.
        batch: Joins, and as many leaves, in one batch.
        sizes: Users present, from the fewest, with which the others are compared.
    """

    pairs: int = 15
    batch: int = 200
    sizes: tuple[int, ...] = (100, 10_000)


async def measure(plan: Plan, presence: Presence | None, kind: Kind) -> None:
    """All sizes live beside each other, and are asked by turns."""
    async with AsyncExitStack() as stack:
        crowds = {}
        for size in plan.sizes:
            made = crowd(f"size-{size}", MemoryBroker(), presence, members=size, guests=plan.batch)
            crowds[size] = await stack.enter_async_context(made)
        for size, one in crowds.items():
            await _known(one, presence, size)
        await asyncio.sleep(SETTLE_SECONDS)
        stack.enter_context(collected())
        for number in range(plan.pairs):
            for size in plan.sizes if number % 2 == 0 else reversed(plan.sizes):
                await _batch(size, crowds[size], presence, kind)


async def _batch(size: int, one: Crowd, presence: Presence | None, kind: Kind) -> None:
    """All guests join and leave."""
    manager = one.manager
    cpu = time.process_time_ns()
    kind.add(size, JOIN, await _all(manager.join, one.guests))
    await _known(one, presence, size + len(one.guests))
    kind.add(size, LEAVE, await _all(manager.leave, one.guests))
    await _known(one, presence, size)
    kind.add(size, BOTH, (time.process_time_ns() - cpu) / 1e3 / len(one.guests))
    if presence is not None:
        start = time.perf_counter_ns()
        await manager.room(ROOM).presence()
        kind.add(size, SNAPSHOT, (time.perf_counter_ns() - start) / 1e3)


async def _all(does: Callable[[Connection, str], Awaitable[object]], guests: list[Connection]) -> float:
    """Microseconds for each, one after the other."""
    start = time.perf_counter_ns()
    for guest in guests:
        await does(guest, ROOM)
    return (time.perf_counter_ns() - start) / 1e3 / len(guests)


async def _known(one: Crowd, presence: Presence | None, users: int) -> None:
    if presence is not None:
        await settled([one], users)
