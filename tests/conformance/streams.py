"""Event streams: what managers see as WebSockets, and what a hub's clients see where WebSockets do not pass."""

import asyncio
from functools import partial

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from fastapi_rooms.transports.sse import SSEResponse, SSEStream
from fastapi_rooms.transports.stopping import StopWatch

from .managers import MANAGERS
from .recording import record

COMMENT_AFTER = 0.1

router = APIRouter()
STREAMS: dict[str, SSEStream] = {}


@router.get("/events/{label}", response_class=Response)
async def events(label: str, user: str) -> Response:
    """Answer every message that is posted with itself; greet first."""
    return SSEResponse(partial(_echo, label, user), comment_after=COMMENT_AFTER)


async def _echo(label: str, user: str, stream: SSEStream) -> None:
    try:
        async with MANAGERS[label].connect(stream.websocket, user_id=user) as connection:
            STREAMS[user] = stream
            await connection.send("hello")
            async for message in connection:
                if message == "leave":
                    await connection.close(4000, "as asked")
                if message == "fail":
                    raise LookupError("the endpoint fails on purpose")
                await connection.send(message)
    finally:
        STREAMS.pop(user, None)


@router.get("/until-stopped/{label}", response_class=Response)
async def until_stopped(label: str, user: str) -> Response:
    """Say nothing, until the server stops."""
    return SSEResponse(partial(_serve_until_stopped, label, user))


async def _serve_until_stopped(label: str, user: str, stream: SSEStream) -> None:
    stopping = asyncio.Event()
    with StopWatch(stopping.set):
        async with MANAGERS[label].connect(stream.websocket, user_id=user) as connection:
            await connection.send("hello")
            record(label, "waits", connection)
            await stopping.wait()
            await connection.close(1012, "the server is restarting")


@router.post("/push")
async def push(user: str, text: str) -> bool:
    """Say something for a client."""
    stream = STREAMS.get(user)
    if stream is None:
        raise HTTPException(404)
    return await stream.push(text)
