"""The app of one worker process whose rooms have a history, on the broker that the environment names."""

import json
import os
from typing import Any

from fastapi import FastAPI, WebSocket

from fastapi_rooms import (
    BrokerUnavailable,
    Connection,
    History,
    Overflow,
    Position,
    QueueLimits,
    RoomManager,
    RoomPolicy,
)
from fastapi_rooms.brokers.url import broker_from_url

from .engines import STARTS_WITHIN
from .worker_app import TIMINGS

KEPT = History(messages=10_000, seconds=120.0)
"""More than is said in a room while somebody is late."""

KEPT_SHORT = History(messages=100, seconds=120.0)
"""Of rooms whose name says "short"."""

QUEUE = QueueLimits(messages=128, send_timeout=STARTS_WITHIN)
"""Less than somebody may have missed: others say more while that is sent."""

WIDE = 4_000
"""Bytes beside the number, in rooms whose name says so: it takes a while to send what was missed there."""


class Rooms(RoomManager[Any, Any]):
    """Clients learn the position of each message, and what became of their own."""

    def __init__(self) -> None:
        timings = TIMINGS[os.environ["ROOMS_TIMINGS"]]
        broker = broker_from_url(os.environ["ROOMS_BROKER"], prefix=os.environ["ROOMS_PREFIX"], timings=timings)
        super().__init__(broker=broker, history=self.kept, queue=QUEUE)

    def kept(self, room: str) -> History:
        return KEPT_SHORT if "short" in room else KEPT

    def room_policy(self, room: str) -> RoomPolicy | None:
        named = [one for one in (Overflow.DROP_OLDEST, Overflow.DROP_NEWEST) if one.value in room]
        return RoomPolicy(overflow=named[0]) if named else None

    def encode(self, message: str | bytes, position: Position) -> object:
        padding = "." * WIDE if position.room.startswith("wide") else ""
        return {**json.loads(message), "position": str(position), "padding": padding}

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        joined = self.joined(connection, room)
        assert joined is not None
        position = None if joined.position is None else str(joined.position)
        await connection.send({"recovered": joined.recovered, "reason": joined.reason, "position": position})


rooms = Rooms()
app = FastAPI(lifespan=rooms.lifespan)


@app.websocket("/{room}/hear")
async def hear(websocket: WebSocket, room: str, since: str | None = None) -> None:
    """Goes on from where the client was."""
    async with rooms.connect(websocket, room=room, since=since) as connection:
        async for _ in connection.iter_text():
            pass


@app.websocket("/{room}/say/{author}")
async def say(websocket: WebSocket, room: str, author: str) -> None:
    """Publishes numbers from one to another, in turn, and tells how many of them were taken."""
    async with rooms.connect(websocket) as connection:
        async for first, end in connection.iter_json():
            taken, maybe = 0, False
            try:
                for number in range(first, end):
                    message, key = {"author": author, "number": number}, f"{author}-{number}"
                    await rooms.broadcast(message, room=room, idempotency_key=key)
                    taken += 1
            except BrokerUnavailable as error:
                maybe = error.maybe_published
            await connection.send({"taken": taken, "maybe": maybe})


@app.get("/{room}/position")
async def position(room: str) -> str:
    """Where the room is."""
    return str(await rooms.position(room))


@app.get("/health")
async def health() -> dict[str, Any]:
    """What the test waits for."""
    how = rooms.health()
    assert how is not None
    dropped = rooms.statistics().total.dropped
    return {
        "connected": how.connected,
        "outages": how.outages,
        "pid": os.getpid(),
        "dropped": dropped.oldest + dropped.newest,
    }
