"""A step of the tutorial as its reader has it: files in a folder, served by the command that the page names."""

import json
import os
import re
import shlex
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection
from types import TracebackType
from typing import IO, Any, Self

from forked import PIPE, Forked

from .snippets import ROOT, blocks_of

TUTORIAL = ROOT / "docs" / "tutorial"
NUMBERS = range(1, 8)
SECRET = "a secret of 32 characters or more, for tests"
START_WITHIN = 60.0
STOP_WITHIN = 60.0
_RUNNING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")


def page_of(number: int) -> Path:
    [page] = TUTORIAL.glob(f"{number}-*.md")
    return page


def folder_of(number: int) -> Path:
    return TUTORIAL / "steps" / str(number)


def commands_of(page: Path) -> list[str]:
    """Each line that the page would have one type."""
    blocks = [block.code for block in blocks_of(page) if block.language == "sh"]
    return [line for code in blocks for line in code.replace("\\\n", "").splitlines() if line.strip()]


def command_with(page: Path, words: str) -> str:
    """The first of them that has these words."""
    return next(line for line in commands_of(page) if words in line)


class Server:
    """A step's files in an empty folder, and the server that the step's text starts there.

    Args:
        number: The step.
        folder: Where its files go.
        app: Another module than the text names.
        environment: What the text exports, or the unit's file says.
        deaf: Seconds that uvicorn lets a worker be silent. On a busy machine a new one takes longer than uvicorn's
            5; but so long uvicorn waits, deaf to signals, for one that ended just when it was asked.
        within: Seconds in which it starts.
        grace: Seconds for who is away, in place of those that the file has: a busy machine is late.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        *,
        app: str = "main:app",
        environment: Mapping[str, str] | None = None,
        deaf: int = 15,
        within: float = START_WITHIN,
        grace: int | None = None,
    ) -> None:
        self.log = ""
        self.port = 0
        self._folder = folder / f"{number}-{app.partition(':')[0]}"
        shutil.copytree(folder_of(number), self._folder)
        if grace is not None:
            self._replace("grace=5", f"grace={grace}")
        self._command = shlex.split(command_with(page_of(number), "uvicorn main:app"))
        self._command = [app if word == "main:app" else word for word in self._command]
        self._environment = {"JWT_SECRET": SECRET, **(environment or {})}
        if self._workers_named:
            self._command += ["--timeout-worker-healthcheck", str(deaf)]
        self._within = within
        self._workers = int(self._command[self._command.index("--workers") + 1]) if self._workers_named else 1
        self._process: Forked | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Condition()
        self._started = 0
        self._bound = self._ended = False

    def _replace(self, words: str, others: str) -> None:
        main = self._folder / "main.py"
        text = main.read_text(encoding="utf-8")
        assert words in text
        main.write_text(text.replace(words, others), encoding="utf-8")

    @property
    def _workers_named(self) -> bool:
        return "--workers" in self._command

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, path: str = "/", *, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOMS_")}
        command = [*self._command, "--port", str(self.port)]
        self._started, self._bound, self._ended = 0, False, False
        with (self._folder.parent / "access.log").open("a") as access:
            self._process = Forked(
                command, cwd=self._folder, env=environment | self._environment, stdout=access, stderr=PIPE
            )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        try:
            self._has_started()
        except AssertionError:
            self.stop()
            raise

    def _has_started(self) -> None:
        with self._ready:
            self._ready.wait_for(
                lambda: self._ended or (self._bound and self._started >= self._workers), self._within
            )
            assert self._bound, self.log
            assert not self._ended, self.log
            assert self._started >= self._workers, self.log
        self._listens()

    def _listens(self) -> None:
        """Workers take the port a moment after the last that they say."""
        deadline = time.monotonic() + START_WITHIN
        while True:
            with suppress(ConnectionRefusedError), create_connection(("127.0.0.1", self.port)):
                return
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)  # another process, and that it listens is all that it says

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Tell it to stop, which it must."""
        assert self._process is not None
        assert self._reader is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        finally:
            self._process.kill()
            self._reader.join()
            if self._process.stderr is not None:
                self._process.stderr.close()

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path)

    def token(self, name: str) -> str:
        """From the step's own sign-in."""
        status, answer = self._ask("POST", "/token", {"name": name})
        assert status == 200, answer
        return str(answer["token"])

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=START_WITHIN)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            with self._ready:
                self.log += line
                if found := _RUNNING.search(line):
                    self.port, self._bound = int(found[1]), True
                self._started += "Application startup complete" in line
                self._ready.notify_all()
        with self._ready:
            self._ended = True
            self._ready.notify_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            assert "Traceback" not in self.log, self.log
