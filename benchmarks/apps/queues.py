"""The common recipe: a queue for each connection, and a task that sends what is in it."""

import asyncio

from fastapi import FastAPI, WebSocket

app = FastAPI()
queues: set[asyncio.Queue[str]] = set()


async def send_from(queue: asyncio.Queue[str], websocket: WebSocket) -> None:
    while True:
        await websocket.send_text(await queue.get())


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)
    writer = asyncio.create_task(send_from(queue, websocket))
    try:
        async for data in websocket.iter_text():
            for other in queues:
                other.put_nowait(data)
    finally:
        queues.discard(queue)
        writer.cancel()
