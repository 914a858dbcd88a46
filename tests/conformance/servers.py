"""The servers of the conformance suite: how each is started, and the facts in which it differs."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from brokers.ports import free_port
from forked import Forked

from .wire import request

TESTS = Path(__file__).parent.parent
APP = "conformance.app:app"
START_TIMEOUT = 90.0
"""Seconds; a busy machine takes twenty for the imports of a server alone, and as many again to reload it."""
_COMPLAINTS = ("was destroyed but it is pending", "exception was never retrieved", "was never awaited")
UVICORN_ON_DENIALS = "ASGI callable returned without completing handshake"
"""What uvicorn's sansio protocol logs after each denial response, though it sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKind:
    """One server: its command line, and what is true of it and of no other.

    Attributes:
        name: As in the reports.
        command: Arguments after `python -m`, from the port and the seconds between pings (`None`: default).
        real_refusals: The denial-response extension is there; otherwise every refusal is a bare 403.
        bounds_stalled: `send` blocks when the peer stops reading, so that memory for it can be bounded.
        aborts: The server lets us drop a peer that does not read.
        sends_reasons: Close reasons reach the client.
        shutdown_code: The close code that clients see on SIGTERM; `None`: no close frame. uvicorn sends 1012
            itself; hypercorn cancels the endpoints after its graceful timeout, and the library sends 1012 then.
        graceful: The server's own graceful timeout in seconds, as we start it; 0: it has none.
        pings: It pings its clients.
        all_codes: Every close code can be sent; else only 1000 and those from 3000 on.
        steady_memory: The server's own memory is the same after each round of connections. Daphne's is not: with a
            bare endpoint its six rounds of 3,334 ended at 85, 90, 99, 98, 92 and 97 MB.
    """

    name: str
    command: Callable[[int, float | None], list[str]]
    real_refusals: bool = True
    bounds_stalled: bool = True
    aborts: bool = False
    sends_reasons: bool = True
    shutdown_code: int | None = None
    graceful: float = 0.0
    pings: bool = True
    all_codes: bool = True
    steady_memory: bool = True

    def seen(self, code: int | None) -> int | None:
        """The close code that reaches the client where the application's is `code`."""
        if self.all_codes or code is None or code == 1000 or code >= 3000:
            return code
        return 4000 if code in {1001, 1011, 1012, 1013} else 1000


def _uvicorn(port: int, ping: float | None, *, ws: str, loop: str) -> list[str]:
    # It pings again only once it has the answer: that may take its time.
    pings = [] if ping is None else ["--ws-ping-interval", str(ping), "--ws-ping-timeout", "20"]
    quiet = ["--log-level", "warning", "--no-access-log"]
    return ["uvicorn", "--port", str(port), "--ws", ws, "--loop", loop, *quiet, *pings, APP]


def _uvicorn_sansio(port: int, ping: float | None) -> list[str]:
    return _uvicorn(port, ping, ws="websockets-sansio", loop="uvloop")


def _uvicorn_shared_frames(port: int, ping: float | None) -> list[str]:
    protocol = "fastapi_rooms.transports.shared_frames:SharedFramesProtocol"
    return _uvicorn(port, ping, ws=protocol, loop="uvloop")


def _uvicorn_wsproto(port: int, ping: float | None) -> list[str]:
    return _uvicorn(port, ping, ws="wsproto", loop="asyncio")


def _hypercorn(port: int, ping: float | None) -> list[str]:
    pings = [] if ping is None else ["--websocket-ping-interval", str(int(ping))]
    quiet = ["--log-level", "WARNING", "--error-logfile", "-"]
    # It keeps what it waits for of an idle connection; not for as long as the tests wait for nothing to be left.
    options = ["--graceful-timeout", "2", "--keep-alive", "1", *quiet, *pings]
    return ["hypercorn", "--bind", f"127.0.0.1:{port}", *options, APP]


