"""Chat: rooms by URL, a sign-in that issues a JWT, who is here and who is typing, and nothing missed.

chat_hub.py does the same on a hub, so that both ways can be compared.
Run it from the checkout with `uvicorn examples.chat:app`, then open http://127.0.0.1:8000 in two windows.

A name is all it takes to sign in, so anybody can be anybody: your application checks a password in `sign_in`.
Without ROOMS_SECRET (32 characters or more) every start makes its own key, and pages sign in again by themselves.
Processes with one ROOMS_SECRET and one ROOMS_BROKER (such as redis://127.0.0.1:6379) share the rooms.
ROOMS_GRACE (15): for so many seconds somebody is still listed whose last tab has gone, since most come back.
"""

import json
import os
import secrets
import time
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, WebSocket
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, StringConstraints

from fastapi_rooms import (
    BrokerUnavailable,
    Connection,
    History,
    InvalidMessage,
    Limits,
    Overflow,
    Position,
    Presence,
    PresenceDiff,
    QueueLimits,
    RateLimit,
    RoomManager,
)
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url

PAGES = Path(__file__).with_name("static")
SECRET = os.environ.get("ROOMS_SECRET") or secrets.token_urlsafe(32)
BROKER = os.environ.get("ROOMS_BROKER")
GRACE = float(os.environ.get("ROOMS_GRACE", "15"))
SIGNED_IN_FOR = 3600

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
RoomName = Annotated[str, PathParameter(pattern="^[a-z0-9-]{1,32}$")]


class Say(BaseModel):
    type: Literal["say"]
    text: Text


class Typing(BaseModel):
    type: Literal["typing"]


class SignIn(BaseModel):
    name: Name


class Chat(RoomManager[Identity, Say | Typing]):
    message_model = Annotated[Say | Typing, Field(discriminator="type")]

    def encode(self, message: str | bytes, position: Position) -> object:
        """A page that comes back brings the position of the last message that it got."""
        return {**json.loads(message), "position": str(position)}

    async def on_join(self, connection: Connection[Identity], room: str) -> None:
        """It has the last messages, or those that it missed; now it gets who is here, and whether that was all."""
        joined = self.joined(connection, room)
        if joined is None:  # it has left meanwhile
            return
        position = str(joined.position) if joined.position else None
        welcome = {"recovered": joined.recovered, "reason": joined.reason, "position": position}
        await connection.send({"type": "welcome", **welcome, "present": await self.who(room)})

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        """Runs in every process, so each tells its own members."""
        await self.broadcast_here({"type": "presence", "diff": diff}, room=room)

    async def on_message(self, connection: Connection[Identity], message: Say | Typing) -> None:
        for room in connection.rooms:
            if isinstance(message, Typing):  # a state of who is here, and no part of the history
                await self.update_presence(connection, room, {"typing": time.time()})
            else:
                await self.update_presence(connection, room, {})
                await self.say(connection, room, message.text)

    async def say(self, connection: Connection[Identity], room: str, text: str) -> None:
        said = {"type": "say", "text": text, "from": connection.user.subject, "at": time.time()}
        try:
            await self.broadcast(said, room=room)
        except BrokerUnavailable:
            await connection.send({"type": "refused", "reason": "the chat is out of reach", "text": text})

    async def on_invalid_message(self, connection: Connection[Identity], error: InvalidMessage) -> None:
        await connection.send({"type": "refused", "reason": str(error)})


# CLOSE: who cannot keep up is closed, and its page comes back for what it has missed.
chat = Chat(
    queue=QueueLimits(messages=256, bytes=512 * 1024),
    overflow=Overflow.CLOSE,
    limits=Limits(connections=1000, connections_per_user=10, message_bytes=16 * 1024),
    rate_limit=RateLimit(rate=10, burst=40),
    history=History(messages=200, seconds=24 * 3600, on_join=50),
    presence=Presence(grace=GRACE),
    broker=broker_from_url(BROKER, prefix="chat") if BROKER else None,
)
auth = JWTAuth(key=SECRET, algorithms=["HS256"], reject="close")  # a close code is all that a page can see

app = FastAPI(title="Chat", lifespan=chat.lifespan)
app.mount("/static", StaticFiles(directory=PAGES))


@app.post("/token")
async def sign_in(user: SignIn) -> dict[str, str]:
    return {"token": auth.issue(user.name, expires_in=SIGNED_IN_FOR)}


@app.get("/", include_in_schema=False)
async def entrance() -> RedirectResponse:
    return RedirectResponse("lobby")


@app.get("/chat.js", include_in_schema=False)
async def script() -> FileResponse:
    return FileResponse(PAGES / "chat.js")


@app.get("/{room}", include_in_schema=False)
async def page(room: RoomName) -> FileResponse:
    return FileResponse(PAGES / "chat.html")


@app.websocket("/{room}")
async def endpoint(
    websocket: WebSocket, room: RoomName, user: Annotated[Identity, Depends(auth)], since: str | None = None
) -> None:
    await chat.serve(websocket, user=user, room=room, since=since)
