"""Dashboard: what this machine is doing, once a second, to everyone who looks and to nobody else.

Run it from the checkout with `uvicorn examples.dashboard:app`, then open http://127.0.0.1:8000.

The producer starts with the first viewer and stops after the last. The last minute of figures is the room's
history, so whoever comes gets it at once. Of the processes that share a ROOMS_BROKER (such as
redis://127.0.0.1:6379), the one with the first viewer tells all viewers. In the gallery it also watches all
other examples of its process (`busiest`).
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Literal

import psutil
from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from fastapi_rooms import BrokerUnavailable, History, Limits, RoomManager
from fastapi_rooms.brokers.url import broker_from_url

from .busiest import Busiest, BusyRoom, SlowClient

PAGES = Path(__file__).with_name("static")
BROKER = os.environ.get("ROOMS_BROKER")
ROOM = "viewers"
INTERVAL = 1.0
MINUTE = 60


class Figures(BaseModel):
    """One second: sizes in bytes, rates in bytes per second, `lag` in milliseconds, processors in percent."""

    type: Literal["figures"] = "figures"
    at: float
    cores: list[float]
    load: tuple[float, float, float]
    memory: float
    memory_total: float
    received: float
    sent: float
    process_memory: float
    process_cpu: float
    threads: int
    viewers: int
    lag: float
    rooms: list[BusyRoom]
    clients: list[SlowClient]


class Machine:
    """Reads the figures in about a millisecond; rates are those since the reading before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.busiest = Busiest()
        self.read_at, self._counted = time.monotonic() - INTERVAL, psutil.net_io_counters()
        self.read(viewers=0, lag=0)  # the first reading of a rate has nothing to compare with

    def read(self, *, viewers: int, lag: float) -> Figures:
        now, traffic, memory = time.monotonic(), psutil.net_io_counters(), psutil.virtual_memory()
        seconds, counted = now - self.read_at, self._counted
        self.read_at, self._counted = now, traffic
        return Figures(
            at=time.time(),
            cores=psutil.cpu_percent(percpu=True),
            load=psutil.getloadavg(),
            memory=memory.total - memory.available,
            memory_total=memory.total,
            received=max(0, traffic.bytes_recv - counted.bytes_recv) / seconds,
            sent=max(0, traffic.bytes_sent - counted.bytes_sent) / seconds,
            process_memory=self._process.memory_info().rss,
            process_cpu=self._process.cpu_percent(),
            threads=self._process.num_threads(),
            viewers=viewers,
            lag=lag,
            rooms=self.busiest.rooms(seconds),
            clients=self.busiest.clients(),
        )


class Dashboard(RoomManager):
    machine = Machine()
    producer: asyncio.Task[None] | None = None

    async def on_room_active(self, room: str) -> None:
        self.producer = asyncio.create_task(self.produce())

    async def on_room_idle(self, room: str) -> None:
        if self.producer:
            self.producer.cancel()
            await asyncio.wait([self.producer])
            self.producer = None

    async def produce(self) -> None:
        while True:
            due = max(time.monotonic(), self.machine.read_at + INTERVAL)  # at once, if nobody looked for a while
            await asyncio.sleep(due - time.monotonic())
            lag = (time.monotonic() - due) * 1000
            viewers = await self.members(ROOM)
            first = min((viewer.connection_id for viewer in viewers), default=None)
            figures = self.machine.read(viewers=len(viewers), lag=lag)
            if any(connection.id == first for connection in self.members_here(ROOM)):
                try:
                    await self.broadcast(figures, room=ROOM)
                except BrokerUnavailable:  # nobody knows of viewers elsewhere: each process tells its own
                    await self.broadcast_here(figures, room=ROOM)


dashboard = Dashboard(
    limits=Limits(connections=500, message_bytes=256),
    history=History(messages=MINUTE, seconds=MINUTE, on_join=MINUTE),
    broker=broker_from_url(BROKER, prefix="dashboard") if BROKER else None,
)
dashboard.machine.busiest.managers["dashboard"] = dashboard
app = FastAPI(title="Dashboard", lifespan=dashboard.lifespan)
app.mount("/static", StaticFiles(directory=PAGES))


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGES / "dashboard.html")


@app.get("/state")
async def state() -> dict[str, int | bool]:
    return {"viewers": len(dashboard), "producing": dashboard.producer is not None}


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    async with dashboard.connect(websocket, room=ROOM) as connection:
        async for ping in connection.iter_text():  # straight back: so the page measures the response time
            await connection.send(ping)
