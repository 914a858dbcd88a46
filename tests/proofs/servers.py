"""Worker processes of the proofs' hub: on ports that a server may be replaced on."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from brokers.engines import POLL, STARTS_WITHIN, listens, running, until
from brokers.ports import free_port
from brokers.redis_engine import RedisEngine
from fastapi_rooms.brokers import Broker
from fastapi_rooms.brokers.url import broker_from_url
from forked import PIPE, Forked

from .hub_app import BROKER, CHANNELS, PREFIX, TIMINGS

ROOT = Path(__file__).parents[2]

WAYS = ("fastapi_rooms.transports.shared_frames:SharedFramesProtocol", "websockets-sansio")
"""How workers write WebSockets: every other one has shared frames."""


class Server:
    """One worker.

    Args:
        way: One of `WAYS`.
        **environment: Variables that its app reads.

    Attributes:
        port: Once it has begun.
    """

    port: int

    def __init__(self, way: str, **environment: str) -> None:
        self._way = way
        self._environment = environment
        self._process = Forked(
            ["tests.proofs.server", way],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=PIPE,
            stdout=PIPE,
        )

    @property
    def url(self) -> str:
        """Of the hub."""
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def broker(self) -> Broker:
        """Another one on the same engine."""
        return broker_from_url(self._environment[BROKER], prefix=CHANNELS, timings=TIMINGS)

    def another(self) -> "Server":
        """One like this, ready to begin when this one has ended."""
        return Server(self._way, **self._environment)

    def begin(self, port: int | None = None) -> None:
        """Serve; returns when it listens."""
        self.prepare()
        self.port = port or free_port()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self.port}\n")
        self._process.stdin.flush()
        until(lambda: listens(self.port), or_raise=self._check_alive)

    def prepare(self) -> None:
        """Wait until it is ready to begin."""
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            assert self._process.stdout.readline() == "ready\n"
            self._process.stdout.close()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, unless it had one; returns when it is gone."""
        if self._process.poll() is None:
            self.ask_to_stop()
        try:
            self._process.wait(STARTS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    async def wait_peers(self, count: int) -> None:
        """Wait until it is connected to its broker, and knows so many others."""
        async with asyncio.timeout(STARTS_WITHIN):
            wanted = {"connected": True, "peers": count}
            while await asyncio.to_thread(self._health) != wanted:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(POLL)

    def _health(self) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=STARTS_WITHIN) as answer:
            health: dict[str, Any] = json.load(answer)
            return health

    def _check_alive(self) -> None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended with {self._process.returncode}")


@asynccontextmanager
async def serving(workers: int, **environment: str) -> AsyncIterator[list[Server]]:
    """One worker with all in its memory, or several on a Redis of their own."""
    async with AsyncExitStack() as stack:
        if workers > 1:
            engine = await asyncio.to_thread(stack.enter_context, running(RedisEngine()))
            environment[BROKER] = engine.url
        servers = [Server(WAYS[number % len(WAYS)], **environment) for number in range(workers)]
        for server in servers:
            stack.push_async_callback(asyncio.to_thread, server.stop)
        for server in servers:
            await asyncio.to_thread(server.begin)
        for server in servers:
            await server.wait_peers(workers - 1)
        yield servers
