"""The two transports: uvicorn as it is, and uvicorn with shared frames."""

from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from conformance.servers import ServerKind

ROOT: Final = Path(__file__).parent.parent.parent
APP: Final = "rfc.app:app"


def _uvicorn(port: int, ping: float | None, ws: str) -> list[str]:
    pings = [] if ping is None else ["--ws-ping-interval", str(ping)]
    options = ["--http", "h11", "--loop", "uvloop", "--log-level", "warning", "--no-access-log"]
    return ["uvicorn", "--port", str(port), "--ws", ws, "--app-dir", str(ROOT), *options, *pings, APP]


def _alone(port: int, ping: float | None) -> list[str]:
    return _uvicorn(port, ping, "websockets-sansio")


def _shared_frames(port: int, ping: float | None) -> list[str]:
    return _uvicorn(port, ping, "fastapi_rooms.transports.shared_frames:SharedFramesProtocol")


UVICORN_ALONE: Final = ServerKind(name="uvicorn-alone", command=_alone, aborts=True, shutdown_code=1012)
SHARED_FRAMES: Final = ServerKind(
    name="uvicorn-shared-frames", command=_shared_frames, aborts=True, shutdown_code=1012
)
TRANSPORTS: Final = (UVICORN_ALONE, SHARED_FRAMES)
EACH_TRANSPORT: Final = [
    pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(f"rfc, {kind.name}")) for kind in TRANSPORTS
]
"""For fixtures: all tests of a transport run in one worker, on one server."""


def websockets_before(mended_in: str | None) -> bool:
    """Whether the installed `websockets`, which parses for uvicorn, is older; always, than a version to come."""
    if mended_in is None:
        return True
    installed, mended = ([int(part) for part in one.split(".")[:2]] for one in (version("websockets"), mended_in))
    return installed < mended
