"""The app of one worker process whose rooms have presence, on the broker that the environment names."""

import os
from typing import Any

from fastapi import FastAPI, WebSocket

from fastapi_rooms import Presence
from fastapi_rooms.brokers.url import broker_from_url

from .presence_pages import BRIEF, PATIENT, Shown
from .worker_app import TIMINGS


def presence_in(room: str) -> Presence:
    return BRIEF if room.startswith("brief") else PATIENT


rooms = Shown(
    broker=broker_from_url(
        os.environ["ROOMS_BROKER"],
        prefix=os.environ["ROOMS_PREFIX"],
        timings=TIMINGS[os.environ["ROOMS_TIMINGS"]],
    ),
    presence=presence_in,
)
app = FastAPI(lifespan=rooms.lifespan)


@app.websocket("/{room}/{user}")
async def enter(websocket: WebSocket, room: str, user: str) -> None:
    """Somebody who only looks."""
    await rooms.serve(websocket, room=room, user_id=user)


@app.get("/health")
async def health() -> dict[str, Any]:
    """What the test waits for."""
    how = rooms.health()
    assert how is not None
    return {"connected": how.connected, "peers": how.peers}
