"""The load on one server: the client in C where a compiler is there, in Python otherwise."""

import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.contestants import Skipped
from benchmarks.machine import HOST, RESULTS, ROOT, cores, pin
from benchmarks.server import Server

SOURCES = Path(__file__).parent / "epoll"
ANSWER_SECONDS = 180.0
NO_DEFLATE = "the client cannot inflate: no C compiler here, or no zlib.h"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """The clients.

    Attributes:
        connections: All of them; where they are event streams, without the WebSocket that talks.
        stalled: How many of these read nothing once they are connected.
        deflate: Whether they offer compression, as browsers do.
    """

    connections: int = 1000
    stalled: int = 0
    deflate: bool = False

    def __str__(self) -> str:
        return f"{self.connections} connections" + (", deflate" if self.deflate else "")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What it took to open the connections."""

    connections: int
    seconds: float
    cpu_seconds: float
    extensions: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came of a load. Every byte of every delivery was compared with what was sent.

    Attributes:
        broadcasts: Messages that reached all who read, in the measured time.
        deliveries: The same times those who read.
        per_second: Deliveries per second.
        cpu_us: Microseconds of the server's CPU, user and system, for one delivery.
        p50_ms: Milliseconds from sending a message to its last delivery: median.
        p99_ms: The same: 99th percentile.
        most_ms: The same: the longest.
        client: Which client measured: "c" or "python".
        stopped: Paced load: the server stopped delivering at all.
        stood_seconds: How long it stood when it was given up.
    """

    broadcasts: int
    deliveries: int
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    client: str
    stopped: bool = False
    stood_seconds: float = 0.0


class Clients:
    """Connections that are open, and what can be asked of them."""

    def __init__(self, server: Server, process: "subprocess.Popen[str]") -> None:
        self.server = server
        self._process = process
        self.opened = Opened(**self._answer())

    def closed(self, *, outstanding: int, size: int, warm_up: float, seconds: float) -> Figures:
        """Keep `outstanding` broadcasts of `size` bytes on their way, for `seconds` after `warm_up`.

        Raises:
            RuntimeError: A message was lost, doubled, late by 15 seconds or not what was sent.
        """
        return self._figures(f"closed {outstanding} {size} {warm_up} {seconds}")

    def paced(
        self,
        *,
        rate: float,
        size: int,
        seconds: float,
        patience: float,
        watch: Callable[[], None] = lambda: None,
    ) -> Figures:
        """Send `rate` broadcasts a second; give up when for `patience` seconds nothing comes back.

        `watch` is called now and then in the meantime.
        """
        return self._figures(f"paced {rate} {size} {seconds} {patience}", watch)

    def _figures(self, command: str, watch: Callable[[], None] = lambda: None) -> Figures:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; the answer says why
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        result = self._answer(watch)
        deliveries = max(result["deliveries"], 1)
        return Figures(
            broadcasts=result["broadcasts"],
            deliveries=result["deliveries"],
            per_second=result["deliveries"] / result["seconds"],
            cpu_us=result["cpu_seconds"] / deliveries * 1e6,
            p50_ms=result["p50_ms"],
            p99_ms=result["p99_ms"],
            most_ms=result["most_ms"],
            client=result["client"],
            stopped=result.get("stopped", False),
            stood_seconds=result.get("stood_seconds", 0.0),
        )

    def _answer(self, watch: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The client's next line."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            for _ in range(int(ANSWER_SECONDS / 0.1)):
                watch()
                if selector.select(0.1):
                    break
            else:
                raise RuntimeError(f"{self.server.name}: the client says nothing")
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise RuntimeError(f"{self.server.name}: {self._process.stderr.read().strip()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def clients(server: Server, crowd: Crowd) -> Generator[Clients]:
    """Open the connections, and close them on leaving.

    Raises:
        Skipped: Compression is asked for, and one of the two sides has none.
    """
    program = client_program()
    if crowd.deflate and "deflate" not in program.can:
        raise Skipped(f"{server.name}: {NO_DEFLATE}")
    if crowd.stalled and "stall" not in program.can:
        raise Skipped(f"{server.name}: the client in Python has no stalled connections")
    if server.contestant.speech.stream is not None and "stream" not in program.can:
        raise Skipped(f"{server.name}: the client in Python reads no event streams")
    numbers = ["--connections", str(crowd.connections)]
    if crowd.stalled:
        numbers += ["--stalled", str(crowd.stalled)]
    processes = [option for one in server.processes for option in ("--cpu-of", str(one.pid))]
    command = [
        *(*program.command, *numbers, *processes, *(["--deflate"] if crowd.deflate else [])),
        *(*server.contestant.speech.options(), HOST, str(server.port), server.contestant.path),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, text=True, bufsize=1, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            pin(process.pid, cores()[1])
            open_clients = Clients(server, process)
            if crowd.deflate and "permessage-deflate" not in open_clients.opened.extensions:
                raise Skipped(f"{server.name}: does not negotiate permessage-deflate")
            yield open_clients
        finally:
            process.kill()
            with suppress(BrokenPipeError):
                process.communicate()


@dataclass(frozen=True)
class Program:
    """The client: its command line, and which of "stall", "stream" and "deflate" it can do."""

    command: tuple[str, ...]
    can: frozenset[str]


@cache
def client_program() -> Program:
    """The client in C, compiled now; or the one in Python."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is not None and sys.platform == "linux":
        RESULTS.mkdir(exist_ok=True)
        binary, fresh = RESULTS / "client", RESULTS / f"client-{os.getpid()}"
        sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
        always = {"stall", "stream"}
        for options, can in ((("-DWITH_ZLIB", "-lz"), {*always, "deflate"}), ((), always)):
            command = [compiler, "-O2", "-o", str(fresh), *sources, *options]
            if subprocess.run(command, check=False, capture_output=bool(options)).returncode == 0:
                fresh.replace(binary)  # others may be running it
                return Program((str(binary),), frozenset(can))
    return Program((sys.executable, "-m", "benchmarks.client"), frozenset())
