"""Who takes part: how each server is started, and how its clients talk."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks import node, pubsub
from benchmarks.machine import HOST
from benchmarks.speech import HUB, HUB_STREAMS, PUBSUB, SOCKET_IO, Speech


class Skipped(Exception):
    """This contestant cannot take part here; the message says why."""


Command = Callable[[int, bool], list[str]]
"""The command line of a server, from its port and whether it should compress."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A server that broadcasts what one client says to all clients.

    Attributes:
        name: As on the command line.
        title: As in tables and plots.
        start: How it is started.
        path: Of the WebSocket.
        speech: What clients say and hear.
        needs: Modules that must be there.
        restless: Polls when it is idle, so that it is stopped while others have their turn.
        pace: Broadcasts a second to 1,000 connections that leave it idle for half of the time.
        missing: Says what else is missing; "" if nothing is.
        no_deflate: Why it has no part in cells with compression; "" if it has.
    """

    name: str
    title: str
    start: Command
    path: str = "/ws"
    speech: Speech = field(default_factory=Speech)
    needs: tuple[str, ...] = ()
    restless: bool = False
    pace: float = 40.0
    missing: Callable[[], str] = lambda: ""
    no_deflate: str = ""

    def command(self, port: int, deflate: bool) -> list[str]:  # noqa: FBT001 - the shape of `Command`
        return self.start(port, deflate)

    def require(self, *, deflate: bool) -> None:
        """Raise `Skipped` if it cannot take part."""
        absent = [module for module in self.needs if importlib.util.find_spec(module) is None]
        if absent:
            raise Skipped(f"{self.name}: not installed: {', '.join(absent)}; the extra `bench` has it")
        if why := self.missing() or (self.no_deflate if deflate else ""):
            raise Skipped(f"{self.name}: {why}")


SHARED_FRAMES = "fastapi_rooms.transports.shared_frames:SharedFramesProtocol"


def _uvicorn(app: str, *, ws: str = "websockets-sansio", python: str = sys.executable) -> Command:
    """With uvicorn's own choices where uvloop and websockets are installed, said aloud; no pings in between."""
    options = ("--ws", ws, "--loop", "uvloop", "--ws-ping-interval", "600", "--log-level", "warning")
    return lambda port, _: [
        *(python, "-m", "uvicorn", f"benchmarks.apps.{app}:app", "--host", HOST, "--port", str(port)),
        *options,
    ]


def _hypercorn(app: str) -> Command:
    return lambda port, _: [
        *(sys.executable, "-m", "hypercorn", f"benchmarks.apps.{app}:app", "--bind", f"{HOST}:{port}"),
        *("--worker-class", "uvloop", "--workers", "0"),
    ]


def _granian(app: str) -> Command:
    return lambda port, _: [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--workers", "1", "--loop", "uvloop"),
        *("--host", HOST, "--port", str(port), "--log-level", "warning", f"benchmarks.apps.{app}:app"),
    ]


def _program(name: str) -> Command:
    """A server with a main of its own."""
    return lambda port, deflate: [
        *(sys.executable, "-m", f"benchmarks.apps.{name}", str(port), *(["deflate"] if deflate else []))
    ]


SLOW = 10.0
_NO_DEFLATE_GRANIAN = "granian has no permessage-deflate"
_NO_DEFLATE_STREAMS = "an event stream has no permessage-deflate"


def _elsewhere(app: str, title: str) -> tuple[Contestant, Contestant]:
    """The same application on the other servers."""
    return (
        Contestant(
            name=f"{app}-hypercorn",
            title=f"{title}, hypercorn",
            start=_hypercorn(app),
            pace=SLOW,
            needs=("hypercorn",),
        ),
        Contestant(
            name=f"{app}-granian",
            title=f"{title}, granian",
            start=_granian(app),
            pace=SLOW,
            needs=("granian",),
            no_deflate=_NO_DEFLATE_GRANIAN,
        ),
    )


_ALL = (
    Contestant(name="bare", title="bare endpoint", start=_uvicorn("bare"), path="/echo"),
    Contestant(
        name="rooms-shared", title="ours, shared frames", start=_uvicorn("rooms", ws=SHARED_FRAMES), pace=60.0
    ),
    Contestant(name="rooms", title="ours, uvicorn", start=_uvicorn("rooms")),
    *_elsewhere("rooms", "ours"),
    Contestant(
        name="manager-shared",
        title="RoomManager, shared frames",
        start=_uvicorn("room_manager", ws=SHARED_FRAMES),
        pace=60.0,
    ),
    Contestant(
        name="hub-shared",
        title="hub, shared frames",
        start=_uvicorn("hub", ws=SHARED_FRAMES),
        path="/live/websocket",
        speech=HUB,
        pace=60.0,
    ),
    Contestant(name="hub", title="hub, uvicorn", start=_uvicorn("hub"), path="/live/websocket", speech=HUB),
    Contestant(
        name="hub-sse",
        title="hub, event streams, uvicorn",
        start=_uvicorn("hub"),
        path="/live/websocket",
        speech=HUB_STREAMS,
        pace=20.0,
        no_deflate=_NO_DEFLATE_STREAMS,
    ),
    Contestant(
        name="streaming",
        title="StreamingResponse and queue each, uvicorn",
        start=_uvicorn("streaming"),
        speech=Speech(stream="/sse"),
        pace=SLOW,
        no_deflate=_NO_DEFLATE_STREAMS,
    ),
    Contestant(name="tutorial", title="tutorial manager, uvicorn", start=_uvicorn("tutorial")),
    *_elsewhere("tutorial", "tutorial manager"),
    Contestant(name="queues", title="queue and task each, uvicorn", start=_uvicorn("queues")),
    Contestant(name="websockets", title="websockets.broadcast", start=_program("websockets_server")),
    Contestant(
        name="socketio",
        title="python-socketio, uvicorn",
        start=_uvicorn("socketio_server"),
        path="/socket.io/?EIO=4&transport=websocket",
        speech=SOCKET_IO,
        pace=SLOW,
        needs=("socketio",),
    ),
    Contestant(
        name="litestar",
        title="Litestar channels, uvicorn",
        start=_uvicorn("litestar_channels"),
        needs=("litestar",),
    ),
    Contestant(
        name="broadcaster",
        title="broadcaster, uvicorn",
        start=_uvicorn("broadcaster_chat"),
        needs=("broadcaster",),
    ),
    Contestant(
        name="pubsub",
        title="fastapi-websocket-pubsub, uvicorn",
        start=_uvicorn("pubsub", python=str(pubsub.PYTHON)),
        speech=PUBSUB,
        pace=2.0,
        missing=pubsub.missing,
    ),
    Contestant(
        name="picows",
        title="picows",
        start=_program("picows_server"),
        needs=("picows",),
        no_deflate="picows has no permessage-deflate",
    ),
    Contestant(
        name="uwebsockets",
        title="uWebSockets (socketify)",
        start=_program("uwebsockets"),
        needs=("socketify",),
        restless=True,
    ),
    Contestant(name="node", title="Node ws", start=node.command, missing=node.missing),
)
CONTESTANTS = {contestant.name: contestant for contestant in _ALL}
