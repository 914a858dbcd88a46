"""asyncpg alone: `pg_notify`, and a listener's callback."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from benchmarks.brokers_apps.contract import Deliver, Publish


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    connection = await asyncpg.connect(url)

    async def publish(room: str, text: str) -> None:
        await connection.execute("SELECT pg_notify($1, $2)", room, text)

    yield publish
    await connection.close()


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    connection = await asyncpg.connect(url)

    def came(_connection: object, _process: int, _channel: str, payload: str) -> None:
        deliver(payload)

    for room in rooms:
        await connection.add_listener(room, came)
    yield
    await connection.close()
