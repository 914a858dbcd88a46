"""Chat on a hub: the same page as chat.py, without an endpoint, a loop of messages or a wire format of its own.

Run it from the checkout with `uvicorn examples.chat_hub:app`, then open http://127.0.0.1:8000 in two windows.

What chat.py does in `encode`, `on_join`, `on_presence`, `on_message` and `endpoint`, the hub does by itself, and
its rooms.js in the page: what was missed, who is here, answers and errors. What is left is who may do what, and
what is said. Sign-in and settings are those of chat.py: ROOMS_SECRET, ROOMS_BROKER, ROOMS_GRACE.
"""

import os
import re
import secrets
import time
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints

from fastapi_rooms import Connection, History, Hub, Presence, RateLimit, Room
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url

PAGES = Path(__file__).with_name("static")
SECRET = os.environ.get("ROOMS_SECRET") or secrets.token_urlsafe(32)
BROKER = os.environ.get("ROOMS_BROKER")
GRACE = float(os.environ.get("ROOMS_GRACE", "15"))
SIGNED_IN_FOR = 3600
A_ROOM = "^[a-z0-9-]{1,32}$"

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
RoomName = Annotated[str, PathParameter(pattern=A_ROOM)]


class SignIn(BaseModel):
    name: Name


class Say(BaseModel):
    text: Text


class Said(Say):
    by: str
    at: float


class Chat(Hub[Identity]):
    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return re.search(A_ROOM, room) is not None


auth = JWTAuth(key=SECRET, algorithms=["HS256"], reject="close")
hub = Chat(
    auth=auth,
    rate_limit=RateLimit(rate=10, burst=40),
    history=History(messages=200, seconds=24 * 3600, on_join=50),
    presence=Presence(grace=GRACE),
    broker=broker_from_url(BROKER, prefix="chat_hub") if BROKER else None,
)


@hub.on("say")
async def say(connection: Connection[Identity], room: Room[Identity], message: Say) -> None:
    await room.broadcast(Said(text=message.text, by=connection.user.subject, at=time.time()))


app = FastAPI(title="Chat on a hub")
app.include_router(hub.router, prefix="/live")
app.mount("/static", StaticFiles(directory=PAGES))


@app.post("/token")
async def sign_in(user: SignIn) -> dict[str, str]:
    return {"token": auth.issue(user.name, expires_in=SIGNED_IN_FOR)}


@app.get("/", include_in_schema=False)
async def entrance() -> RedirectResponse:
    return RedirectResponse("lobby")


@app.get("/chat.js", include_in_schema=False)
async def script() -> FileResponse:
    return FileResponse(PAGES / "chat-hub.js")


@app.get("/{room}", include_in_schema=False)
async def page(room: RoomName) -> FileResponse:
    return FileResponse(PAGES / "chat.html")
