"""A plain `RoomManager` with its defaults: one room."""

from fastapi import FastAPI, WebSocket

from fastapi_rooms import RoomManager

app = FastAPI()
manager = RoomManager()


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    async with manager.connect(websocket, room="general") as connection:
        async for data in connection.iter_text():
            await manager.broadcast(data, room="general")
