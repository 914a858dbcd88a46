"""Processes that publish and receive: `python -m benchmarks.brokers_apps`, and what they are asked."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import Skipped
from benchmarks.machine import RESULTS, ROOT, cores, pin

ANSWER_SECONDS = 60.0
PATIENCE_SECONDS = 1.0
STOP_SECONDS = 10.0
SETTLE_ATTEMPTS = 20
LOG_LINES = 5


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Who takes part.

    Attributes:
        title: As in tables.
        app: The module of `benchmarks.brokers_apps`.
        needs: Modules that must be there.
    """

    title: str
    app: str
    needs: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise `Skipped` if it cannot take part."""
        absent = [module for module in self.needs if importlib.util.find_spec(module) is None]
        if absent:
            raise Skipped(f"{self.title}: not installed: {', '.join(absent)}; the extra `bench` has it")


@dataclass(frozen=True, kw_only=True)
class Received:
    """What came of some messages.

    Attributes:
        sent: So many were published.
        lost: So many of these never came.
        doubled: So many came once more.
        per_second: Those that came, by the time from the first publish to the last delivery.
        took_us: Microseconds from publishing to delivery, of each that came, where that was asked.
    """

    sent: int
    lost: int
    doubled: int
    per_second: float
    took_us: tuple[float, ...] = ()


class Pair:
    """A process that publishes, and one that receives."""

    def __init__(self, publisher: "_Process", receiver: "_Process", rooms: int) -> None:
        self._publisher = publisher
        self._receiver = receiver
        self._rooms = rooms

    def settle(self) -> None:
        """Wait until the receiver hears every room."""
        for _ in range(SETTLE_ATTEMPTS):
            if self.paced(count=self._rooms, rate=10_000).lost == 0:
                return
        raise RuntimeError(f"{self._receiver.title}: does not receive what is published")

    def paced(self, *, count: int, rate: float) -> Received:
        """Publish one after the other, `rate` a second; times are noted."""
        said = self._publisher.ask("paced", count=count, rate=rate)
        return self._collect(said, times=True)

    def closed(self, *, seconds: float, callers: int) -> Received:
        """Publish for `seconds`; each of so many callers awaits one message before it publishes the next."""
        said = self._publisher.ask("closed", seconds=seconds, callers=callers)
        return self._collect(said, times=False)

    def _collect(self, said: dict[str, Any], *, times: bool) -> Received:
        expected = {"first": said["first"], "count": said["count"], "patience": PATIENCE_SECONDS, "times": times}
        got = self._receiver.ask("collect", **expected)
        return Received(
            sent=said["count"],
            lost=said["count"] - got["received"],
            doubled=got["doubled"],
            per_second=got["received"] / max(got["last"] - said["start"], 1e-9),
            took_us=tuple(got["took_us"]),
        )


@contextmanager
def processes(peer: Peer, url: str, *, rooms: int) -> Generator[Pair]:
    """Start both, on a core each, and stop them on leaving.

    Raises:
        Skipped: A package is missing.
        RuntimeError: One of them does not start, or messages do not arrive.
    """
    peer.require()
    receivers, publishers = cores()
    with (
        _process(peer, "receive", url, rooms, core=receivers) as receiver,
        _process(peer, "publish", url, rooms, core=publishers) as publisher,
    ):
        pair = Pair(publisher, receiver, rooms)
        for one in (receiver, publisher):
            one.answer()
        pair.settle()
        yield pair


@contextmanager
def on_core(core: int | None) -> Generator[None]:
    """What is started within stays on this core."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Process:
    """One of the two."""

    def __init__(self, title: str, line: socket.socket, log: Path) -> None:
        self.title = title
        self._line = line
        self._log = log
        self._lines = line.makefile("r")
        line.settimeout(ANSWER_SECONDS)

    def ask(self, what: str, **how: Any) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # it has ended; the answer says why
            self._line.sendall(json.dumps({"do": what, **how}).encode() + b"\n")
        return self.answer()

    def answer(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            line = ""
        if not line:
            end = " | ".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise RuntimeError(f"{self.title}: no answer; the end of its log: {end or '(empty)'}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _process(peer: Peer, role: str, url: str, rooms: int, *, core: int | None) -> Generator[_Process]:
    RESULTS.mkdir(exist_ok=True)
    log = RESULTS / f"brokers-{peer.app}-{role}.log"
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "benchmarks.brokers_apps", peer.app, role, url, str(rooms)]
    with ours, log.open("w") as output:
        with theirs:
            process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
            )
        pin(process.pid, core)
        try:
            yield _Process(f"{peer.title}, {role}", ours, log)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
