"""The hub of `hub_app` as its own process, which keeps its port when it is restarted."""

import os
import re
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from brokers.ports import free_port
from forked import PIPE, Forked

START_WITHIN = 60.0
STOP_WITHIN = 40.0


class HubProcess:
    """Running within `with`, and between `start` and `stop`.

    Args:
        flags: Environment variables of `hub_app` that are set.
    """

    def __init__(self, *flags: str) -> None:
        self.flags = set(flags)
        self.port = free_port()
        self._process: Forked | None = None
        self._reader: threading.Thread | None = None
        self._running = threading.Event()
        self._log: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return "".join(self._log)

    def start(self) -> None:
        self._running.clear()
        self._process = Forked(
            ["uvicorn", "hub_app:app", "--port", str(self.port)],
            cwd=Path(__file__).parent,
            env=os.environ | dict.fromkeys(self.flags, "1"),
            stderr=PIPE,
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        if not self._running.wait(START_WITHIN) or self._process.poll() is not None:
            self.stop()
            raise AssertionError(f"the hub did not start:\n{self.log}")

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the hub did not stop within {STOP_WITHIN:g} s:\n{self.log}") from None
        finally:
            if self._reader is not None:
                self._reader.join()
            if process.stderr is not None:
                process.stderr.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def post(self, path: str) -> None:
        request = urllib.request.Request(self.url + path, method="POST")
        with urllib.request.urlopen(request, timeout=STOP_WITHIN):
            pass

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._log.append(line)
            if match := re.search(r"Uvicorn running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(match[1])
                self._running.set()
        self._running.set()  # it has ended: whoever waits for it need not wait any longer

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
