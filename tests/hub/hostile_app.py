"""The hubs that hostile clients get at, and what there is to see of them from within."""

import os
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from conformance import recording
from conformance.recording import LOGGED, resident_bytes, tasks, watch_logs
from fastapi_rooms import Connection, History, Limits, Presence, QueueLimits, Room
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.hub import Hub
from hub.talk import auth_of_names


class Target(Hub[Any]):
    """A hub with all that there is, and deadlines that a test can wait for."""

    publish_by_members = True
    history = History(messages=50)
    presence = Presence(grace=0.0, interval=0.05, ttl=2.0, refresh=0.5)
    queue = QueueLimits(messages=256, bytes=512 * 1024, send_timeout=1.0, close_timeout=3.0)

    def __init__(self, **options: Any) -> None:
        super().__init__(auth=auth_of_names(), broker=MemoryBroker(timings=BrokerTimings(linger=0.1)), **options)
        for handler in (self.echo, self.much, self.shout):
            self.on(handler.__name__)(handler)

    def present(self, connection: Connection[Any], room: str) -> Mapping[str, object] | None:
        return {"name": connection.user_id}

    async def echo(self, data: Any) -> Any:
        return data

    async def much(self, size: int) -> str:
        return "x" * min(size, 100_000)

    async def shout(self, room: Room[Any], data: Any) -> None:
        await room.broadcast(data)


HUBS: dict[str, Target] = {
    "limited": Target(),
    "quick": Target(rate_limit=None),
    "hasty": Target(limits=Limits(authentication_timeout=4.0)),
}
"""One as it comes, one that lets its clients be as fast as they like, one that gives them little time to begin:
more than who means to goes without on a busy machine.
"""

app = FastAPI()
for label, hub in HUBS.items():
    app.include_router(hub.router, prefix=f"/{label}")
watch_logs()


@app.get("/ready")
async def ready() -> bool:
    """Whether the application answers."""
    watch_logs()
    return True


@app.get("/observe")
async def observe() -> dict[str, Any]:
    """What there is to see from within; see `conformance.watch`."""
    return {
        "pid": os.getpid(),
        "connections": {label: len(hub._host.sessions) for label, hub in HUBS.items()},
        "rooms": {label: len(hub.rooms) for label, hub in HUBS.items()},
        "users": {label: len(hub.users) for label, hub in HUBS.items()},
        "kept": {label: _kept(hub) for label, hub in HUBS.items()},
        "disconnected": {label: hub.statistics().disconnected for label, hub in HUBS.items()},
        "events": {},
        "logged": LOGGED,
        "tasks": tasks(),
        "rss": resident_bytes(),
    }


@app.post("/reset")
async def reset() -> bool:
    """Forget what was recorded."""
    recording.LOGGED.clear()
    return True


def _kept(hub: Target) -> dict[str, int]:
    """What a hub still holds of rooms that had members a moment ago, and of connections."""
    across: Any = hub._across
    return {
        "exchanges": len(hub._exchanges),
        "histories": len(across._histories._rooms),
        "presences": len(across._presences._rooms),
        "remembered": len(across._remembered),
        "occupied": len(across._occupied),
        "channels": len(across.cluster.subscriptions.wanted),
        "leaving": len(hub._memberships._leaving),
    }
