"""Dashboard: what this machine is doing, once a second, to everyone who looks and to nobody else.

Run it from the checkout with `uvicorn examples.dashboard:app`, then open http://127.0.0.1:8000.

The producer starts with the first viewer and stops after the last. A viewer that cannot keep up gets the newest
figures when it is ready, not the old ones one by one: `Overflow.CONFLATE` with one key. Of the processes that
share a ROOMS_BROKER (such as redis://127.0.0.1:6379), the one with the first viewer tells all viewers.
"""

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from typing import ClassVar, Literal

import psutil
from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from fastapi_rooms import Connection, Limits, Overflow, RoomManager
from fastapi_rooms.brokers.url import broker_from_url

PAGES = Path(__file__).with_name("static")
BROKER = os.environ.get("ROOMS_BROKER")
ROOM = "viewers"
INTERVAL = 1.0


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


class Machine:
    """Reads the figures in about a millisecond; rates are those since the reading before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before, self._counted = time.monotonic() - INTERVAL, psutil.net_io_counters()
        self.read(viewers=0, lag=0)  # the first reading of a rate has nothing to compare with

    def read(self, *, viewers: int, lag: float) -> Figures:
        now, traffic, memory = time.monotonic(), psutil.net_io_counters(), psutil.virtual_memory()
        seconds, counted = now - self._before, self._counted
        self._before, self._counted = now, traffic
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
        )


class Dashboard(RoomManager):
    producer: asyncio.Task[None] | None = None
    figures: ClassVar[deque[Figures]] = deque(maxlen=60)

    async def on_active(self) -> None:
        self.figures.clear()
        self.producer = asyncio.create_task(self.produce())

    async def on_idle(self) -> None:
        if self.producer:
            self.producer.cancel()
            await asyncio.wait([self.producer])
            self.producer = None

    async def on_connect(self, connection: Connection) -> None:
        await connection.send({"type": "history", "figures": list(self.figures)})

    async def produce(self) -> None:
        machine = Machine()
        while True:
            due = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            lag = max(0.0, time.monotonic() - due) * 1000
            viewers = await self.members(ROOM)
            figures = machine.read(viewers=len(viewers), lag=lag)
            self.figures.append(figures)
            first = min((viewer.connection_id for viewer in viewers), default=None)
            if any(connection.id == first for connection in self.members_here(ROOM)):
                await self.broadcast(figures, room=ROOM, key="figures")


dashboard = Dashboard(
    overflow=Overflow.CONFLATE,
    limits=Limits(connections=500, message_bytes=256),
    broker=broker_from_url(BROKER, prefix="dashboard") if BROKER else None,
)
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
