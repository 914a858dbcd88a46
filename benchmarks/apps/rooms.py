"""`fastapi_rooms` in the standard way, with its defaults."""

from fastapi import FastAPI, WebSocket

from fastapi_rooms import ConnectionManager

app = FastAPI()
manager = ConnectionManager()


@app.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    async with manager.connect(websocket) as connection:
        async for data in connection.iter_text():
            await manager.broadcast(data)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async with manager.connect(websocket) as connection:
        async for data in connection.iter_text():
            await connection.send_text(data)
