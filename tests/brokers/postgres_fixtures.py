"""Fixtures and helpers of tests on a PostgreSQL of their own; a test file names those that it uses."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from fastapi_rooms.brokers.postgres import PostgresBroker
from fastapi_rooms.brokers.postgres_connection import PostgresConnection
from fastapi_rooms.brokers.streams import Append, Page

from .engines import STEADY
from .postgres_engine import PostgresEngine

CHANNEL: Final = "rooms.room.a"

LONG: Final = b"x" * 20_000
"""Too long for a notification."""

_NUMBERS = count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresEngine]:
    engine = PostgresEngine()
    try:
        engine.start()
        yield engine
    finally:
        engine.close()


@pytest.fixture
async def admin(server: PostgresEngine) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(server.url)
    yield connection
    await connection.close()


@pytest.fixture
def table() -> str:
    return f"rooms_{next(_NUMBERS)}"


@pytest.fixture
async def broker(server: PostgresEngine, table: str) -> PostgresBroker:
    broker = PostgresBroker(server.url, timings=STEADY, table=table)
    await broker.create_schema()
    return broker


@asynccontextmanager
async def connected(broker: PostgresBroker) -> AsyncIterator[PostgresConnection]:
    async with asyncio.timeout(60):
        connection = await broker.connect()
        try:
            yield connection
        finally:
            await connection.close()


def to(
    channel: str,
    data: bytes = b"data",
    *,
    messages: int = 100,
    seconds: float = 60.0,
    idempotency_key: str | None = None,
    version: int | None = None,
) -> Append:
    return Append(
        channel=channel,
        data=data,
        messages=messages,
        seconds=seconds,
        idempotency_key=idempotency_key,
        version=version,
    )


async def look(broker: PostgresBroker) -> Page:
    """The stream, as a connection of its own sees it."""
    async with connected(broker) as connection:
        return await connection.read(CHANNEL, after=0, most=1000)


async def append_three(broker: PostgresBroker) -> str:
    """Append to the stream; its epoch."""
    async with connected(broker) as connection:
        return (await connection.append([to(CHANNEL) for _ in range(3)]))[-1].epoch


def requests_of(driver: Any) -> list[str]:
    """What is asked of the server from now on."""
    requests: list[str] = []
    driver.add_query_logger(lambda request: requests.append(request.query))
    return requests


async def rows_of(admin: Any, table: str) -> list[int]:
    return [offset for (offset,) in await admin.fetch(f'SELECT "offset" FROM {table}_history ORDER BY "offset"')]
