"""Case 2: what is busy, or only sends, is not taken for dead by the server's pings."""

import asyncio
import time
from pathlib import Path

from .servers import Server, ServerKind
from .watch import watching
from .wire import connected

PING = 1.0
ALIVE = 5.0


async def _only_sends(port: int) -> None:
    async with connected(port, "/feed/pings?user=feed") as client:
        for _ in range(3):
            await client.send("nobody reads this")
        started, ticks = time.monotonic(), 0
        while time.monotonic() - started < ALIVE:
            assert await client.receive(timeout=2) == str(ticks)
            ticks += 1


async def _works_long(port: int) -> None:
    async with connected(port, "/working/pings?user=work") as client:
        jobs = [f"{ALIVE} first", "2.5 second", "0 third", "0 fourth"]
        for job in jobs:
            await client.send(job)
        for job in jobs:
            assert await client.receive(timeout=ALIVE + 3) == f"done {job}"


async def test_a_send_only_endpoint_and_a_busy_handler_outlive_the_servers_pings(
    kind: ServerKind, tmp_path: Path
) -> None:
    server = Server(kind, directory=tmp_path, ping=PING)
    try:
        async with watching(server):
            await asyncio.gather(_only_sends(server.port), _works_long(server.port))
    finally:
        server.stop()
