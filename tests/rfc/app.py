"""The application under test: the echo example, and beside it endpoints for what its limits do not let through."""

import asyncio
import time
from typing import Any, Final

from examples.echo import app
from fastapi import WebSocket

from conformance.recording import Stall
from fastapi_rooms import (
    Connection,
    ConnectionManager,
    Disconnect,
    Limits,
    Overflow,
    QueueLimits,
    RoomManager,
)

__all__ = ["app"]

MIB: Final = 1024 * 1024
SEND_TIMEOUT: Final = 1.0
CLOSE_TIMEOUT: Final = 0.5
SHARE: Final = "share what you hold"
"""At this text `/share` broadcasts all that it was sent before, in one turn of the loop."""

_NO_LIMITS = Limits(message_bytes=None, inbox_bytes=64 * MIB, handler_grace=1.0)
_LONG_QUEUE = QueueLimits(messages=4096, bytes=64 * MIB)
_SHORT_QUEUE = QueueLimits(messages=64, bytes=512 * 1024, send_timeout=SEND_TIMEOUT, close_timeout=CLOSE_TIMEOUT)


class Watched(ConnectionManager[Any, Any]):
    """Remembers who has left, why, and when."""

    def __init__(self) -> None:
        super().__init__(queue=_SHORT_QUEUE, limits=_NO_LIMITS, overflow=Overflow.DROP_OLDEST)
        self.left: dict[str, dict[str, Any]] = {}

    async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
        """Remember it."""
        self.left[str(connection.user_id)] = {"reason": disconnect.reason.value, "at": time.monotonic()}


large = ConnectionManager[Any, Any](queue=_LONG_QUEUE, limits=_NO_LIMITS)
rooms = RoomManager[Any, Any](queue=_LONG_QUEUE, limits=_NO_LIMITS)
watched = Watched()


@app.get("/ready")
async def ready() -> bool:
    """Whether the application answers."""
    return True


@app.websocket("/large")
async def echo_large(websocket: WebSocket) -> None:
    """Echo messages of any size and number."""
    async with large.connect(websocket) as connection:
        async for message in connection:
            await connection.send(message)


@app.websocket("/subprotocol")
async def echo_superchat(websocket: WebSocket) -> None:
    """Echo, for clients that speak superchat."""
    async with large.connect(websocket, subprotocol="superchat") as connection:
        async for message in connection:
            await connection.send(message)


@app.websocket("/bare")
async def echo_bare(websocket: WebSocket) -> None:
    """Echo without a manager."""
    await websocket.accept()
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


@app.websocket("/twice")
async def echo_twice(websocket: WebSocket) -> None:
    """Echo each text through the connection and, besides it, through the raw socket; greet through that too."""
    await websocket.accept()
    await websocket.send_text("hello")
    async with large.connect(websocket) as connection:
        async for text in connection.iter_text():
            await connection.send(f"connection: {text}")
            await websocket.send_text(f"socket: {text}")


@app.websocket("/goodbye")
async def goodbye(websocket: WebSocket, messages: int, how: str) -> None:
    """Send many messages at once, and end."""
    async with large.connect(websocket) as connection:
        for number in range(messages):
            connection.send_nowait(f"message {number}")
        match how:
            case "closes":
                await connection.close(4321, "that was all")
            case "closes the raw socket":
                await websocket.close(4321, "that was all")
                for number in range(messages):
                    connection.send_nowait(f"late {number}")
                await large.broadcast("too late")
            case "raises":
                raise LookupError("the endpoint fails on purpose")


@app.websocket("/share/{room}")
async def share(websocket: WebSocket, room: str) -> None:
    """Hold what comes, and share it with the room when told so; say who has come."""
    async with rooms.connect(websocket, room=room) as connection:
        await connection.send(str(len(rooms.room(room).connections)))
        held: list[str | bytes] = []
        async for message in connection:
            held.append(message)
            if message == SHARE:
                for one in held:
                    await rooms.broadcast(one, room=room)
                held.clear()


@app.websocket("/watched/{user}")
async def listen(websocket: WebSocket, user: str) -> None:
    """Take what comes, and say nothing."""
    async with watched.connect(websocket, user_id=user) as connection:
        async for _ in connection:
            pass


def fed(number: int) -> str:
    """One of ten is longer, some with a length of two bytes.

    More would fill the buffers between us and a client that stands still for a while, and cost it its close frame.
    """
    return f"{number} " + "x" * (0 if number % 10 else number % 200)


@app.websocket("/feed")
async def feed(websocket: WebSocket) -> None:
    """Send numbers without an end, many in each turn of the loop."""
    async with large.connect(websocket) as connection:
        number = 0
        while True:
            for _ in range(20):
                await connection.send(fed(number))
                number += 1
            await asyncio.sleep(0.001)


@app.post("/stall/{user}")
async def stall(user: str, size: int = 16_384) -> dict[str, Any]:
    """Broadcast until `user` has left, and once more; how many, and since when it took nothing."""
    [victim] = [one for one in watched.connections if one.user_id == user]
    number, stalled = 0, Stall(victim)
    until = time.monotonic() + 15.0
    while user not in watched.left and time.monotonic() < until:
        await watched.broadcast(f"{number:06d}" + "x" * size)
        number += 1
        stalled.look()
        # once it stands still: others may read late, and have space for all
        await asyncio.sleep(0.002 if stalled.since is None else 0.05)
    stalled.look()
    await watched.broadcast(f"{number:06d}end")
    return {"messages": number + 1, "blocked": stalled.since, "left": watched.left.get(user)}


@app.websocket("/extensions")
async def extensions(websocket: WebSocket) -> None:
    """Say what the server offers."""
    async with large.connect(websocket) as connection:
        await connection.send(" ".join(websocket.scope["extensions"]))
        async for _ in connection:
            pass
