"""One run of the load against one server: the client in C where a compiler is there, in Python otherwise."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.server import HOST, Server, cores, pin

HERE = Path(__file__).parent
RESULTS = HERE / "results"
MARGIN_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the client does.

    Attributes:
        connections: Who gets every broadcast.
        outstanding: Broadcasts that may be on their way at once (W).
        size: Bytes of one message.
        warm_up: Seconds before anything is measured.
        seconds: Seconds measured.
    """

    connections: int = 1000
    outstanding: int = 1
    size: int = 128
    warm_up: float = 0.2
    seconds: float = 0.8


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came of it. Every byte of every delivery was compared with what was sent.

    Attributes:
        deliveries: Messages that connections received in the measured time.
        per_second: The same, per second.
        cpu_us: Microseconds of the server's CPU, user and system, for one delivery.
        p50_ms: Milliseconds from sending a message to its last delivery: median.
        p99_ms: The same: 99th percentile.
        client: Which client measured: "c" or "python".
    """

    deliveries: int
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    client: str


def measure(server: Server, load: Load, *, path: str = "/ws") -> Figures:
    """Run the client once.

    Raises:
        RuntimeError: A message was lost, doubled, late by 15 seconds or not what was sent.
    """
    numbers = (load.connections, load.outstanding, load.size, load.warm_up, load.seconds)
    command = [*_client(), HOST, str(server.port), path, *map(str, numbers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        try:
            pin(client.pid, cores()[1])
            cpu, result = _follow(client, server)
            status = client.wait(MARGIN_SECONDS)
        finally:
            client.kill()
    if status != 0 or result is None:
        raise RuntimeError(f"{server.name}: the client failed, see above")
    return Figures(
        deliveries=result["deliveries"],
        per_second=result["deliveries"] / result["seconds"],
        cpu_us=cpu / result["deliveries"] * 1e6,
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        client=result["client"],
    )


def _follow(client: "subprocess.Popen[str]", server: Server) -> tuple[float, dict[str, Any] | None]:
    """The server's CPU seconds between the client's two marks, and the client's last line."""
    cpu = 0.0
    for line in client.stdout or ():
        match line.strip():
            case "measuring":
                cpu = -server.cpu_seconds()
            case "measured":
                cpu += server.cpu_seconds()
            case result:
                return cpu, json.loads(result)
    return cpu, None


@cache
def _client() -> tuple[str, ...]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is not None and sys.platform == "linux":
        RESULTS.mkdir(exist_ok=True)
        binary = RESULTS / "client"
        compiled = subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / "client.c")], check=False)
        if compiled.returncode == 0:
            return (str(binary),)
    return (sys.executable, "-m", "benchmarks.client")
