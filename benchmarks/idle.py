"""What a connection that does nothing costs: ours beside a bare endpoint, in resident memory of the server."""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.contestants import CONTESTANTS
from benchmarks.echo import EchoClient
from benchmarks.machine import HOST
from benchmarks.payload import message
from benchmarks.report import Bar, table
from benchmarks.server import Server, serving

NAME = "idle"

BARE, STANDARD, SHARED = "bare", "rooms", "rooms-shared"
MOST_KB = 4.0
WARM_UP_CONNECTIONS = 200
AT_ONCE = 20
SETTLE_SECONDS = 0.3
TEXT = message(1024).model_dump_json().encode()


@dataclass(frozen=True)
class Cell:
    """Who is measured.

    Attributes:
        name: Of the contestant.
        deflate: Whether each client has negotiated compression.
    """

    name: str
    deflate: bool

    def __str__(self) -> str:
        return f"{CONTESTANTS[self.name].title}, {'deflate' if self.deflate else 'plain'}"


CELLS = tuple(Cell(name, deflate) for deflate in (False, True) for name in (BARE, STANDARD, SHARED))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: Fresh processes for each cell, in either order by turns.
        connections: Idle connections in each; a multiple of `AT_ONCE`.
    """

    rounds: int = 5
    connections: int = 2000


@dataclass
class Idle:
    """What came out, in KB for each connection: `quiet` since accept, and `used` once, both ways, before."""

    quiet: dict[Cell, list[float]] = field(default_factory=dict)
    used: dict[Cell, list[float]] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        return [bar for state in self._states() for bar in self._bars(*state)]

    def text(self) -> str:
        rows = [(str(cell), *(_spread(kb[cell]) for _, kb in self._states())) for cell in self.quiet]
        head = ("server", *(state for state, _ in self._states()))
        return table("Idle: KB for each connection; medians, and all", head, rows)

    def record(self) -> dict[str, Any]:
        return {
            "titles": {cell.name: CONTESTANTS[cell.name].title for cell in self.quiet},
            "cells": [
                {"server": cell.name, "deflate": cell.deflate, "quiet_kb": quiet, "used_kb": self.used[cell]}
                for cell, quiet in self.quiet.items()
            ],
        }

    def _states(self) -> tuple[tuple[str, dict[Cell, list[float]]], ...]:
        return ("never used", self.quiet), ("after one message each way", self.used)

    @staticmethod
    def _bars(state: str, kb: dict[Cell, list[float]]) -> Iterator[Bar]:
        for cell, ours in kb.items():
            if cell.name == BARE:
                continue
            pairs = list(zip(ours, kb[Cell(BARE, cell.deflate)], strict=True))
            if cell == Cell(SHARED, deflate=True):
                ratios = [one / other for one, other in pairs]
                yield Bar(name=f"memory per idle connection, {cell} / bare, {state}", values=ratios, below=1.0)
            else:
                added = [one - other for one, other in pairs]
                name = f"memory added per idle connection, {cell}, {state}"
                yield Bar(name=name, values=added, most=MOST_KB, unit="KB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    rounds = arguments.pairs or (9 if arguments.full else 5)
    return Plan(rounds=rounds, connections=5000 if arguments.full else 2000)


def run(plan: Plan) -> Idle:
    result = Idle()
    for number in range(plan.rounds):
        print(f"  {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
        for cell in CELLS if number % 2 == 0 else reversed(CELLS):
            with serving(cell.name, deflate=cell.deflate) as server:
                quiet, used = _measure(server, cell, plan.connections)
            result.quiet.setdefault(cell, []).append(quiet)
            result.used.setdefault(cell, []).append(used)
    return result


def _measure(server: Server, cell: Cell, connections: int) -> tuple[float, float]:
    clients: list[EchoClient] = []
    try:
        _open(clients, server, cell, WARM_UP_CONNECTIONS)  # imports, caches and pools are paid for by now
        _use(clients)
        before = _settled(server)
        _open(clients, server, cell, connections)
        quiet = _settled(server)
        _use(clients[-connections:])
        used = _settled(server)
    finally:
        for client in clients:
            client.close()
    return (quiet - before) / connections / 1024, (used - before) / connections / 1024


def _open(clients: list[EchoClient], server: Server, cell: Cell, count: int) -> None:
    for _ in range(count // AT_ONCE):
        some = [EchoClient(HOST, server.port, "/echo", deflate=cell.deflate) for _ in range(AT_ONCE)]
        clients += some
        for client in some:
            client.ask()
        for client in some:
            client.enter()


def _use(clients: list[EchoClient]) -> None:
    for first in range(0, len(clients), AT_ONCE):
        some = clients[first : first + AT_ONCE]
        for client in some:
            client.say(TEXT)
        for client in some:
            client.hear(TEXT)


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _settled(server: Server) -> int:
    time.sleep(SETTLE_SECONDS)
    return server.resident_bytes()
