"""First joins and last leaves of one room, as fast as they come, at an engine that takes its time."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

from fastapi_rooms.brokers import Broker, BrokerConnection, BrokerTimings
from fastapi_rooms.testing import eventually

from .engines import STEADY, Engine
from .scale import LONGER
from .workers import SOON, Manager, workers

_PREFIXES = itertools.count()

TIMES = 1000 * LONGER


class SlowToListen:
    """A connection that takes a random time to subscribe and to unsubscribe.

    Attributes:
        listening: The channels that the engine brings.
    """

    def __init__(self, connection: BrokerConnection, luck: random.Random) -> None:
        self._connection = connection
        self._luck = luck
        self.listening: set[str] = set()

    async def subscribe(self, channels: Sequence[str]) -> None:
        await self._wait()
        await self._connection.subscribe(channels)
        self.listening.update(channels)
        await self._wait()

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        await self._wait()
        await self._connection.unsubscribe(channels)
        self.listening.difference_update(channels)
        await self._wait()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self._connection.publish(messages)

    async def receive(self) -> tuple[str, bytes]:
        return await self._connection.receive()

    async def close(self) -> None:
        await self._connection.close()

    async def _wait(self) -> None:
        if self._luck.random() < 0.5:
            await asyncio.sleep(self._luck.random() * 0.002)


class Slow:
    """A broker whose connections are slow to listen."""

    def __init__(self, broker: Broker, *, seed: int) -> None:
        self.prefix = broker.prefix
        self.timings: BrokerTimings = replace(STEADY, linger=0.001)
        self.shared = True
        self.message_bytes = broker.message_bytes
        self._broker = broker
        self._luck = random.Random(seed)
        self.connection: SlowToListen | None = None

    async def connect(self) -> SlowToListen:
        self.connection = SlowToListen(await self._broker.connect(), self._luck)
        return self.connection

    def __str__(self) -> str:
        return str(self._broker)


async def test_who_has_joined_misses_nothing_however_often_the_room_was_left_before(engine: Engine) -> None:
    prefix = f"races{next(_PREFIXES)}"
    brokers = [Slow(engine.broker(prefix=prefix), seed=seed) for seed in range(2)]
    waiting = iter(brokers)
    luck = random.Random(3)
    async with workers(2, lambda: Manager(next(waiting))) as (near, far):
        await eventually(lambda: near.manager.health().peers == 1, timeout=SOON)  # type: ignore[union-attr]
        sockets = [await near.join(str(number)) for number in range(2)]
        connections = near.manager.connections
        for number in range(TIMES):
            who = number % 2
            await near.manager.join(connections[who], "red")
            await far.manager.broadcast(str(number), room="red")
            assert await sockets[who].receive_text() == str(number)
            await near.manager.leave(connections[who], "red")
            if luck.random() < 0.3:
                await asyncio.sleep(luck.random() * 0.004)
        await near.manager.join(connections[0], "blue")
        connection = brokers[0].connection
        assert connection is not None
        await eventually(
            lambda: {one for one in connection.listening if ".room." in one} == {f"{prefix}.room.blue"},
            timeout=SOON,
            awaited="channels only for rooms that have members",
        )
