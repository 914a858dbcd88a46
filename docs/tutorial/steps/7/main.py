import os
import re
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI
from fastapi import Path as InPath
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from fastapi_rooms import Connection, History, Hub, Presence, Room
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.health import health_router

STATIC = Path(__file__).with_name("static")
ROOM = "^[a-z0-9-]{1,32}$"
Name = Annotated[str, Field(pattern=r"\S", max_length=24)]
Text = Annotated[str, Field(pattern=r"\S", max_length=500)]


class Say(BaseModel):
    text: Text


class Said(Say):
    name: str


class Chat(Hub[Identity]):
    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return re.fullmatch(ROOM, room) is not None


auth = JWTAuth(key=os.environ["JWT_SECRET"], algorithms=["HS256"])
hub = Chat(
    auth=auth,
    presence=Presence(grace=15),
    history=History(messages=200, seconds=86_400, on_join=50),
    broker=broker_from_url(os.environ.get("BROKER_URL", "memory://"), prefix="chat"),
)
app = FastAPI()
app.include_router(hub.router, prefix="/live")
app.include_router(health_router(hub))
app.mount("/static", StaticFiles(directory=STATIC))


@hub.on("say")
async def say(connection: Connection[Identity], room: Room[Identity], message: Say) -> None:
    await room.broadcast(Said(name=connection.user.subject, text=message.text))


@app.post("/token")
async def sign_in(name: Annotated[Name, Body(embed=True)]) -> dict[str, str]:
    # Yours checks a password first.
    return {"token": auth.issue(name, expires_in=900)}


@app.get("/")
async def entrance() -> RedirectResponse:
    return RedirectResponse("/lobby")


@app.get("/{room}")
async def page(room: Annotated[str, InPath(pattern=ROOM)]) -> FileResponse:
    return FileResponse(STATIC / "page.html")
