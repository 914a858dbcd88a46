"""Connections accepted per second: ours beside a bare endpoint and the tutorial manager."""

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.contestants import CONTESTANTS
from benchmarks.load import Crowd, clients
from benchmarks.report import Bar, table
from benchmarks.server import Server, serving

NAME = "connect"
CONTESTING = ("bare", "tutorial", "rooms", "rooms-shared")
WARM_UP_CONNECTIONS = 200
LEAVE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: Turns of each server, in either order.
        connections: Opened in each turn, 64 at a time, and closed after it.
    """

    rounds: int = 7
    connections: int = 1000


@dataclass
class Connect:
    """What came out, round by round."""

    per_second: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        """Not promised, but told."""
        return [
            Bar(name=f"connections accepted per second, {name} / {other}", values=self._ratios(name, other))
            for name in ("rooms", "rooms-shared")
            for other in ("bare", "tutorial")
        ]

    def _ratios(self, name: str, other: str) -> list[float]:
        return [one / another for one, another in zip(self.per_second[name], self.per_second[other], strict=True)]

    def text(self) -> str:
        rows = [
            (
                CONTESTANTS[name].title,
                f"{median(rates):,.0f}",
                f"{max(rates):,.0f}",
                f"{median(self.cpu_us[name]):.0f}",
            )
            for name, rates in self.per_second.items()
        ]
        return table("Connect: medians", ("server", "connections/s", "best", "CPU us/connection"), rows)

    def record(self) -> dict[str, Any]:
        return {"per_second": self.per_second, "cpu_us": self.cpu_us}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    rounds = arguments.pairs or (15 if arguments.full else 7)
    return Plan(rounds=rounds, connections=4000 if arguments.full else 1000)


def run(plan: Plan) -> Connect:
    result = Connect()
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(name)) for name in CONTESTING]
        for server in servers:
            _open(server, WARM_UP_CONNECTIONS)
        for number in range(plan.rounds):
            print(f"  {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
            for server in servers if number % 2 == 0 else reversed(servers):
                seconds, cpu_seconds = _open(server, plan.connections)
                result.per_second.setdefault(server.name, []).append(plan.connections / seconds)
                result.cpu_us.setdefault(server.name, []).append(cpu_seconds / plan.connections * 1e6)
    return result


def _open(server: Server, connections: int) -> tuple[float, float]:
    """Open them, close them, and wait until the server has noticed."""
    before = server.open_files()
    with clients(server, Crowd(connections=connections)) as crowd:
        opened = crowd.opened
    deadline = time.monotonic() + LEAVE_SECONDS
    while server.open_files() > before:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.name}: keeps connections that are closed")
        time.sleep(0.05)
    time.sleep(0.1)
    return opened.seconds, opened.cpu_seconds
