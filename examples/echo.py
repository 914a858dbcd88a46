"""Echo: what a client sends comes back byte for byte, text as text and binary as binary.

Run it from the checkout with `uvicorn examples.echo:app`, then open http://127.0.0.1:8000.

The whole server is the last function. Everything around a connection that can go wrong (a client that stalls,
vanishes, floods, or sends a gigabyte) is bounded by the manager, not by this code.
"""

from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from fastapi_rooms import ConnectionManager, Limits, RateLimit

PAGES = Path(__file__).with_name("static")

echo = ConnectionManager(limits=Limits(message_bytes=64 * 1024), rate_limit=RateLimit(rate=50, burst=100))

app = FastAPI(title="Echo", lifespan=echo.lifespan)
app.mount("/static", StaticFiles(directory=PAGES))


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGES / "echo.html")


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    async with echo.connect(websocket) as connection:
        async for message in connection:
            await connection.send(message)
