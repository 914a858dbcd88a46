"""A TCP proxy for one client, which cuts its connections. Tests have it from here, too."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Self

from benchmarks.machine import HOST

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: whoever is at the other end sees a reset."""


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How connections are cut. Times are ranges of seconds.

    Attributes:
        calm: From one cut of a client to the next.
        away: For how long nothing passes.
    """

    calm: tuple[float, float]
    away: tuple[float, float]


class Gate:
    """Passes bytes on, until it is shut: then all connections break, and no new one is made.

    Args:
        ports: Of the servers. One connection goes to the first, the next to the next: so do the requests beside an
            event stream.

    Attributes:
        port: Where it listens; its own as long as it is entered.
        cuts: How often it was shut.
    """

    port: int

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports: Iterator[int] = cycle(ports)
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self._place = socket.socket()
        self._shut = False
        self.cuts = 0

    async def __aenter__(self) -> Self:
        # Bound, and not listening: the port stays ours while nobody listens on it, and who connects is refused.
        _bind(self._place, 0)
        self.port = self._place.getsockname()[1]
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._break(reset=False)
        self._stop_listening()
        for pair in self._pairs:
            await pair.over.wait()
        self._place.close()

    async def shut(self, *, reset: bool, refuse: bool) -> None:
        """Break what there is.

        Args:
            reset: Whether the client sees a reset, or an end.
            refuse: Whether new connections are refused. False: they are taken, and broken.
        """
        self._shut = True
        self.cuts += 1
        self._break(reset=reset)
        if refuse:
            self._stop_listening()

    async def open(self) -> None:
        """Let everything pass again."""
        self._shut = False
        if self._server is None:
            await self._listen()

    async def suffer(self, weather: Weather, luck: random.Random) -> None:
        """Shut it, and open it, again and again; until this is cancelled, and then it is open."""
        try:
            while True:
                await asyncio.sleep(luck.uniform(*weather.calm))
                await self.shut(reset=luck.random() < 0.5, refuse=luck.random() < 0.5)
                await asyncio.sleep(luck.uniform(*weather.away))
                await self.open()
        finally:
            await self.open()

    async def _listen(self) -> None:
        listener = socket.socket()
        _bind(listener, self.port)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=listener, start_serving=False)
        await self._server.start_serving()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self) -> "_End":
        pair = _Pair(next(self._ports), broken=self._shut)
        self._pairs = {one for one in self._pairs if not one.over.is_set()} | {pair}
        return pair.client

    def _break(self, *, reset: bool) -> None:
        for pair in self._pairs:
            pair.break_off(reset=reset)


class _Pair:
    """A client's connection, and the one to the server that belongs to it.

    Attributes:
        client: The client's end.
        server: The server's.
        over: Set once both have ended.
    """

    def __init__(self, port: int, *, broken: bool) -> None:
        self.client = _End(self)
        self.server = _End(self)
        self.client.other, self.server.other = self.server, self.client
        self.over = asyncio.Event()
        self._port = port
        self._broken = broken
        self._connecting: asyncio.Task[None] | None = None

    def made(self, end: "_End") -> None:
        """A connection is there."""
        if self._broken:
            end.abort(reset=True)
        elif end is self.client:
            end.transport.pause_reading()  # until there is somewhere to put it
            self._connecting = asyncio.create_task(self._connect())
        elif self.client.lost:
            end.transport.close()

    def lost(self) -> None:
        """One has ended."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
        ends = (self.client, self.server)
        for end in ends:
            if not end.lost:
                end.transport.close()  # what is on its way still arrives
        if all(end.lost for end in ends):
            self.over.set()

    def break_off(self, *, reset: bool) -> None:
        """End both, with all that is on its way."""
        self._broken = True
        for end in (self.client, self.server):
            end.abort(reset=reset and end is self.client)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, HOST, self._port)
        except OSError:  # the server is away: so it looks to the client
            self.client.abort(reset=True)
        else:
            with suppress(RuntimeError):  # it has ended meanwhile
                self.client.transport.resume_reading()


class _End(asyncio.Protocol):
    """One of both connections."""

    transport: asyncio.Transport
    other: "_End"

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair
        self.lost = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.lost = False
        self._pair.made(self)

    def data_received(self, data: bytes) -> None:
        if not self.other.lost:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if not self.other.lost:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.lost:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._pair.lost()

    def abort(self, *, reset: bool) -> None:
        """End it at once."""
        if self.lost:
            return
        if reset:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


def _bind(place: socket.socket, port: int) -> None:
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may linger
    place.bind((HOST, port))


@asynccontextmanager
async def gates(count: int, ports: Sequence[int]) -> AsyncIterator[list[Gate]]:
    """So many, one for each client."""
    made = [Gate(ports) for _ in range(count)]
    entered: list[Gate] = []
    try:
        for gate in made:
            entered.append(await gate.__aenter__())
        yield entered
    finally:
        for gate in entered:
            await gate.__aexit__()


@asynccontextmanager
async def storm(shaken: Sequence[Gate], weather: Weather, *, seed: int) -> AsyncIterator[None]:
    """All of them are cut at random, each for itself, as long as this lasts; they are open afterwards."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(gate.suffer(weather, random.Random(seed * 10_000 + number)))
            for number, gate in enumerate(shaken)
        ]
        yield
        for task in tasks:
            task.cancel()
