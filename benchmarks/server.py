"""One contestant's server, in a fresh process on a core of its own."""

import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.machine import HOST, RESULTS, ROOT, cores, may_open_many_files, pin

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
LOG_LINES = 5


@dataclass(frozen=True)
class Server:
    """A running contestant."""

    contestant: Contestant
    port: int
    processes: tuple[psutil.Process, ...]

    @property
    def name(self) -> str:
        return self.contestant.name

    def cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self.processes]
        return float(sum(one.user + one.system for one in times))

    def resident_bytes(self) -> int:
        """Of all its processes together; `RuntimeError` once it has ended."""
        try:
            return sum(int(process.memory_info().rss) for process in self.processes)
        except psutil.NoSuchProcess as error:
            raise RuntimeError("the server has ended") from error

    @contextmanager
    def rest(self) -> Generator[None]:
        """Stop its processes for a while, so that those that poll when they are idle take no time from others."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def open_files(self) -> int:
        return sum(process.num_fds() for process in self.processes)


@contextmanager
def serving(name: str, *, deflate: bool = False) -> Generator[Server]:
    """Start the contestant of this name, and stop it on leaving.

    Args:
        name: As in `benchmarks.contestants`.
        deflate: For servers that compress only when they are told to.

    Raises:
        Skipped: It cannot run here, or cannot compress.
        RuntimeError: It does not start, or ended by itself.
    """
    contestant = CONTESTANTS[name]
    contestant.require(deflate=deflate)
    may_open_many_files()
    RESULTS.mkdir(exist_ok=True)
    log = RESULTS / f"{name}.log"
    port = _free_port()
    with log.open("w") as output:
        process = subprocess.Popen(contestant.command(port, deflate), cwd=ROOT, stdout=output, stderr=output)
    try:
        pin(process.pid, cores()[0])
        _wait_for(port, process)
        parent = psutil.Process(process.pid)
        yield Server(contestant, port, (parent, *parent.children(recursive=True)))
        if process.poll() is not None:
            raise RuntimeError("the server ended by itself")
    except RuntimeError as error:
        status = "it was still running" if process.poll() is None else f"its exit status was {process.returncode}"
        error.add_note(f"{name}: {status}; the end of its log: {_end_of(log)}")
        raise
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_of(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) or "(empty)"


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
    raise RuntimeError("the server did not start")
