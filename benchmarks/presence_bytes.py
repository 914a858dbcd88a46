"""How many bytes processes publish when one user joins a room where few, and where many, are present."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks.presence_result import FIRST_JOIN, ONE_JOIN, Presences
from benchmarks.presence_world import ROOM, Crowd, crowd, settled
from fastapi_rooms import Presence
from fastapi_rooms.brokers import BrokerTimings, MemoryBroker
from fastapi_rooms.brokers.memory import _MemoryConnection

PROBE_SECONDS = 3600.0
SETTLE_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        pairs: Joins at each size, by turns.
        sizes: Users present, half of them in each of two processes.
    """

    pairs: int = 15
    sizes: tuple[int, ...] = (10, 5_000)


class CountingBroker(MemoryBroker):
    """Counts the bytes that are published through it; probes would be counted too, so there are none.

    Attributes:
        published: So many.
    """

    def __init__(self) -> None:
        super().__init__(timings=BrokerTimings(probe_interval=PROBE_SECONDS))
        self.published = 0

    async def connect(self) -> "_Counted":
        return _Counted(self)


class _Counted(_MemoryConnection):
    def __init__(self, broker: CountingBroker) -> None:
        super().__init__(broker._listeners, broker._streams)
        self._broker = broker

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._broker.published += sum(len(data) for _, data in messages)
        await super().publish(messages)


class _Two:
    """Two processes on one broker, both with members of the room."""

    def __init__(self, broker: CountingBroker, crowds: Sequence[Crowd], present: int) -> None:
        self._broker = broker
        self._crowds = crowds
        self._present = present

    async def one_join(self) -> int:
        """Bytes until both know that a guest is there; it leaves again."""
        before = self._broker.published
        here = self._crowds[0]
        await here.manager.join(here.guests[0], ROOM)
        await self._settle(self._crowds, self._present + 1)
        published = self._broker.published - before
        await here.manager.leave(here.guests[0], ROOM)
        await self._settle(self._crowds, self._present)
        return published

    async def first_join(self) -> int:
        """Bytes until a third process, of which a guest is the first member of the room, knows who is there."""
        async with crowd("third", self._broker, Presence(), members=0, guests=1) as third:
            await asyncio.sleep(SETTLE_SECONDS)  # they greet each other
            before = self._broker.published
            await third.manager.join(third.guests[0], ROOM)
            await self._settle([*self._crowds, third], self._present + 1)
            published = self._broker.published - before
            await third.manager.leave(third.guests[0], ROOM)
            await self._settle(self._crowds, self._present)
        return published

    async def _settle(self, crowds: Sequence[Crowd], users: int) -> None:
        await settled(crowds, users)
        await asyncio.sleep(SETTLE_SECONDS)  # what comes after that counts too


async def measure(plan: Plan, result: Presences) -> None:
    """All sizes live beside each other, and are asked by turns."""
    async with AsyncExitStack() as stack:
        twos = {size: await stack.enter_async_context(_two(size)) for size in plan.sizes}
        for number in range(plan.pairs):
            for size in plan.sizes if number % 2 == 0 else reversed(plan.sizes):
                result.add_bytes(size, ONE_JOIN, await twos[size].one_join())
        for size, two in twos.items():
            result.add_bytes(size, FIRST_JOIN, await two.first_join())


@asynccontextmanager
async def _two(size: int) -> AsyncGenerator[_Two]:
    broker = CountingBroker()
    half = size // 2
    async with (
        crowd("first", broker, Presence(), members=half, guests=1) as first,
        crowd("second", broker, Presence(), members=size - half, guests=0) as second,
    ):
        two = _Two(broker, (first, second), size)
        await settled((first, second), size)
        await asyncio.sleep(SETTLE_SECONDS)
        yield two
