"""A hub as its own process serves it to pages and to node: `hub_app:app`."""

import os
import time

import jwt
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_rooms import Connection, Heartbeat, History, Hub, HubError, Presence, Room
from fastapi_rooms.auth import Identity, JWTAuth

SECRET = "a secret of 32 characters or more, for tests"
NO_SOCKETS = "TRIED_WITHOUT_WEBSOCKETS"
QUICK = "TRIED_WITH_A_QUICK_HEARTBEAT"
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>tried</title>
<script type="module">
  import { Rooms } from "/live/rooms.js";
  Object.assign(window, { Rooms, states: [], heard: [], joins: [], closes: [], tokens: 0, fails: 0 });
  const fetchToken = async (user, seconds) => {
    if (fails > 0 && fails--) throw new Error("no token today");
    tokens++;
    return (await fetch(`/token?user=${user}&seconds=${seconds}`)).text();
  };
  window.start = async (user, room, { seconds = 600, then = seconds, fixed = false, ...options } = {}) => {
    const token = fixed ? await fetchToken(user, seconds) : () => fetchToken(user, tokens ? then : seconds);
    window.rooms = new Rooms("/live", { token, minDelay: 0.1, maxDelay: 1, ...options });
    window.lobby = rooms.join(room);
    rooms.on("state", (state) => states.push(state));
    rooms.on("error", () => {});
    rooms.on("close", ({ code }) => closes.push(code));
    lobby.on("joined", ({ recovered, reason, again }) => joins.push({ recovered, reason, again }));
    lobby.on("said", ({ text }) => heard.push(text));
    return lobby.joined.then(() => true);
  };
</script>
"""


class Say(BaseModel):
    text: str = Field(max_length=200)


class Said(BaseModel):
    user: str
    text: str


class Chat(Hub[Identity]):
    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return room != "secret"


hub = Chat(
    auth=JWTAuth(key=SECRET, algorithms=["HS256"]),
    publish=True,
    history=History(messages=200),
    presence=Presence(grace=0.5, interval=0.01),
    heartbeat=Heartbeat(interval=1.0, timeout=1.0) if QUICK in os.environ else Heartbeat(),
    return_within=0.2,
)
app = FastAPI()
app.include_router(hub.router, prefix="/live")


@hub.on("say")
async def say(connection: Connection[Identity], room: Room, message: Say) -> Said:
    said = Said(user=connection.user.subject, text=message.text)
    await room.broadcast(said)
    return said


@hub.on("fail")
async def fail(connection: Connection[Identity]) -> None:
    raise HubError("banned", "you may not speak here")


@hub.on("whisper")
async def whisper(connection: Connection[Identity], message: Say) -> None:
    await hub.send(connection, Said(user="hub", text=message.text))


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.get("/token")
def token(user: str, seconds: float) -> PlainTextResponse:
    claims = {"sub": user, "exp": time.time() + seconds}
    return PlainTextResponse(jwt.encode(claims, SECRET, algorithm="HS256"))


@app.post("/say")
async def say_from_elsewhere(room: str, text: str) -> None:
    await hub.publish(room, Said(user="elsewhere", text=text))


@app.post("/cut")
async def cut(room: str, code: int) -> None:
    """End all connections in a room."""
    for connection in hub.members_here(room):
        await hub.disconnect(connection, code=code)


class NoWebSockets:
    """A proxy that does not know them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            await self._app(scope, receive, send)


if NO_SOCKETS in os.environ:
    app.add_middleware(NoWebSockets)
