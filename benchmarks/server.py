"""One contestant, served by uvicorn with its defaults in a fresh process on a core of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

OPTIONS = ("--ws", "websockets-sansio", "--loop", "uvloop", "--ws-ping-interval", "600", "--log-level", "warning")
"""uvicorn's own choices where uvloop and websockets are installed, said aloud; without a line of log for each
connection, and without pings, which the clients would have to tell from messages."""


@dataclass(frozen=True)
class Server:
    """A running contestant."""

    name: str
    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def resident_bytes(self) -> int:
        return int(self.process.memory_info().rss)


def cores() -> tuple[int | None, int | None]:
    """One core for the server and another for the client; `None` where this machine has only one to give."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


def pin(pid: int, core: int | None) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


@contextmanager
def serving(name: str) -> Generator[Server]:
    """Start `benchmarks.apps.<name>`, and stop it on leaving."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.apps.{name}:app", "--port", str(port), *OPTIONS]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        pin(process.pid, cores()[0])
        _wait_for(port, process)
        yield Server(name, port, psutil.Process(process.pid))
        if process.poll() is not None:
            raise RuntimeError(f"{name}: the server ended by itself, exit status {process.returncode}")
    except RuntimeError as error:
        error.add_note(f"{name}: exit status of the server {process.poll()} (None: it was still running)")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start (exit status {process.poll()})")
