"""What a connection that does nothing costs: ours less a bare endpoint, in resident memory of the server."""

import socket
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.client import frame, handshake
from benchmarks.report import Bar
from benchmarks.server import HOST, Server, serving

MOST_KB = 4.0
WARM_UP_CONNECTIONS = 200
SETTLE_SECONDS = 0.5
TEXT = b'{"type":"hello","text":"one message each way, then silence"}'


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: Pairs of fresh processes, in either order by turns.
        connections: Idle connections in each.
    """

    rounds: int = 3
    connections: int = 4000


@dataclass
class Idle:
    """What came out, in KB for each connection: `quiet` since accept, and `used` once, both ways, before."""

    quiet: dict[str, list[float]] = field(default_factory=dict)
    used: dict[str, list[float]] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        cells = (("never used", self.quiet), ("after one message each way", self.used))
        return [
            Bar(name=f"KB added per idle connection, {name}", values=_less(cell), most=MOST_KB, unit="KB")
            for name, cell in cells
        ]

    def record(self) -> dict[str, Any]:
        return {"quiet_kb": self.quiet, "used_kb": self.used}


def run(plan: Plan) -> Idle:
    result = Idle()
    for number in range(plan.rounds):
        for name in ("bare", "rooms") if number % 2 == 0 else ("rooms", "bare"):
            with serving(name) as server:
                quiet, used = _measure(server, plan.connections)
            result.quiet.setdefault(name, []).append(quiet)
            result.used.setdefault(name, []).append(used)
    return result


def _measure(server: Server, connections: int) -> tuple[float, float]:
    sockets = _open(server, WARM_UP_CONNECTIONS)  # imports, caches and pools are paid for by now
    try:
        _use(sockets)
        before = _settled(server)
        sockets += _open(server, connections)
        quiet = _settled(server)
        _use(sockets[-connections:])
        used = _settled(server)
    finally:
        for connection in sockets:
            connection.close()
    return (quiet - before) / connections / 1024, (used - before) / connections / 1024


def _open(server: Server, connections: int) -> list[socket.socket]:
    return [handshake(HOST, server.port, "/echo") for _ in range(connections)]


def _use(sockets: list[socket.socket]) -> None:
    expected = frame(TEXT, masked=False)
    for connection in sockets:
        connection.sendall(frame(TEXT, masked=True))
        answer = b""
        while len(answer) < len(expected) and (piece := connection.recv(len(expected) - len(answer))):
            answer += piece
        if answer != expected:
            raise RuntimeError(f"the echo differs: {answer!r}")


def _settled(server: Server) -> int:
    time.sleep(SETTLE_SECONDS)
    return server.resident_bytes()


def _less(cell: dict[str, list[float]]) -> list[float]:
    return [ours - bare for ours, bare in zip(cell["rooms"], cell["bare"], strict=True)]
