from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, WebSocket
from fastapi import Path as InPath
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from fastapi_rooms import RoomManager

STATIC = Path(__file__).with_name("static")
RoomName = Annotated[str, InPath(pattern="^[a-z0-9-]{1,32}$")]

rooms = RoomManager()
app = FastAPI(lifespan=rooms.lifespan)
app.mount("/static", StaticFiles(directory=STATIC))


@app.get("/")
async def entrance() -> RedirectResponse:
    return RedirectResponse("/lobby")


@app.get("/{room}")
async def page(room: RoomName) -> FileResponse:
    return FileResponse(STATIC / "page.html")


@app.websocket("/{room}")
async def chat(websocket: WebSocket, room: RoomName, name: str = "guest") -> None:
    async with rooms.connect(websocket, room=room) as connection:
        async for text in connection.iter_text():
            await rooms.broadcast({"from": name, "text": text}, room=room)
