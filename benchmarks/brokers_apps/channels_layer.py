"""channels_redis: the pub/sub layer, with a channel for each member, as a consumer of Django Channels has it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from channels_redis.pubsub import RedisPubSubChannelLayer  # type: ignore[import-untyped]  # it ships no types

from benchmarks.brokers_apps.contract import Deliver, Publish
from benchmarks.brokers_apps.tasks import running


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    layer = RedisPubSubChannelLayer(hosts=[url])
    yield lambda room, text: layer.group_send(room, {"type": "chat.message", "text": text})
    await layer.flush()


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    layer = RedisPubSubChannelLayer(hosts=[url])
    channels = []
    for room in rooms:
        channels.append(await layer.new_channel())
        await layer.group_add(room, channels[-1])
    async with running(*(_consume(layer, channel, deliver) for channel in channels)):
        yield
    await layer.flush()


async def _consume(layer: RedisPubSubChannelLayer, channel: str, deliver: Deliver) -> None:
    while True:
        message = await layer.receive(channel)
        deliver(message["text"])
