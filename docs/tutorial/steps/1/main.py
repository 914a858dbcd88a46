from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from fastapi_rooms import ConnectionManager

STATIC = Path(__file__).with_name("static")

manager = ConnectionManager()
app = FastAPI(lifespan=manager.lifespan)
app.mount("/static", StaticFiles(directory=STATIC))


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(STATIC / "page.html")


@app.websocket("/chat")
async def chat(websocket: WebSocket, name: str = "guest") -> None:
    async with manager.connect(websocket) as connection:
        async for text in connection.iter_text():
            await manager.broadcast({"from": name, "text": text})
