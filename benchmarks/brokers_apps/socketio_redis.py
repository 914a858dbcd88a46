"""python-socketio: an external process emits, a server with `AsyncRedisManager` hands packets to its Engine.IO.

The server's Engine.IO is a stub that takes everything at once, as the server is for ours.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import socketio
from redis.asyncio import Redis

from benchmarks.brokers_apps.contract import Deliver, Publish

EVENT = "message"
_BEFORE_TEXT = len(f'2["{EVENT}","')


@asynccontextmanager
async def publishing(url: str) -> AsyncGenerator[Publish]:
    manager = socketio.AsyncRedisManager(url, write_only=True)
    yield lambda room, text: manager.emit(EVENT, text, room=room)
    await cast("Redis", manager.redis).aclose()


@asynccontextmanager
async def receiving(url: str, rooms: Sequence[str], deliver: Deliver) -> AsyncGenerator[None]:
    manager = socketio.AsyncRedisManager(url)
    server = socketio.AsyncServer(async_mode="asgi", client_manager=manager)

    async def send_packet(_sid: str, packet: Any) -> None:
        deliver(packet.data[_BEFORE_TEXT:])

    server.eio.send_packet = send_packet
    manager.initialize()
    for room in rooms:
        sid = await manager.connect(f"client of {room}", "/")
        await manager.enter_room(sid, "/", room)
    yield
    manager.thread.cancel()
    await manager.thread
    await cast("Redis", manager.redis).aclose()
