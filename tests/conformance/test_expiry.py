"""Case 6: the connection ends when its token does, unless the token is refreshed in time."""

import asyncio
import time

import pytest

from .auth_endpoints import token
from .watch import Watch
from .wire import Client, Closed, connected

LIFE = 2.0
AFTERWARDS = 5
"""Ticks of the refreshed one, at twenty a second, once the other is gone."""


async def _last_tick(client: Client, *, until: float) -> Closed | None:
    while time.time() < until:
        if isinstance(message := await client.receive(timeout=2), Closed):
            return message
        assert message == "tick"
    return None


async def test_a_token_that_expires_ends_its_connection_then_and_a_refreshed_one_does_not(
    watch: Watch,
) -> None:
    expires_at = time.time() + LIFE
    headers = [("Authorization", f"Bearer {token(expires_in=LIFE)}")]
    expired = asyncio.Event()

    async def expires() -> None:
        try:
            async with connected(watch.port, "/expiring", headers=headers) as client:
                closed = await _last_tick(client, until=expires_at + 2)
                assert closed is not None
                assert closed.code == 4001
                assert time.time() == pytest.approx(expires_at, abs=0.3)
        finally:
            expired.set()

    async def refreshed() -> None:
        async with connected(watch.port, "/expiring?refresh_after=0.5", headers=headers) as client:
            while not expired.is_set():
                assert await client.receive(timeout=2) == "tick"
            for _ in range(AFTERWARDS):
                assert await client.receive(timeout=2) == "tick"
            await client.close()

    await asyncio.gather(expires(), refreshed())
