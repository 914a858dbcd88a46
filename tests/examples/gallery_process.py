"""The gallery as its own process, as a user starts it."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

CHECKOUT = Path(__file__).resolve().parents[2]
START_WITHIN = 30.0
STOP_WITHIN = 15.0


class GalleryProcess:
    """`python -m fastapi_rooms examples` on a free port, which it keeps when it is restarted."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._log: list[str] = []
        self._reader: threading.Thread | None = None
        self._running = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return "".join(self._log)

    def start(self) -> None:
        command = [sys.executable, "-m", "fastapi_rooms", "examples", "--port", str(self.port)]
        environment = {name: value for name, value in os.environ.items() if name != "ROOMS_SECRET"}
        self._running.clear()
        self._process = subprocess.Popen(
            command, cwd=self._folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        if not self._running.wait(START_WITHIN) or self.port == 0:
            self.stop()
            raise AssertionError(f"the gallery did not start:\n{self.log}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
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
