"""broadcaster: the chat of its README, in memory."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from broadcaster import Broadcast
from fastapi import FastAPI, WebSocket

broadcast = Broadcast("memory://")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with broadcast:
        yield


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws")
async def chatroom(websocket: WebSocket) -> None:
    await websocket.accept()
    async with anyio.create_task_group() as tasks:

        async def receive_then_end() -> None:
            await receiver(websocket)
            tasks.cancel_scope.cancel()

        tasks.start_soon(receive_then_end)
        await sender(websocket)


async def receiver(websocket: WebSocket) -> None:
    async for message in websocket.iter_text():
        await broadcast.publish(channel="chatroom", message=message)


async def sender(websocket: WebSocket) -> None:
    async with broadcast.subscribe(channel="chatroom") as subscriber:
        async for event in subscriber:  # type: ignore[union-attr]  # annotated as possibly None, and never is
            await websocket.send_text(event.message)  # type: ignore[union-attr]  # the same
