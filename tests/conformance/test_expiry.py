"""Case 6: the connection ends when its token does, unless the token is refreshed in time."""

import asyncio
import time

from .auth_endpoints import token
from .watch import Watch
from .wire import Client, Closed, connected

LIFE = 4.0
"""Seconds; both must have connected by then, and one refreshed its token, on a busy machine."""
LATE = 5.0
"""Seconds for a busy machine."""
AFTERWARDS = 5
"""Ticks of the refreshed one, at twenty a second, once the other is gone."""


async def _last_tick(client: Client, *, until: float) -> Closed | None:
    while time.time() < until:
        if isinstance(message := await client.receive(), Closed):
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
                closed = await _last_tick(client, until=expires_at + LATE)
                assert closed is not None
                assert closed.code == 4001
                assert expires_at - 0.3 <= time.time() <= expires_at + LATE
        finally:
            expired.set()

    async def refreshed() -> None:
        async with connected(watch.port, "/expiring?refresh_after=0", headers=headers) as client:
            while not expired.is_set():
                assert await client.receive() == "tick"
            for _ in range(AFTERWARDS):
                assert await client.receive() == "tick"
            await client.close()

    await asyncio.gather(expires(), refreshed())
