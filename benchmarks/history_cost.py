"""What a broadcast into a room with a history costs its caller, beside redis-py's bare XADD on the same server."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.brokers_apps.contract import message
from benchmarks.history_result import BARE, OURS, OURS_ATTENDED, OURS_PLAIN, Cost, Run
from benchmarks.redis_counts import Door, door, redis_client
from benchmarks.silent import SilentClient
from fastapi_rooms import History, Position, RoomManager
from fastapi_rooms.brokers import BrokerTimings
from fastapi_rooms.brokers.url import broker_from_url

Say = Callable[[str], Awaitable[object]]
"""Takes a message; returns when the engine has it."""

KEPT: Final = History()
PROBE_SECONDS: Final = 3600.0
"""A probe would be one more request among those that are counted."""


class Rooms(RoomManager):
    """An application's manager: its clients learn the position of each message. The room `plain` keeps nothing."""

    def __init__(self, url: str) -> None:
        broker = broker_from_url(url, timings=BrokerTimings(probe_interval=PROBE_SECONDS))
        super().__init__(broker=broker, history=lambda room: None if room == "plain" else KEPT)

    def encode(self, message: str | bytes, position: Position) -> object:
        return {"position": str(position), "message": message}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: In which each way has its turn.
        messages: In each turn, one after the other.
        seconds: Of each turn with several callers.
        callers: Who broadcast at the same time; each awaits one message before it sends the next.
    """

    rounds: int = 15
    messages: int = 1000
    seconds: float = 0.3
    callers: int = 32


async def measure(url: str, plan: Plan, result: Cost) -> None:
    """All ways on one server, by turns."""
    numbers = itertools.count()
    async with door(url) as looking, _ways(url) as ways:
        for say in ways.values():
            await _one_by_one(say, plan.messages // 5, numbers, looking)  # scripts are loaded, connections made
        for number in range(plan.rounds):
            for title in ways if number % 2 == 0 else reversed(ways):
                alone = await _one_by_one(ways[title], plan.messages, numbers, looking)
                together = await _together(ways[title], plan, numbers, looking)
                result.add(title, alone, together)


@asynccontextmanager
async def _ways(url: str) -> AsyncGenerator[dict[str, Say]]:
    """In such an order that those which are compared are neighbours."""
    async with redis_client(url) as client, AsyncExitStack() as stack:
        manager = Rooms(url)
        await stack.enter_async_context(manager.lifespan())
        member = SilentClient()
        await stack.enter_async_context(manager.connect(member.websocket(), room="attended"))
        stack.callback(member.closed.set)  # it leaves first: nobody waits for what it has not read
        yield {
            OURS_PLAIN: partial(manager.broadcast, room="plain"),
            OURS: partial(manager.broadcast, room="kept"),
            BARE: lambda text: client.xadd("bare", {"data": text}, maxlen=KEPT.messages),
            OURS_ATTENDED: partial(manager.broadcast, room="attended"),
        }


async def _one_by_one(say: Say, messages: int, numbers: "itertools.count[int]", looking: Door) -> Run:
    took_us = []
    before = await looking.look()
    began = time.perf_counter_ns()
    for number in itertools.islice(numbers, messages):
        text = message(number)
        start = time.perf_counter_ns()
        await say(text)
        took_us.append((time.perf_counter_ns() - start) / 1e3)
    seconds = (time.perf_counter_ns() - began) / 1e9
    return Run.of(messages, seconds, (await looking.look()).since(before), took_us=took_us)


async def _together(say: Say, plan: Plan, numbers: "itertools.count[int]", looking: Door) -> Run:
    sent = 0

    async def call() -> None:
        nonlocal sent
        while time.perf_counter() < until:
            await say(message(next(numbers)))
            sent += 1

    before = await looking.look()
    start = time.perf_counter()
    until = start + plan.seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.callers):
            group.create_task(call())
    seconds = time.perf_counter() - start
    return Run.of(sent, seconds, (await looking.look()).since(before))
