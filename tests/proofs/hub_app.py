"""The hub that the proofs are about; `python -m tests.proofs.server` serves it."""

import asyncio
import os
import time

import jwt
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from fastapi_rooms import Connection, Heartbeat, History, Hub, HubError, Limits, Presence, Room
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.url import broker_from_url

SECRET = "a secret of 32 characters or more, for proofs"
ALGORITHM = "HS256"
PREFIX = "/live"
CHANNELS = "proofs"
"""The prefix of the broker's channels."""

BROKER, RETURN_WITHIN, INTERVAL, HEARTBEAT = (
    f"PROOFS_{name}" for name in ("BROKER", "RETURN_WITHIN", "INTERVAL", "HEARTBEAT")
)
"""Environment variables: a URL, and seconds."""

TIMINGS = (
    BrokerTimings()
    if os.environ.get("ROOMS_SOAK")
    else BrokerTimings(connect=20.0, publish=20.0, probe_timeout=20.0, answer=10.0)
)
"""A machine that is busy for a moment is not without its broker."""

KEPT = History(messages=2_000, seconds=300.0)
"""Enough for who is away for a minute."""


def token(user: str, *, seconds: float = 3600.0, serial: int = 1) -> str:
    """A token of this user; the serial number says which."""
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + seconds, "serial": serial}
    return jwt.encode(claims, SECRET, algorithm=ALGORITHM)


class Say(BaseModel):
    text: str = Field(max_length=20)


class Said(BaseModel):
    user: str
    text: str


class Fail(BaseModel):
    status: int | None = None
    code: str = ""


class Tried(Hub[Identity]):
    """Rooms called "secret" are closed to everyone, and in those called "quiet" nobody publishes."""

    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return not room.startswith("secret")

    async def may_publish(self, connection: Connection[Identity], room: str, event: str) -> bool:
        return not room.startswith("quiet")


LISTED = 200
"""Users that are named. With a thousand the clients of one process would do nothing else than take in names."""

GRACE, PATIENCE = 120.0, 60.0
"""Seconds that somebody may be away, and that a connection may take: hundreds in one process are slow."""


def present(room: str) -> Presence | None:
    """Presence is for rooms whose name says so: elsewhere it would drown the rest."""
    if "present" not in room:
        return None
    return Presence(grace=GRACE, interval=float(os.environ.get(INTERVAL, "0.05")), listed=LISTED)


def _broker() -> Broker | None:
    url = os.environ.get(BROKER)
    return broker_from_url(url, prefix=CHANNELS, timings=TIMINGS) if url else None


hub = Tried(
    auth=JWTAuth(key=SECRET, algorithms=[ALGORITHM]),
    broker=_broker(),
    publish=True,
    history=KEPT,
    presence=present,
    heartbeat=Heartbeat(interval=float(os.environ.get(HEARTBEAT, "20")), timeout=10.0),
    limits=Limits(authentication_timeout=PATIENCE),
    return_within=float(os.environ.get(RETURN_WITHIN, "10")),
)
app = FastAPI()
app.include_router(hub.router, prefix=PREFIX)


@hub.on("say")
async def say(connection: Connection[Identity], room: Room, message: Say) -> Said:
    said = Said(user=connection.user.subject, text=message.text)
    await room.broadcast(said)
    return said


@hub.on("whisper")
async def whisper(connection: Connection[Identity], message: Say) -> None:
    await hub.send(connection, Said(user="hub", text=message.text))


@hub.on("tell")
async def tell(user: str) -> None:
    """Something for one user, wherever they are."""
    await hub.send_to_user(user, Said(user="hub", text="for you"))


@hub.on("who")
async def who(connection: Connection[Identity]) -> dict[str, object]:
    return {"user": connection.user.subject, "serial": connection.user.claims["serial"]}


@hub.on("fail")
async def fail(how: Fail) -> None:
    if how.status is not None:
        raise HTTPException(how.status, f"it is {how.status}")
    if how.code:
        raise HubError(how.code, "the handler's own", field="code")
    raise ZeroDivisionError


@hub.on("dawdle")
async def dawdle(connection: Connection[Identity]) -> None:
    """Says that it has begun, and does not end by itself."""
    await hub.send(connection, Said(user="hub", text="begun"))
    await asyncio.Event().wait()


@hub.on("remove")
async def remove(connection: Connection[Identity], room: Room) -> None:
    """The hub ends the membership."""
    await hub.leave(connection, room.name)


@hub.on("hang up")
async def hang_up(connection: Connection[Identity], code: int) -> None:
    await hub.disconnect(connection, code=code)


@app.get("/health")
async def health() -> dict[str, object]:
    """What tests wait for."""
    how = hub.health()
    return {"connected": how is None or how.connected, "peers": 0 if how is None else how.peers}
