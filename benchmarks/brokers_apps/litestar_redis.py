"""Litestar's channels on Redis: a subscription for each member that runs in the background."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from litestar.channels import ChannelsPlugin
from litestar.channels.backends.redis import RedisChannelsPubSubBackend
from redis.asyncio import Redis

from benchmarks.brokers_apps.contract import Deliver, Publish


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    async with Redis.from_url(url) as client, _plugin(client) as channels:
        yield lambda room, text: channels.wait_published(text, room)


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    async def send_text(data: bytes) -> None:
        deliver(data)

    async with Redis.from_url(url) as client, _plugin(client) as channels, AsyncExitStack() as stack:
        for room in rooms:
            subscriber = await stack.enter_async_context(channels.start_subscription([room]))
            await stack.enter_async_context(subscriber.run_in_background(send_text))
        yield


def _plugin(client: Redis) -> ChannelsPlugin:
    return ChannelsPlugin(RedisChannelsPubSubBackend(redis=client), arbitrary_channels_allowed=True)
