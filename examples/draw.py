"""Draw: many people on one canvas, with each stroke there as it is made.

Run it from the checkout with `uvicorn examples.draw:app`, then open http://127.0.0.1:8000 in two windows.

A picture is two rooms. What is finished is said in one with a history: late joiners get its 2,000 latest strokes
by joining, and who was away gets what was drawn meanwhile. What moves (pointers, unfinished strokes) is said in
one without, where the newest replaces what a slow client has not got yet. The server keeps no picture, so
processes with one ROOMS_BROKER (such as redis://127.0.0.1:6379) and one ROOMS_SECRET share the canvas.
"""

import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Body, FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, StringConstraints

from fastapi_rooms import Connection, History, Hub, HubError, Overflow, Presence, RateLimit, Room, RoomPolicy
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url

PAGES = Path(__file__).with_name("static")
SECRET = os.environ.get("ROOMS_SECRET") or secrets.token_urlsafe(32)
BROKER = os.environ.get("ROOMS_BROKER")

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]
Canvas = Annotated[str, PathParameter(pattern="^[a-z0-9-]{1,32}$")]
Coordinate = Annotated[int, Field(ge=-1000, le=17_000)]
"""The canvas is 16,000 wide and 10,000 high, whatever the size of a window."""


class Line(BaseModel):
    """A stroke of one's own, or what of it is new: x and y in turn."""

    id: Annotated[str, StringConstraints(pattern="^[a-z0-9]{1,16}$")]
    tool: Literal["pen", "marker", "eraser"] = "pen"
    colour: Annotated[int, Field(ge=0, lt=8)] = 0
    width: Annotated[int, Field(ge=1, le=600)] = 40
    points: Annotated[list[Coordinate], Field(min_length=2, max_length=2000)]


class Stroke(Line):
    by: str


class Part(Stroke):
    """Of a stroke that is being made."""


class Cursor(BaseModel):
    x: Coordinate
    y: Coordinate


class Pointer(Cursor):
    by: str
    name: str


class Undo(BaseModel):
    id: str


class Undone(Undo):
    by: str


class Cleared(BaseModel):
    by: str


class Drawing(Hub[Identity]):
    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return room.startswith(("canvas-", "moving-")) and len(room) <= 40

    def room_policy(self, room: str) -> RoomPolicy | None:
        return RoomPolicy(overflow=Overflow.CONFLATE) if room.startswith("moving-") else None


def kept(room: str) -> History | None:
    return History(messages=2000, seconds=24 * 3600, on_join=2000) if room.startswith("canvas-") else None


auth = JWTAuth(key=SECRET, algorithms=["HS256"], reject="close")
hub = Drawing(
    auth=auth,
    history=kept,
    presence=lambda room: Presence() if room.startswith("canvas-") else None,
    rate_limit=RateLimit(rate=150, burst=600),
    broker=broker_from_url(BROKER, prefix="draw") if BROKER else None,
)


@hub.on("cursor")
async def cursor(connection: Connection[Identity], room: Room[Identity], at: Cursor) -> None:
    who = connection.user
    pointer = Pointer(by=who.subject, name=who.claims["name"], x=at.x, y=at.y)
    await room.broadcast(pointer, key=f"pointer {connection.id}", exclude=connection)


@hub.on("part")
async def part(connection: Connection[Identity], room: Room[Identity], line: Line) -> None:
    """Whoever misses one gets the whole stroke when it is finished."""
    said = Part(by=connection.user.subject, **line.model_dump())
    await room.broadcast(said, key=f"part {connection.id}", exclude=connection)


@hub.on("stroke")
async def stroke(connection: Connection[Identity], room: Room[Identity], line: Line) -> None:
    if not room.name.startswith("canvas-"):
        raise HubError("not_kept", "strokes are finished in the room of the canvas")
    said = Stroke(by=connection.user.subject, **line.model_dump())
    await room.broadcast(said, idempotency_key=f"{said.by} {said.id}")


@hub.on("undo")
async def undo(connection: Connection[Identity], room: Room[Identity], what: Undo) -> None:
    """Only one's own: who it was by is not for the page to say."""
    await room.broadcast(Undone(by=connection.user.subject, id=what.id))


@hub.on("clear")
async def clear(connection: Connection[Identity], room: Room[Identity]) -> None:
    await room.broadcast(Cleared(by=connection.user.claims["name"]))


app = FastAPI(title="Draw")
app.include_router(hub.router, prefix="/live")
app.mount("/static", StaticFiles(directory=PAGES))


@app.post("/token")
async def sign_in(name: Annotated[Name, Body(embed=True)]) -> dict[str, str]:
    """A name is all it takes; your application checks a password here."""
    return {"token": auth.issue(secrets.token_hex(8), expires_in=12 * 3600, claims={"name": name})}


@app.get("/", include_in_schema=False)
async def entrance() -> RedirectResponse:
    return RedirectResponse("sketchbook")


@app.get("/{canvas}", include_in_schema=False)
async def page(canvas: Canvas) -> FileResponse:
    return FileResponse(PAGES / "draw.html")
