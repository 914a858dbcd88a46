"""The common recipe for event streams: a `StreamingResponse` of Starlette for each, and a queue of its own."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

queues: set[asyncio.Queue[bytes]] = set()


async def events(queue: asyncio.Queue[bytes]) -> AsyncGenerator[bytes]:
    try:
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


async def stream(request: Request) -> StreamingResponse:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    return StreamingResponse(events(queue), media_type="text/event-stream")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_text():
        event = f"data: {data}\n\n".encode()
        for queue in queues:
            queue.put_nowait(event)


app = Starlette(routes=[Route("/sse", stream), WebSocketRoute("/ws", talk)])
