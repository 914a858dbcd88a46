"""A hub that the client's tests talk to; as a process of its own: `uvicorn tests.client.app:app`."""

import asyncio
import os
import time
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from fastapi_rooms import Connection, Heartbeat, History, Hub, HubError, Presence, Room
from fastapi_rooms.auth import Identity, TokenAuth
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.errors import ExpiredToken

BROKER = "CLIENT_TESTS_BROKER"

KEPT = History(messages=1000)


async def verify(token: str) -> Identity | None:
    """Tokens are names; "ann:0.3" expires in 0.3 s, and "bad" is nobody's."""
    name, _, seconds = token.partition(":")
    if name == "bad":
        return None
    if seconds == "0":
        raise ExpiredToken("the token has expired")
    return Identity(subject=name, expires_at=time.time() + float(seconds) if seconds else None)


class Say(BaseModel):
    text: str = Field(max_length=100)


class Said(BaseModel):
    user: str
    text: str


class Tried(Hub[Identity]):
    """Nobody may join "secret"; everybody may publish.

    Attributes:
        idle: Set while nobody is connected any more.
    """

    heartbeat = Heartbeat(interval=20.0, timeout=10.0)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.idle = asyncio.Event()

    async def on_active(self) -> None:
        self.idle.clear()

    async def on_idle(self) -> None:
        self.idle.set()

    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return room != "secret"


def make_hub(**options: Any) -> Tried:
    """With a history and presence in each room, unless the options say otherwise."""
    kept: Any = {"history": KEPT, "presence": Presence(grace=0.0, interval=0.01)}
    hub = Tried(auth=TokenAuth(verify), publish=True, **{**kept, **options})

    @hub.on("say")
    async def say(connection: Connection[Identity], room: Room, message: Say) -> Said:
        said = Said(user=connection.user.subject, text=message.text)
        await room.broadcast(said)
        return said

    @hub.on("add")
    async def add(numbers: list[int]) -> int:
        return sum(numbers)

    @hub.on("fail")
    async def fail(code: str) -> None:
        raise HubError(code, "as you wish", field="code")

    return hub


def app_of(hub: Hub[Any]) -> FastAPI:
    app = FastAPI()
    app.include_router(hub.router, prefix="/live")
    return app


app = app_of(make_hub(broker=broker_from_url(os.environ[BROKER]))) if BROKER in os.environ else None
