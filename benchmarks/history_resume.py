"""Many clients come back to one process at once: how often it reads what they missed."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from starlette.types import Message

from benchmarks.brokers_apps.contract import message
from benchmarks.history_cost import Rooms
from benchmarks.history_result import Resume, Resumption
from benchmarks.redis_counts import Counts, Door, door
from benchmarks.silent import SilentClient
from fastapi_rooms import Joined


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        runs: Each with rooms of its own, in a manager that knows nothing of them.
        rooms: In each run.
        clients: In each room.
        missed: Messages, by each client.
        before: Messages that came before these, which nobody has missed.
    """

    runs: int = 5
    rooms: int = 10
    clients: int = 100
    missed: int = 50
    before: int = 20


class Reader(SilentClient):
    """Keeps what it gets."""

    __module__ = SilentClient.__module__

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            self.got.append(message["text"])
        else:
            await super().send(message)


class Returning:
    """All who come back in one run."""

    def __init__(self, manager: Rooms, missed: dict[str, list[str]]) -> None:
        self._manager = manager
        self._missed = missed
        self._joined: list[Joined | None] = []
        self._readers: list[tuple[str, Reader]] = []
        self._back = asyncio.Event()
        self._leave = asyncio.Event()

    async def all(self, positions: dict[str, str], *, clients: int, looking: Door) -> tuple[float, Counts]:
        """Bring so many back in each room, and see them leave; seconds until all had what they missed."""
        before = await looking.look()
        async with asyncio.TaskGroup() as group:
            start = time.perf_counter()
            for _ in range(clients):
                for room, since in positions.items():
                    group.create_task(self._one(room, since, clients * len(positions)))
            await self._back.wait()
            seconds = time.perf_counter() - start
            counts = (await looking.look()).since(before)
            self._leave.set()
        return seconds, counts

    def check(self) -> int:
        """How many messages they got.

        Raises:
            RuntimeError: Somebody did not get what was missed, in order and once.
        """
        if any(one is None or not one.recovered for one in self._joined):
            raise RuntimeError("a client was told that its messages are not kept any more")
        for room, reader in self._readers:
            if [json.loads(text)["message"] for text in reader.got] != self._missed[room]:
                raise RuntimeError(f"{room}: a client did not get what it had missed")
        return sum(len(reader.got) for _, reader in self._readers)

    async def _one(self, room: str, since: str, everybody: int) -> None:
        reader = Reader()
        self._readers.append((room, reader))
        async with self._manager.connect(reader.websocket(), room=room, since=since) as connection:
            self._joined.append(self._manager.joined(connection, room))
            if len(self._joined) == everybody:
                self._back.set()
            await self._leave.wait()
            reader.closed.set()  # it leaves first


async def measure(url: str, plan: Plan, result: Resume) -> None:
    """Each run in a manager that has just started, as a worker after a deploy; another one has published."""
    async with door(url) as looking, AsyncExitStack() as stack:
        publisher = Rooms(url)
        await stack.enter_async_context(publisher.lifespan())
        for number in range(plan.runs):
            positions, missed = await _publish(publisher, plan, number)
            manager = Rooms(url)
            async with manager.lifespan():
                returning = Returning(manager, missed)
                seconds, counts = await returning.all(positions, clients=plan.clients, looking=looking)
                messages = returning.check()
            result.runs.append(Resumption(rooms=plan.rooms, seconds=seconds, messages=messages, counts=counts))


async def _publish(publisher: Rooms, plan: Plan, run: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Where the clients of each room were when they left, and what was said since."""
    positions: dict[str, str] = {}
    missed: dict[str, list[str]] = {}
    for room in (f"run-{run}-room-{number}" for number in range(plan.rooms)):
        for number in range(plan.before):
            await publisher.broadcast(message(number), room=room)
        positions[room] = str(await publisher.position(room))
        missed[room] = [message(plan.before + number) for number in range(plan.missed)]
        for text in missed[room]:
            await publisher.broadcast(text, room=room)
    return positions, missed
