"""Notify: alerts for those on call, raised by HTTP, a background task or the command line; none is missed.

Run it from the checkout with `uvicorn examples.notify:app`, then open http://127.0.0.1:8000 in two windows.

Who is on call has the scope `alerts:read`, and may join the room; a visitor is refused. The room's history is the
list of alerts: a page that comes back brings its last position, and gets what came since. Processes with one
ROOMS_SECRET and one ROOMS_BROKER (such as redis://127.0.0.1:6379) share it, and hear the command line too:
`python -m fastapi_rooms publish alerts "critical: db-1 is down" --prefix notify`.
"""

import asyncio
import json
import logging
import os
import secrets
import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import BackgroundTasks, Body, Depends, FastAPI, HTTPException, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, StringConstraints

from fastapi_rooms import BrokerUnavailable, Connection, History, Hub, HubError, Presence, Room
from fastapi_rooms.auth import Identity, JWTAuth
from fastapi_rooms.brokers.url import broker_from_url

PAGES = Path(__file__).with_name("static")
SECRET = os.environ.get("ROOMS_SECRET") or secrets.token_urlsafe(32)
BROKER = os.environ.get("ROOMS_BROKER")
ROOM = "alerts"
KEPT = 400  # alerts, and that somebody has acknowledged them

Severity = Literal["info", "warning", "critical"]
Id = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9-]{1,36}$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Raise(BaseModel):
    id: Id = Field(default_factory=lambda: secrets.token_hex(8))  # your own makes a retry safe, for five minutes
    severity: Severity = "info"
    text: Text


class Alert(Raise):
    source: str
    at: float = Field(default_factory=time.time)


class Acknowledged(BaseModel):
    id: Id
    by: str
    at: float = Field(default_factory=time.time)


class BackUp(BaseModel):
    seconds: Annotated[float, Field(ge=0, le=10)] = 3
    fails: bool = False


class Alerts(Hub[Identity]):
    async def authorize(self, connection: Connection[Identity], room: str) -> bool:
        return room == ROOM and "alerts:read" in connection.user.scopes


auth = JWTAuth(key=SECRET, algorithms=["HS256"], reject="close")
hub = Alerts(
    auth=auth,
    history=History(messages=KEPT, seconds=7 * 24 * 3600, on_join=KEPT),
    presence=Presence(),
    broker=broker_from_url(BROKER, prefix="notify") if BROKER else None,
)
MayRaise = Annotated[Identity, Depends(auth.requires("alerts:raise"))]


async def known(room: Room[Identity], alert: str) -> dict[str, Any]:
    """What the history has of an alert: its "alert", and its "acknowledged"."""
    events = [json.loads(past.message) for past in await room.history(last=KEPT)]
    return {event["event"]: event["data"] for event in events if event["data"]["id"] == alert}


@hub.on("acknowledge")
async def acknowledge(connection: Connection[Identity], room: Room[Identity], alert: Id) -> Acknowledged:
    """The first wins: of two at once by the idempotency key, which lasts five minutes; later by the history."""
    if "alert" not in (found := await known(room, alert)):
        raise HubError("not_found", "this alert is not kept any more")
    if "acknowledged" not in found:
        said = Acknowledged(id=alert, by=connection.user.subject)
        if (await room.broadcast(said, idempotency_key=f"acknowledged {alert}")).published:
            return said
        found = await known(room, alert)
    raise HubError("taken", f"{found['acknowledged']['by']} was first")


@hub.on("relay")
async def relay(connection: Connection[Identity], room: Room[Identity], said: Text) -> None:
    """What the command line says is in no history: pages that hear it bring it here, and the first one counts."""
    severity, _, text = said.partition(": ")
    what = {"severity": severity, "text": text} if severity in get_args(Severity) else {"text": said}
    alert = Alert.model_validate({**what, "source": "command line"})
    await room.broadcast(alert, idempotency_key=f"relayed {said}")


async def back_up(what: BackUp) -> None:
    await asyncio.sleep(what.seconds)  # the work
    outcome = "failed: the disk is full" if what.fails else f"is done, after {what.seconds:g} s"
    severity: Severity = "critical" if what.fails else "info"
    alert = Alert(severity=severity, text=f"The backup {outcome}", source="background task")
    try:
        await hub.broadcast(alert, room=ROOM)
    except BrokerUnavailable as error:  # nobody waits for an answer any more
        logging.getLogger(__name__).warning("nobody was told: %s: %s", alert.text, error)


app = FastAPI(title="Notify")
app.include_router(hub.router, prefix="/live")
app.mount("/static", StaticFiles(directory=PAGES))


@app.post("/alerts", status_code=201)
async def raise_alert(what: Raise, user: MayRaise, response: Response) -> Alert:
    alert = Alert(**what.model_dump(), source=f"{user.subject}, by HTTP")
    try:
        said = await hub.broadcast(alert, room=ROOM, idempotency_key=f"raised {alert.id}")
    except BrokerUnavailable:
        raise HTTPException(503, "no alert is taken now: try again, with the same id") from None
    response.status_code = 201 if said.published else 200
    return alert


@app.post("/backups", status_code=202)
async def start_backup(what: BackUp, user: MayRaise, tasks: BackgroundTasks) -> None:
    tasks.add_task(back_up, what)


@app.post("/token")
async def sign_in(name: Annotated[Name, Body()], on_call: Annotated[bool, Body()]) -> dict[str, str | bool]:
    """A name and a tick are all it takes; your application checks a password, and knows who is on call."""
    scopes = ["alerts:read", "alerts:raise"] if on_call else []
    return {"token": auth.issue(name, expires_in=3600, scopes=scopes), "broker": BROKER is not None}


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGES / "notify.html")
