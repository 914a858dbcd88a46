"""Game: beetles that gather sparks, and dash to knock them out of each other. The server says what is.

Run it from the checkout with `uvicorn examples.game:app`, then open http://127.0.0.1:8000 in two windows.

A page says where its player steers, and draws what it is told: the world of an arena (see `arena.py`) lives in one
process, while somebody is there. What players want is broadcast in a room that its loop listens to (see
`referee.py`), so that they may be at any process with the same ROOMS_BROKER (such as redis://127.0.0.1:6379) and
ROOMS_SECRET. Who cannot keep up gets the newest state, and no queue of old ones; who comes back within half a
minute has the place and the sparks of before.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, StringConstraints

from fastapi_rooms import Connection, Hub, HubError, Overflow, RateLimit, Room, RoomPolicy
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.errors import AuthenticationError

from .referee import Referee

PAGES = Path(__file__).with_name("static")
SECRET = os.environ.get("ROOMS_SECRET") or secrets.token_urlsafe(32)
BROKER = os.environ.get("ROOMS_BROKER")
NEWEST_WINS, ALL_COUNT = RoomPolicy(overflow=Overflow.CONFLATE), RoomPolicy(overflow=Overflow.DROP_OLDEST)

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]
ArenaName = Annotated[str, PathParameter(pattern="^[a-z0-9-]{1,32}$")]
Thrust = Annotated[int, Field(strict=True, ge=-100, le=100)]


class Steer(BaseModel):
    x: Thrust
    y: Thrust


class Game(Hub[Identity]):
    def __init__(self) -> None:
        super().__init__(
            auth=auth,
            rate_limit=RateLimit(rate=40, burst=120),
            broker=broker_from_url(BROKER, prefix="game") if BROKER else None,
        )
        self.referees: dict[str, Referee] = {}

    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        """Nobody joins where inputs are said: those are for the server."""
        return room == "lobby" or (room.startswith("arena-") and len(room) <= 40)

    def room_policy(self, room: str) -> RoomPolicy | None:
        return ALL_COUNT if room.startswith("inputs-") else NEWEST_WINS

    async def on_room_active(self, room: str) -> None:
        if room.startswith("arena-"):
            self.referees = {name: one for name, one in self.referees.items() if not one.forgotten}
            self.referees.setdefault(room, Referee(self, room.removeprefix("arena-"))).start()

    async def on_room_idle(self, room: str) -> None:
        if room in self.referees:
            await self.referees[room].stop()


auth = JWTAuth(key=SECRET, algorithms=["HS256"], reject="close")
hub = Game()


async def want(connection: Connection[Identity], room: Room[Identity], what: str, *more: object) -> None:
    """Tell the referee, wherever it is, what a player wants."""
    if not room.name.startswith("arena-"):
        raise HubError("no_arena", "this is no arena")
    said = [connection.user.subject, *more]
    await hub.broadcast(said, room=f"inputs-{room.name.removeprefix('arena-')}", event=what)


@hub.on("play")
async def play(connection: Connection[Identity], room: Room[Identity]) -> None:
    await want(connection, room, "play", connection.user.claims["name"])


@hub.on("watch")
async def watch(connection: Connection[Identity], room: Room[Identity]) -> None:
    await want(connection, room, "watch")


@hub.on("steer")
async def steer(connection: Connection[Identity], room: Room[Identity], where: Steer) -> None:
    await want(connection, room, "steer", where.x, where.y)


@hub.on("dash")
async def dash(connection: Connection[Identity], room: Room[Identity]) -> None:
    await want(connection, room, "dash")


app = FastAPI(title="Game")
app.include_router(hub.router, prefix="/live")
app.mount("/static", StaticFiles(directory=PAGES))


@app.post("/token")
async def sign_in(
    name: Annotated[Name, Body()], before: Annotated[str | None, Body(max_length=4096)] = None
) -> dict[str, str]:
    """A name is all it takes. With a token of `before` one is the same player still; else somebody new."""
    player = secrets.token_hex(8)
    if before is not None:
        with suppress(AuthenticationError):  # of before the server's restart, or too old
            player = (await auth.authenticate(before)).subject
    return {"token": auth.issue(player, expires_in=3600, claims={"name": name})}


@app.get("/", include_in_schema=False)
async def lobby() -> FileResponse:
    return FileResponse(PAGES / "game.html")


@app.get("/{arena}", include_in_schema=False)
async def page(arena: ArenaName) -> FileResponse:
    return FileResponse(PAGES / "game.html")
