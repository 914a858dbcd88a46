"""Chat: rooms by URL, a sign-in that issues a JWT, who is here, and who is typing.

Run it from the checkout with `uvicorn examples.chat:app`, then open http://127.0.0.1:8000 in two windows.

A name is all it takes to sign in, so anybody can be anybody: your application checks a password in `sign_in`.
Without ROOMS_SECRET (32 characters or more) every start makes its own key, and pages sign in again by themselves.
Processes with one ROOMS_SECRET and one ROOMS_BROKER (such as redis://127.0.0.1:6379) share the rooms.
"""

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

from fastapi_rooms import Connection, InvalidMessage, Limits, Overflow, QueueLimits, RateLimit, RoomManager
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url

PAGES = Path(__file__).with_name("static")
SECRET = os.environ.get("ROOMS_SECRET") or secrets.token_urlsafe(32)
BROKER = os.environ.get("ROOMS_BROKER")
SIGNED_IN_FOR = 3600
ROUNDS = 3

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

    async def on_join(self, connection: Connection[Identity], room: str) -> None:
        await self.tell_who_is_here(room)

    async def on_leave(self, connection: Connection[Identity], room: str) -> None:
        await self.tell_who_is_here(room)

    async def on_continuity_lost(self, room: str) -> None:
        await self.tell_who_is_here(room)

    async def tell_who_is_here(self, room: str) -> None:
        """Each name once, however many tabs it has; pages find out who came and who went.

        Told again if it has changed meanwhile: another process may have told what is newer before this one did.
        """
        told: list[str] | None = None
        for _ in range(ROUNDS):
            names = sorted({member.user_id or "" for member in await self.members(room)})
            if names == told:
                return
            await self.broadcast({"type": "people", "names": names, "at": time.time()}, room=room)
            told = names

    async def on_message(self, connection: Connection[Identity], message: Say | Typing) -> None:
        told = {**message.model_dump(), "from": connection.user.subject, "at": time.time()}
        for room in connection.rooms:
            await self.broadcast(told, room=room)

    async def on_invalid_message(self, connection: Connection[Identity], error: InvalidMessage) -> None:
        await connection.send({"type": "refused", "reason": str(error)})


# CLOSE, because a chat with holes is worse than a pause: who cannot keep up is closed, and the page comes back.
chat = Chat(
    queue=QueueLimits(messages=256, bytes=512 * 1024),
    overflow=Overflow.CLOSE,
    limits=Limits(connections=1000, connections_per_user=10, message_bytes=16 * 1024),
    rate_limit=RateLimit(rate=10, burst=40),
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


@app.get("/{room}", include_in_schema=False)
async def page(room: RoomName) -> FileResponse:
    return FileResponse(PAGES / "chat.html")


@app.websocket("/{room}")
async def endpoint(websocket: WebSocket, room: RoomName, user: Annotated[Identity, Depends(auth)]) -> None:
    await chat.serve(websocket, user=user, room=room)
