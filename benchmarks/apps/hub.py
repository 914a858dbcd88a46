"""A `Hub`, which the load may talk to without a pause. Event streams, too; who talks to those uses a command."""

from typing import Any

from fastapi import FastAPI

from fastapi_rooms.hub import Hub

app = FastAPI()
hub = Hub(publish=True, rate_limit=None, heartbeat=None)


@hub.on("say")
async def say(message: Any) -> None:
    await hub.publish("general", message)


app.include_router(hub.router, prefix="/live")
