"""The app of one worker process: rooms on the broker that the environment names."""

import os
from typing import Any

from fastapi import FastAPI, WebSocket

from fastapi_rooms import RoomManager
from fastapi_rooms.brokers import BrokerTimings
from fastapi_rooms.brokers.url import broker_from_url

from .engines import STEADY

TIMINGS = {
    "steady": STEADY,
    "patient": BrokerTimings(connect=30.0, publish=30.0, probe_interval=60.0, probe_timeout=30.0),
}
"""By name; the patient ones are for workers that are stopped for a moment."""


class Rooms(RoomManager[Any, Any]):
    """Counts what its broker does."""

    def __init__(self) -> None:
        timings = TIMINGS[os.environ["ROOMS_TIMINGS"]]
        broker = broker_from_url(os.environ["ROOMS_BROKER"], prefix=os.environ["ROOMS_PREFIX"], timings=timings)
        super().__init__(broker=broker)
        self.continuity_lost: list[str] = []

    async def on_continuity_lost(self, room: str) -> None:
        self.continuity_lost.append(room)


rooms = Rooms()
app = FastAPI(lifespan=rooms.lifespan)


@app.websocket("/{room}/{user}")
async def talk(websocket: WebSocket, room: str, user: str) -> None:
    """Says each number that comes to the room, and tells who sent it how far it went."""
    async with rooms.connect(websocket, room=room, user_id=user) as connection:
        await connection.send({"ready": os.getpid()})
        async for number in connection.iter_json():
            delivery = await rooms.broadcast({"from": user, "number": number}, room=room)
            await connection.send({"said": number, "scope": delivery.scope})


@app.get("/health")
async def health() -> dict[str, Any]:
    """What the test waits for."""
    how = rooms.health()
    return {
        "connected": how is not None and how.connected,
        "peers": 0 if how is None else how.peers,
        "outages": 0 if how is None else how.outages,
        "channels": 0 if how is None else how.channels,
        "foreign": 0 if how is None else how.foreign,
        "continuity_lost": sorted(rooms.continuity_lost),
        "pid": os.getpid(),
    }
