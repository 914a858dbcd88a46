"""Numbers said to all, by whoever asks by HTTP: in a hub's room with a history, and through python-socketio."""

import socketio
from fastapi import FastAPI

from fastapi_rooms import History
from fastapi_rooms.hub import Hub

hub = Hub(history=History(messages=2_000, seconds=300.0))
rooms = FastAPI()
rooms.include_router(hub.router, prefix="/live")


@rooms.post("/say/{number}")
async def say(number: int) -> None:
    await hub.publish("general", number)


server = socketio.AsyncServer(async_mode="asgi")
emitting = FastAPI()
emitting.mount("/socket.io", socketio.ASGIApp(server, socketio_path=""))


@emitting.post("/say/{number}")
async def emit(number: int) -> None:
    await server.emit("message", number)
