"""A hub in a process of its own that is killed, or stopped, and started again on the same port."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brokers.engines import running
from brokers.redis_engine import RedisEngine
from fastapi_rooms import Publisher
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.hub import Event

from .app import KEPT
from .serving import Process, client_of, within

AWHILE = 60.0
"""Seconds that a test waits for a process to be there again."""


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with running(RedisEngine()) as engine:
        yield engine.url


@pytest.mark.parametrize(("transport", "end"), [("websocket", Process.kill), ("sse", Process.stop)])
async def test_nothing_is_missing_when_the_server_was_away(
    transport: str, end: Callable[[Process], None], broker: str
) -> None:
    process = Process(broker)
    room = f"lobby {transport}"
    numbers = itertools.count()
    try:
        await asyncio.to_thread(process.start)
        async with (
            client_of(process.port, transport, token="ann", max_delay=0.1) as client,
            Publisher(broker_from_url(broker), history=KEPT) as publisher,
        ):
            lobby = client.join(room)
            joins: asyncio.Queue[Any] = asyncio.Queue()
            lobby.on_joined(joins.put_nowait)
            await within(joins.get(), AWHILE)
            await publisher.publish(room, Event(next(numbers), "said"))
            await asyncio.to_thread(end, process)
            for _ in range(3):
                await publisher.publish(room, Event(next(numbers), "said"))
            await asyncio.to_thread(process.start)
            joined = await within(joins.get(), AWHILE)
            assert (joined.recovered, joined.again) == (True, True)
            await publisher.publish(room, Event(next(numbers), "said"))
            count = next(numbers)
            assert [(await within(anext(lobby))).data for _ in range(count)] == list(range(count))
    finally:
        process.kill()
