from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).with_name("static")


class ConnectionManager:
    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        self.active.remove(websocket)

    async def broadcast(self, message: dict[str, str]) -> None:
        for websocket in self.active:
            await websocket.send_json(message)


manager = ConnectionManager()
app = FastAPI()
app.mount("/static", StaticFiles(directory=STATIC))


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(STATIC / "page.html")


@app.websocket("/chat")
async def chat(websocket: WebSocket, name: str = "guest") -> None:
    await manager.connect(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await manager.broadcast({"from": name, "text": text})
    except WebSocketDisconnect:
        manager.disconnect(websocket)
