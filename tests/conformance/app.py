"""The application under test: endpoints that behave, and misbehave, as the applications of users do."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, WebSocket, WebSocketException

from . import recording
from .auth_endpoints import router
from .managers import MANAGERS, RELEASED, Fragile, Strict, released
from .recording import (
    EVENTS,
    LOGGED,
    Stall,
    live_objects,
    open_sockets,
    record,
    resident_bytes,
    tasks,
    watch_logs,
)
from .streams import router as streams

TICK = 0.1
"""Seconds between the messages of a feed: it is a clock that it tells, not one that a test waits by."""

_ENDPOINTS: dict[str, asyncio.Task[Any]] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Enter every manager's lifespan."""
    watch_logs()
    async with AsyncExitStack() as stack:
        for manager in MANAGERS.values():
            await stack.enter_async_context(manager.lifespan(app))
        yield


app = FastAPI(lifespan=lifespan)
app.include_router(router)
app.include_router(streams)
watch_logs()


@app.websocket("/echo/{label}")
async def echo(websocket: WebSocket, label: str, user: str | None = None, room: str | None = None) -> None:
    """Answer every message with itself; greet first."""
    async with MANAGERS[label].connect(websocket, user_id=user, room=room) as connection:
        await connection.send("hello")
        async for message in connection:
            await connection.send(message)


@app.websocket("/listen/{label}")
async def listen(websocket: WebSocket, label: str, user: str | None = None) -> None:
    """Take what comes and say nothing."""
    async with MANAGERS[label].connect(websocket, user_id=user) as connection:
        async for _ in connection:
            pass


@app.websocket("/feed/{label}")
async def feed(websocket: WebSocket, label: str, user: str | None = None) -> None:
    """Only send: never look at what the client says."""
    async with MANAGERS[label].connect(websocket, user_id=user) as connection:
        tick = 0
        while True:
            await connection.send(str(tick))
            tick += 1
            await asyncio.sleep(TICK)


@app.websocket("/working/{label}")
async def work(websocket: WebSocket, label: str, user: str | None = None) -> None:
    """Work on each message for as many seconds as it says, or until the user is released."""
    async with MANAGERS[label].connect(websocket, user_id=user) as connection:
        async for message in connection.iter_text():
            record(label, "works", connection)
            seconds = message.split()[0]
            await (released(str(user)) if seconds == "held" else asyncio.sleep(float(seconds)))
            await connection.send(f"done {message}")


@app.websocket("/json/{label}")
async def only_json(websocket: WebSocket, label: str, user: str | None = None) -> None:
    """Echo JSON of any kind."""
    async with MANAGERS[label].connect(websocket, user_id=user) as connection:
        async for value in connection.iter_json():
            await connection.send_json(value)


@app.websocket("/text/{label}")
async def only_text(websocket: WebSocket, label: str, user: str | None = None) -> None:
    """Echo text."""
    async with MANAGERS[label].connect(websocket, user_id=user) as connection:
        async for text in connection.iter_text():
            await connection.send_text(text)


@app.websocket("/serve/{label}")
async def serve(websocket: WebSocket, label: str, user: str | None = None, room: str = "lobby") -> None:
    """Leave all to the manager."""
    manager = MANAGERS[label]
    assert isinstance(manager, (Strict, Fragile))
    await manager.serve(websocket, user_id=user, room=room)


@app.websocket("/ends/{how}")
async def ends(websocket: WebSocket, how: str, user: str) -> None:
    """End in one of the ways in which an endpoint can."""
    async with MANAGERS["ends"].connect(websocket, user_id=user, room="lobby") as connection:
        await connection.send("hello")
        await connection.receive()
        match how:
            case "raises":
                raise LookupError("the endpoint fails on purpose")
            case "raises-http":
                raise HTTPException(403, detail="not you")
            case "raises-websocket":
                raise WebSocketException(4321, reason="so it is")
            case "closes":
                await connection.close(4000, "é" * 200)
            case "cancelled":
                task = asyncio.current_task()
                assert task is not None
                _ENDPOINTS[user] = task
                record("ends", "waits", connection)
                await asyncio.Event().wait()  # only the cancellation ends it


@app.websocket("/awaits/{label}")
async def awaits(websocket: WebSocket, label: str, messages: int, size: int = 10, user: str | None = None) -> None:
    """Send many messages in a row, each awaited."""
    async with MANAGERS[label].connect(websocket, user_id=user) as connection:
        for number in range(messages):
            await connection.send(f"{number:06d}" + "x" * size)
        await connection.receive()


@app.post("/cancel")
async def cancel(user: str) -> bool:
    """Cancel the endpoint's task of one user."""
    return _ENDPOINTS.pop(user).cancel()


@app.post("/release")
async def release(user: str) -> bool:
    """Hold a user up no longer."""
    RELEASED[user].set()
    return True


@app.post("/broadcast/{label}")
async def broadcast(label: str, messages: int = 1, size: int = 10, pause: float | None = None) -> float:
    """Broadcast numbered messages; seconds that it took."""
    started = time.monotonic()
    for number in range(messages):
        await MANAGERS[label].broadcast(f"{number:06d}" + "x" * size)
        if pause is not None:
            await asyncio.sleep(pause)
    return time.monotonic() - started


@app.post("/stall/{label}")
async def stall(label: str, user: str, size: int = 16_384, after: int = 20) -> dict[str, Any]:
    """Broadcast until the queue of `user` stands still, then `after` messages more, and one that ends it."""
    manager = MANAGERS[label]
    [victim] = [one for one in manager.connections if one.user_id == user]
    number = most = most_bytes = 0
    stalled = Stall(victim)
    left = after
    until = time.monotonic() + 15.0
    while left and time.monotonic() < until:
        await manager.broadcast(f"{number:06d}" + "x" * size)
        number += 1
        figures = victim.statistics()
        most, most_bytes = max(most, figures.queued), max(most_bytes, figures.queued_bytes)
        stalled.look()
        left -= stalled.since is not None or victim.status == "disconnected"
        await asyncio.sleep(0.002)
    await manager.broadcast(f"{number:06d}end")
    return {"messages": number + 1, "blocked": stalled.since, "queued": most, "queued_bytes": most_bytes}


@app.get("/ready")
async def ready() -> bool:
    """Whether the application answers."""
    watch_logs()
    return True


@app.get("/observe")
async def observe(*, objects: bool = False) -> dict[str, Any]:
    """What there is to see from within."""
    return {
        "pid": os.getpid(),
        "connections": {label: len(manager) for label, manager in MANAGERS.items()},
        "rooms": {label: len(tuple(manager.rooms)) for label, manager in MANAGERS.items()},
        "users": {label: len(tuple(manager.users)) for label, manager in MANAGERS.items()},
        "events": EVENTS,
        "logged": LOGGED,
        "tasks": tasks(),
        "objects": live_objects() if objects else {},
        "sockets": open_sockets(),
        "rss": resident_bytes(),
    }


@app.post("/reset")
async def reset() -> bool:
    """Forget what was recorded."""
    recording.EVENTS.clear()
    recording.LOGGED.clear()
    return True