def _granian(port: int, _ping: float | None) -> list[str]:
    options = ["--interface", "asgi", "--log-level", "warning", "--workers-kill-timeout", "3"]
    return ["granian", "--port", str(port), *options, APP]


def _daphne(port: int, ping: float | None) -> list[str]:
    # It pings who has not answered, too, and looks every other second: the next ping comes when the time is over.
    # Both are long enough for a client that stands still for a while.
    pings = [] if ping is None else ["--ping-interval", str(int(ping * 5)), "--ping-timeout", str(int(ping * 5))]
    return ["daphne", "--port", str(port), "-v", "0", "--application-close-timeout", "2", *pings, APP]


UVICORN = ServerKind(name="uvicorn", command=_uvicorn_sansio, aborts=True, shutdown_code=1012)
UVICORN_WSPROTO = ServerKind(name="uvicorn-wsproto", command=_uvicorn_wsproto, aborts=True, shutdown_code=1012)
SHARED_FRAMES = ServerKind(
    name="uvicorn-shared-frames", command=_uvicorn_shared_frames, aborts=True, shutdown_code=1012
)
HYPERCORN = ServerKind(name="hypercorn", command=_hypercorn, aborts=True, shutdown_code=1012, graceful=2.0)
# granian 2.8 aborts ("Cannot drop pointer into Python heap") if it stops while a send waits for a stalled client.
GRANIAN = ServerKind(name="granian", command=_granian, graceful=3.0, pings=False)
DAPHNE = ServerKind(
    name="daphne",
    command=_daphne,
    real_refusals=False,
    bounds_stalled=False,
    sends_reasons=False,
    graceful=2.0,
    all_codes=False,
    steady_memory=False,
)
KINDS = (UVICORN, SHARED_FRAMES, UVICORN_WSPROTO, HYPERCORN, GRANIAN, DAPHNE)


class Server:
    """One server process on a free loopback port, with its output in a file."""

    def __init__(
        self,
        kind: ServerKind,
        *,
        directory: Path,
        ping: float | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.port = free_port()
        self.log_path = directory / f"{kind.name}-{self.port}.log"
        self._log = self.log_path.open("wb")
        self.process = Forked(
            [*kind.command(self.port, ping), *extra],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": _python_path()},
            cwd=directory,
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.kind.name} exited with {self.process.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind.name} is not ready: {self.log()}")
            time.sleep(0.05)  # another process, and no server says in the same way that it listens

    def _http(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=5)

    def _answers(self) -> bool:
        connection = self._http()
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    async def get(self, path: str, *, timeout: float = 10) -> Any:
        """The JSON that the application answers."""
        return await request(self.port, "GET", path, timeout=timeout)

    async def post(self, path: str, *, timeout: float = 30) -> Any:
        """The JSON that the application answers."""
        return await request(self.port, "POST", path, timeout=timeout)

    def log(self) -> str:
        """Everything that the server has printed."""
        return self.log_path.read_text(errors="replace")

    def complaints(self) -> list[str]:
        """What asyncio and Python print about tasks and coroutines that nobody looked after."""
        return [line for line in self.log().splitlines() if any(mark in line for mark in _COMPLAINTS)]

    def terminate(self) -> None:
        """SIGTERM to the server's main process, as a process supervisor does."""
        self.process.terminate()

    def gone(self, *, timeout: float) -> bool:
        """Whether every process of the server ends within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)  # of its group are processes that are not our children: nobody lets us wait for them
        return True

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to the whole process group; nothing is left."""
        if self.process.poll() is None:
            self.terminate()
            self.gone(timeout=3)
        if self._alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def _alive(self) -> bool:
        return self.process.poll() is None or any(map(self._runs_here, psutil.pids()))

    def _runs_here(self, pid: int) -> bool:
        """Whether a process is of the server's group, and no zombie that waits for its reaper."""
        try:
            return os.getpgid(pid) == self.process.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.Error):
            return False


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Stop a server on leaving; it must not have complained."""
    try:
        yield server
    finally:
        server.stop()
    assert not server.complaints()


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
