"""The gallery as its own process, as a user starts it."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from brokers.ports import free_port
from forked import PIPE, Forked

CHECKOUT = Path(__file__).resolve().parents[2]
START_WITHIN = 60.0
STOP_WITHIN = 40.0


class GalleryProcess:
    """`python -m fastapi_rooms examples` on a free port, which it keeps when it is restarted.

    Args:
        folder: Where it runs: not the checkout.
        workers: Into how many processes; it has started once they all have.
        environment: What it gets beside ours, of which nothing begins with ROOMS_.
    """

    def __init__(self, folder: Path, *, workers: int = 1, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self._folder = folder
        self._workers = workers
        self._environment = dict(environment or {})
        self._process: Forked | None = None
        self._log: list[str] = []
        self._reader: threading.Thread | None = None
        self._running = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self._log)

    def start(self) -> None:
        command = ["fastapi_rooms", "examples", "--port", str(self.port)]
        command += ["--workers", str(self._workers)] if self._workers > 1 else []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOMS_")}
        environment |= self._environment
        self._running.clear()
        self._process = Forked(command, cwd=self._folder, env=environment, stderr=PIPE)
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        if not self._running.wait(START_WITHIN) or not self._listens():
            self.stop()
            raise AssertionError(f"the gallery did not start:\n{self.log}")

    def _listens(self) -> bool:
        """Workers of uvicorn take the port a moment after the last that they say, and one is enough to connect."""
        deadline = time.monotonic() + START_WITHIN
        while self.port and self._process is not None and self._process.poll() is None:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)  # another process, and that it listens is all that it says
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(self.pid).children(recursive=True):
                child.kill()
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the gallery did not stop within {STOP_WITHIN:g} s:\n{self.log}") from None
        finally:
            if self._reader is not None:
                self._reader.join()
            if self._process.stderr is not None:
                self._process.stderr.close()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _read(self, lines: IO[str]) -> None:
        bound, ready = False, 0
        for line in lines:
            self._log.append(line)
            if match := re.search(r"Uvicorn running on http://127\.0\.0\.1:(\d+)", line):
                self.port, bound = int(match[1]), True
            ready += "Application startup complete" in line
            if bound and ready == self._workers:
                self._running.set()
        self._running.set()  # it has ended: whoever waits for it need not wait any longer

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Below:
    """An example below the gallery's address."""

    def __init__(self, gallery: GalleryProcess, example: str) -> None:
        self.url = f"{gallery.url}/{example}"
