"""Worker processes of one app, and clients of theirs on real sockets."""

import asyncio
import json
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from forked import Forked

from .engines import POLL, STARTS_WITHIN, listens, wait_for
from .ports import free_port

ROOT = Path(__file__).parents[2]


class Process:
    """One worker: a uvicorn process of its own.

    Args:
        url: The broker's.
        prefix: The broker's.
        timings: The broker's, by the name that the app knows.
        app: A module beside this one.
        options: For uvicorn, beside those that all have.
    """

    def __init__(
        self, *, url: str, prefix: str, timings: str, app: str = "worker_app", options: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        command = ["uvicorn", f"tests.brokers.{app}:app", "--port", str(self.port)]
        self._process = Forked(
            [*command, "--log-level", "warning", "--ws-ping-interval", "600", *options],
            cwd=ROOT,
            env={**os.environ, "ROOMS_BROKER": url, "ROOMS_PREFIX": prefix, "ROOMS_TIMINGS": timings},
        )

    def wait_started(self) -> None:
        wait_for(self._process, lambda: listens(self.port))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def memory(self) -> int:
        """Bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    async def health(self) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=STARTS_WITHIN) as answer:
                health: dict[str, Any] = json.load(answer)
                return health

        return await asyncio.to_thread(read)

    async def wait_health(self, **wanted: Any) -> dict[str, Any]:
        """Wait until its health says so."""
        async with asyncio.timeout(STARTS_WITHIN):
            while True:
                health = await self.health()
                if all(health[name] == value for name, value in wanted.items()):
                    return health
                await asyncio.sleep(POLL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Its exit status after SIGTERM."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STARTS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Person:
    """A client in one room.

    Attributes:
        heard: Who said which number, in the order in which it came.
        scopes: How far each own number went.
    """

    def __init__(self, room: str, name: str, socket: ClientConnection) -> None:
        self.room = room
        self.name = name
        self.heard: list[tuple[str, int]] = []
        self.scopes: dict[int, str] = {}
        self._socket = socket
        self._news = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def say(self, number: int) -> None:
        await self._socket.send(str(number))

    async def until_heard(self, *what: tuple[str, int], within: float = STARTS_WITHIN) -> None:
        """Wait until all of these have come."""
        missing = set(what)
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: missing <= set(self.heard))

    async def until_said(self, number: int) -> str:
        """How far the number went, once that is known."""
        async with asyncio.timeout(STARTS_WITHIN), self._news:
            await self._news.wait_for(lambda: number in self.scopes)
        return self.scopes[number]

    def numbers_of(self, name: str) -> list[int]:
        return [number for who, number in self.heard if who == name]

    async def leave(self) -> None:
        self._listening.cancel()
        with suppress(asyncio.CancelledError):
            await self._listening
        await self._socket.close()

    async def _listen(self) -> None:
        with suppress(ConnectionClosed):
            async for data in self._socket:
                message = json.loads(data)
                async with self._news:
                    if "from" in message:
                        self.heard.append((message["from"], message["number"]))
                    else:
                        self.scopes[message["said"]] = message["scope"]
                    self._news.notify_all()


async def enter(process: Process, room: str, name: str) -> Person:
    """Connect, and wait until the worker says that the room reaches us."""
    socket = await connect(f"ws://127.0.0.1:{process.port}/{room}/{name}", ping_interval=None)
    assert "ready" in json.loads(await socket.recv())
    return Person(room, name, socket)


@asynccontextmanager
async def processes(count: int, *, url: str, prefix: str, app: str = "worker_app") -> AsyncIterator[list[Process]]:
    """So many workers that know each other."""
    started = [Process(url=url, prefix=prefix, timings="steady", app=app) for _ in range(count)]
    try:
        for one in started:
            await asyncio.to_thread(one.wait_started)
        for one in started:
            await one.wait_health(connected=True, peers=count - 1)
        yield started
    finally:
        for one in started:
            one.stop()


@asynccontextmanager
async def crowd(workers: list[Process], *, people: int, rooms: int) -> AsyncIterator[list[Person]]:
    """People spread evenly over workers and rooms."""
    crowd = [
        await enter(workers[number % len(workers)], f"room-{number // len(workers) % rooms}", f"p{number}")
        for number in range(people)
    ]
    try:
        yield crowd
    finally:
        for person in crowd:
            await person.leave()


def by_room(people: list[Person]) -> dict[str, list[Person]]:
    """Who is in which room."""
    rooms: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        rooms[person.room].append(person)
    return rooms
