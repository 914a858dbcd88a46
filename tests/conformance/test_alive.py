"""Case 2: what is busy, or only sends, is not taken for dead by the server's pings."""

import asyncio
from pathlib import Path

from .servers import Server, ServerKind
from .watch import watching
from .wire import connected

PING = 1.0
"""Seconds between pings, where the server looks as often: some servers take whole seconds only."""
PINGS = 2
"""A server that gives up clients sends so many only if it has seen the answer to the first."""
TICKS = 10
PINGED_WITHIN = 40.0
HELD = "held until it is released"


async def _only_sends(server: Server) -> None:
    async with connected(server.port, "/feed/pings?user=feed") as client:
        for _ in range(3):
            await client.send("nobody reads this")
        ticks = 0
        while ticks < TICKS or (server.kind.pings and client.pings < PINGS):
            assert await client.receive() == str(ticks)
            ticks += 1


async def _works_long(server: Server, user: str, jobs: list[str]) -> None:
    """Answer pings while one of the jobs is held; the jobs are done all the same."""
    async with connected(server.port, f"/working/pings?user={user}") as client:
        for job in jobs:
            await client.send(job)
        for job in jobs[: jobs.index(HELD)]:
            assert await client.receive() == f"done {job}"
        if server.kind.pings:
            await client.pinged(client.pings + PINGS, timeout=PINGED_WITHIN)
        await server.post(f"/release?user={user}")
        for job in jobs[jobs.index(HELD) :]:
            assert await client.receive() == f"done {job}"


async def test_a_send_only_endpoint_and_a_busy_handler_outlive_the_servers_pings(
    kind: ServerKind, tmp_path: Path
) -> None:
    server = Server(kind, directory=tmp_path, ping=PING)
    try:
        async with watching(server):
            await asyncio.gather(
                _only_sends(server),
                _works_long(server, "at-first", [HELD, "0 second", "0 third"]),
                _works_long(server, "then", ["0 first", HELD, "0 third", "0 fourth"]),
            )
    finally:
        server.stop()
