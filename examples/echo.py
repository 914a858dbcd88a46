"""Echo: what a client sends comes back byte for byte, text as text and binary as binary.

Run it from the checkout with `uvicorn examples.echo:app`, then open http://127.0.0.1:8000.

The whole echo is the last function. Everything around a connection that can go wrong (a client that stalls,
vanishes, floods, or sends a gigabyte) is bounded by the manager, not by this code. To show it, the page has a
client that stalls on purpose: `flood` sends it more than it takes, and `client` says what the manager does.
"""

import asyncio
import os
from pathlib import Path

from fastapi import FastAPI, Response, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from fastapi_rooms import Connection, ConnectionManager, ConnectionStatistics, Disconnect, Limits, RateLimit

PAGES = Path(__file__).with_name("static")
BLOCK = os.urandom(64 * 1024)  # which no compression makes smaller
REMEMBERED = 100


class Echo(ConnectionManager):
    """Remembers how the last hundred connections ended, for whom the page asks about."""

    def __init__(self) -> None:
        super().__init__(limits=Limits(message_bytes=64 * 1024), rate_limit=RateLimit(rate=50, burst=100))
        self.ended: dict[str, Disconnect] = {}

    async def on_disconnect(self, connection: Connection[None], disconnect: Disconnect) -> None:
        self.ended[connection.id] = disconnect
        if len(self.ended) > REMEMBERED:
            del self.ended[next(iter(self.ended))]


echo = Echo()
app = FastAPI(title="Echo", lifespan=echo.lifespan)
app.mount("/static", StaticFiles(directory=PAGES))


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGES / "echo.html")


@app.get("/clients/{client_id}")
async def client(client_id: str, response: Response) -> ConnectionStatistics | Disconnect | None:
    """What waits for a client now, or how it ended, where this worker knows it. Five looks a second are enough."""
    await asyncio.sleep(0.2)
    response.headers["Connection"] = "close"  # of several workers, the next one asked may be the client's
    connection = echo.connection(client_id)
    return connection.statistics() if connection else echo.ended.get(client_id)


@app.websocket("/flood")
async def flood(websocket: WebSocket) -> None:
    """Some ten megabytes a second, which no buffer between us and the client takes for long."""
    async with echo.connect(websocket) as connection:
        await connection.send(connection.id)
        while True:
            await connection.send(BLOCK)
            await asyncio.sleep(0.005)


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    async with echo.connect(websocket) as connection:
        async for message in connection:
            await connection.send(message)
