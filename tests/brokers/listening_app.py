"""The app of one worker process that listens in a room, and says in another what it has heard."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket

from .worker_app import health, rooms


async def repeat(entered: asyncio.Event) -> None:
    async with rooms.listen("inputs") as messages:
        entered.set()
        async for message in messages:
            await rooms.broadcast({"heard": message.data, "by": os.getpid()}, room="outputs")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks, rooms.lifespan(app):
        entered = asyncio.Event()
        tasks.create_task(repeat(entered))
        await entered.wait()
        yield


app = FastAPI(lifespan=lifespan)
app.get("/health")(health)


@app.websocket("/{room}/{user}")
async def talk(websocket: WebSocket, room: str, user: str) -> None:
    async with rooms.connect(websocket, room="outputs", user_id=user) as connection:
        await connection.send({"ready": os.getpid()})
        async for text in connection.iter_text():
            await rooms.broadcast(text, room="inputs")
