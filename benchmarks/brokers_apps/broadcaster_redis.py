"""broadcaster: a subscription for each member, as in the chat of its README, on Redis."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from broadcaster import Broadcast

from benchmarks.brokers_apps.contract import Deliver, Publish
from benchmarks.brokers_apps.tasks import running


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    async with Broadcast(url) as broadcast:
        yield broadcast.publish


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    async with Broadcast(url) as broadcast, AsyncExitStack() as stack:
        # Its listener may look before the first subscription is made, find none, and sleep until the second one:
        # a process that subscribes to one channel alone would then hear nothing.
        for room in (f"{rooms[0]}-before", *rooms):
            entered = asyncio.Event()
            await stack.enter_async_context(running(_member(broadcast, room, deliver, entered)))
            await entered.wait()
        yield


async def _member(broadcast: Broadcast, room: str, deliver: Deliver, entered: asyncio.Event) -> None:
    async with broadcast.subscribe(channel=room) as subscriber:
        entered.set()
        async for event in subscriber:  # type: ignore[union-attr]  # annotated as possibly None, and never is
            deliver(event.message)  # type: ignore[union-attr]  # the same
