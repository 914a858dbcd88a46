"""Case 2: what is busy, or only sends, is not taken for dead by the server's pings."""

import asyncio
import time
from pathlib import Path

from .servers import Server, ServerKind
from .watch import watching
from .wire import connected

PING = 1.0
"""Seconds between pings, and for the answer to each: some servers take whole seconds only."""
PINGS = 2
"""A server that gives up clients sends so many only if it has seen the answer to the first."""


async def _only_sends(server: Server, seconds: float) -> None:
    async with connected(server.port, "/feed/pings?user=feed") as client:
        for _ in range(3):
            await client.send("nobody reads this")
        started, ticks = time.monotonic(), 0
        while time.monotonic() - started < seconds or (server.kind.pings and client.pings < PINGS):
            assert await client.receive(timeout=2) == str(ticks)
            ticks += 1


async def _works_long(port: int, jobs: list[str]) -> None:
    async with connected(port, "/working/pings?user=work") as client:
        for job in jobs:
            await client.send(job)
        for job in jobs:
            assert await client.receive(timeout=10) == f"done {job}"


async def test_a_send_only_endpoint_and_a_busy_handler_outlive_the_servers_pings(
    kind: ServerKind, tmp_path: Path
) -> None:
    server = Server(kind, directory=tmp_path, ping=PING)
    long = kind.gives_up + 1.0
    try:
        async with watching(server):
            await asyncio.gather(
                _only_sends(server, long),
                _works_long(server.port, [f"{long} first", "0 second", "0 third"]),
                _works_long(server.port, ["0 first", f"{long} second", "0 third", "0 fourth"]),
            )
    finally:
        server.stop()
