"""redis-py alone: PUBLISH, and a loop around `get_message`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from benchmarks.brokers_apps.contract import Deliver, Publish
from benchmarks.brokers_apps.tasks import running


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    async with Redis.from_url(url) as client:
        yield client.publish


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    async with Redis.from_url(url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(*rooms)
        heard = asyncio.Event()
        async with running(_receive(pubsub, deliver, heard)):
            await heard.wait()
            yield


async def _receive(pubsub: PubSub, deliver: Deliver, heard: asyncio.Event) -> None:
    while True:
        message = await pubsub.get_message(timeout=None)
        if message is None:
            continue
        if message["type"] == "message":
            deliver(message["data"])
        else:
            heard.set()
