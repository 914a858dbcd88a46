"""Processes that start at once: `python -m` from a process that has imported already what servers import.

Python takes a second or two of a core to import a web server, a framework and the drivers of brokers, and the
tests start some hundreds of servers. One process (`forked_nursery`) imports it all, once, and has a child of its
own for each that is asked for, which then runs its module as `python -m` does.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any, Self
from weakref import finalize

PIPE = subprocess.PIPE

_HERE = Path(__file__).parent


class Forked:
    """`python -m module` in a process of its own: the part of `subprocess.Popen` that tests use.

    Args:
        command: The module, and its arguments.
        cwd: The folder that it runs in, and imports from first.
        env: All of its environment.
        stdin: `PIPE`, for text; `None`: ours.
        stdout: `PIPE`, for text, or an open file; `None`: ours.
        stderr: The same.
        start_new_session: Whether it leads a session, and a group of processes, of its own.

    Attributes:
        args: The command.
        pid: Its process.
        returncode: Its exit status, or the signal that ended it, negative; `None` before that was seen.
    """

    def __init__(
        self,
        command: "list[str]",
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: "int | IO[Any] | None" = None,
        stderr: "int | IO[Any] | None" = None,
        start_new_session: bool = False,
    ) -> None:
        self.args = command
        self.returncode: int | None = None
        request = {
            "command": command,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        theirs: list[int] = []
        if stdin == PIPE:
            reads, writes = os.pipe()
            self.stdin = os.fdopen(writes, "w", encoding="utf-8")
            theirs.append(reads)
        self.stdout, output = _output(stdout, 1, theirs)
        self.stderr, errors = _output(stderr, 2, theirs)
        self._news, tells = os.pipe()
        finalize(self, os.close, self._news)
        self._ending = Lock()
        theirs.append(tells)
        try:
            _nursery().ask(request, (theirs[0] if stdin == PIPE else 0, output, errors, tells))
        finally:
            for one in theirs:
                os.close(one)
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """`returncode`, looked at again."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            return self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: It goes on.
        """
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0)
            return self._ended()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close its pipes, and wait until it has ended."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self.wait()

    def _ended(self) -> int:
        with self._ending:  # one thread may wait while another looks
            if self.returncode is None:
                self.returncode = os.waitstatus_to_exitcode(int(self._line()))
            return self.returncode

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if not (byte := os.read(self._news, 1)):
                raise RuntimeError("whoever waits for the forked process is gone")
            line += byte
        return line


def run(
    command: "list[str]", *, cwd: Path, env: Mapping[str, str] | None = None, within: float
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, which is to come within so many seconds, and keep what it writes."""
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = Forked(command, cwd=cwd, env=env, stdout=output, stderr=errors)
        try:
            status = process.wait(within)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, status, output.read(), errors.read())


class _Nursery:
    """The process that has a child for each of ours."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._lock = Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(_HERE / "forked_nursery.py"), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def ask(self, request: Mapping[str, Any], files: tuple[int, int, int, int]) -> None:
        """Have it start a process with these as stdin, stdout and stderr; the last is told its end."""
        with self._lock:
            socket.send_fds(self._socket, [f"{json.dumps(request)}\n".encode()], list(files))
            if self._socket.recv(1) != b"\n":
                raise RuntimeError("the nursery of forked processes is gone")

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_nurseries: list[_Nursery] = []


def _nursery() -> _Nursery:
    if not _nurseries:
        _nurseries.append(_Nursery())
    return _nurseries[0]


def _output(wanted: "int | IO[Any] | None", ours: int, theirs: list[int]) -> tuple[IO[str] | None, int]:
    """What we read of it, if we asked for a pipe; and the file that it writes to."""
    if wanted is None:
        return None, ours
    if wanted != PIPE:
        return None, wanted if isinstance(wanted, int) else wanted.fileno()
    reads, writes = os.pipe()
    theirs.append(writes)
    return os.fdopen(reads, encoding="utf-8"), writes
