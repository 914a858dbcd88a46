"""nats-py alone: publish and flush, and a callback."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import nats
from nats.aio.msg import Msg

from benchmarks.brokers_apps.contract import Deliver, Publish


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    client = await nats.connect(url)

    async def publish(room: str, text: str) -> None:
        await client.publish(room, text.encode())
        await client.flush()

    yield publish
    await client.close()


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    client = await nats.connect(url)

    async def came(message: Msg) -> None:
        deliver(message.data)

    for room in rooms:
        await client.subscribe(room, cb=came)
    await client.flush()
    yield
    await client.close()
