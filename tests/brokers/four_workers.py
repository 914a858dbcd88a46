"""`uvicorn --workers 4` behind a proxy that counts, and a crowd of clients in rooms of all kinds."""

import asyncio
import json
import resource
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import combinations
from typing import Any, Final, NamedTuple

import psutil

from conformance.wire import Client

from .counting_proxy import CountingProxy
from .engines import STARTS_WITHIN, Engine, until
from .processes import Process
from .scale import SOAK

WORKERS: Final = range(4)

SPREADS: Final = [spread for size in WORKERS for spread in combinations(WORKERS, size + 1)]
"""The workers that a room may have members in: one of the four, two, three, all."""

ROOMS: Final = {
    f"room-{number}": SPREADS[number % len(SPREADS)] for number in range((11 if SOAK else 2) * len(SPREADS))
}

MEMBERS: Final = 12
"""Of each room, as many in each of its workers."""

PLAZA: Final = "plaza"
"""The room of five more in each worker. One of them sends, and is in no other room."""

FILES: Final = 4096
"""Open files that the test needs, and the workers beneath it."""

_AT_ONCE: Final = 50
"""Clients that connect at the same time."""


class FourWorkers(Process):
    """Four processes that take clients from one port."""

    def __init__(self, *, url: str, prefix: str) -> None:
        protocol = "fastapi_rooms.transports.shared_frames:SharedFramesProtocol"
        options = ("--workers", str(len(WORKERS)), "--ws", protocol, "--timeout-worker-healthcheck", "60")
        super().__init__(url=url, prefix=prefix, timings="patient", app="counting_app", options=options)

    def processes(self) -> list[psutil.Process]:
        """The four: of what uvicorn has started, those that hold the port."""
        children = psutil.Process(self._process.pid).children()
        return [child for child in children if self._is_held_by(child)]

    def kill(self) -> None:
        for child in psutil.Process(self._process.pid).children(recursive=True):
            child.kill()
        super().kill()

    def _is_held_by(self, process: psutil.Process) -> bool:
        return any(one.laddr.port == self.port for one in process.net_connections(kind="tcp4"))


class Member:
    """A client in one room.

    Attributes:
        worker: Which of the four it is connected to.
        room: Where it is.
        heard: How often each message came.
    """

    def __init__(self, client: Client, *, worker: int, room: str) -> None:
        self.worker = worker
        self.room = room
        self.heard: Counter[str] = Counter()
        self._client = client

    async def ask(self, **what: Any) -> dict[str, Any]:
        """Have the worker do something; what it answers."""
        await self._client.send(json.dumps(what))
        while (answer := await self._receive()) is None:
            pass
        return answer

    async def hear(self, marker: str) -> None:
        """Read on until this message has come."""
        while not self.heard[marker]:
            assert await self._receive() is None

    async def _receive(self) -> dict[str, Any] | None:
        message: dict[str, Any] = json.loads(await self._client.receive_text(timeout=STARTS_WITHIN))
        if "marker" not in message:
            return message
        self.heard[message["marker"]] += 1
        return None


class Message(NamedTuple):
    """What was sent.

    Attributes:
        marker: Its name.
        room: To whom; `None`: to everyone.
        sender: The worker whose client it came from; `None`: a `Publisher` elsewhere.
    """

    marker: str
    room: str | None
    sender: int | None

    @property
    def spread(self) -> tuple[int, ...]:
        """The workers with somebody who gets it."""
        return tuple(WORKERS) if self.room is None else ROOMS.get(self.room, tuple(WORKERS))


class Crowd:
    """Everybody, and what the engine and the workers say about their messages.

    Attributes:
        members: All clients.
        senders: One in each worker.
    """

    def __init__(self, members: list[Member], *, workers: list[psutil.Process], proxy: CountingProxy) -> None:
        self.members = members
        self.senders = [next(one for one in self.of(worker) if one.room == PLAZA) for worker in WORKERS]
        self._workers = workers
        self._proxy = proxy

    def of(self, worker: int) -> list[Member]:
        """The clients of one worker."""
        return [one for one in self.members if one.worker == worker]

    async def reports(self) -> list[dict[str, Any]]:
        """What each worker counted."""
        return [await sender.ask() for sender in self.senders]

    def received(self) -> list[Counter[str]]:
        """How often the engine has sent each message to each worker, over all its connections."""
        counts = {worker.pid: Counter[str]() for worker in self._workers}
        for one in psutil.net_connections(kind="tcp4"):
            if one.laddr and one.raddr and one.raddr.port == self._proxy.port and one.pid in counts:
                counts[one.pid] += self._proxy.sent[one.laddr.port]
        return [counts[worker.pid] for worker in self._workers]


@asynccontextmanager
async def a_crowd(engine: Engine, *, prefix: str) -> AsyncIterator[Crowd]:
    """Four workers, and a quarter of the clients at each."""
    proxy = CountingProxy(engine.port)
    async with proxy:
        url = engine.url.replace(f":{engine.port}", f":{proxy.port}")
        with enough_files(), ExitStack() as sockets:
            uvicorn = FourWorkers(url=url, prefix=prefix)
            try:
                await asyncio.to_thread(uvicorn.wait_started)
                await uvicorn.wait_health(connected=True, peers=len(WORKERS) - 1)
                workers = uvicorn.processes()
                members = [one for worker in WORKERS for one in await _enter(uvicorn, workers, worker, sockets)]
                yield Crowd(members, workers=workers, proxy=proxy)
            finally:
                sockets.close()
                await asyncio.to_thread(uvicorn.stop)


async def _enter(
    uvicorn: FourWorkers, workers: list[psutil.Process], worker: int, sockets: ExitStack
) -> list[Member]:
    """Connect all clients of one worker. None can choose its own: the other workers stand still meanwhile."""

    async def enter(room: str) -> Member:
        client = await Client.connect(uvicorn.port, f"/counted?room={room}", timeout=STARTS_WITHIN)
        sockets.callback(client.socket.close)
        hello = json.loads(await client.receive_text(timeout=STARTS_WITHIN))
        assert hello == {"pid": workers[worker].pid}
        return Member(client, worker=worker, room=room)

    rooms = [PLAZA] * 5
    for room, spread in ROOMS.items():
        rooms += [room] * (MEMBERS // len(spread) if worker in spread else 0)
    members: list[Member] = []
    with stopped([one for number, one in enumerate(workers) if number != worker]):
        for start in range(0, len(rooms), _AT_ONCE):
            members += await asyncio.gather(*map(enter, rooms[start : start + _AT_ONCE]))
    return members


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    """They stand still."""
    try:
        for one in processes:
            one.suspend()
        until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in processes))
        yield
    finally:
        for one in processes:
            one.resume()


@contextmanager
def enough_files() -> Iterator[None]:
    """As many as are needed may be open, unless the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
