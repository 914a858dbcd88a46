"""The hub: what its protocol costs beside a plain `RoomManager`, and how it does beside python-socketio.

Everyone is told the same 128 bytes. The hub's clients get them in a frame of `rooms.v1`, of 26 bytes more.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import fanout
from benchmarks.cells import Cell, parse_cell
from benchmarks.fanout_result import Compared

NAME = "hub"
TITLE = "Hub"
PAIRS = 25
"""Two that differ by a twentieth are told apart only by many."""

PAIRS_OF_PEERS = 2
"""A turn of 32 messages takes python-socketio some seconds."""

SHARED = ("hub-shared", "manager-shared")
STANDARD = ("hub", "socketio")
CELLS = tuple(map(parse_cell, ("1000x128xW1", "1000x128xW4", "1000x128xW32")))
LEAST = {
    **{(*SHARED, str(cell)): 0.9 for cell in CELLS},
    (*STANDARD, str(CELLS[-1])): 3.0,
}
"""In deliveries per second."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run: the fan-outs of each pair."""

    fanouts: tuple[fanout.Plan, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own; `--seconds` is fanout's."""


def plan(arguments: argparse.Namespace) -> Plan:
    peers = CELLS if arguments.full else CELLS[-1:]
    return Plan(
        fanouts=(
            pair_plan(SHARED, CELLS, pairs=arguments.pairs or PAIRS, seconds=arguments.seconds),
            pair_plan(STANDARD, peers, pairs=arguments.pairs or PAIRS_OF_PEERS, seconds=arguments.seconds),
        )
    )


def pair_plan(pair: tuple[str, str], cells: Iterable[Cell], *, pairs: int, seconds: float) -> fanout.Plan:
    """One contestant against another, and nobody else is up."""

    def meetings(present: Sequence[str]) -> list[tuple[str, str]]:
        return [pair] if set(pair) <= set(present) else []

    return fanout.Plan(contestants=dict.fromkeys(cells, pair), pairs=pairs, seconds=seconds, meetings=meetings)


def run(plan: Plan) -> Compared:
    result = Compared(title=TITLE, least=LEAST)
    for one in plan.fanouts:
        fanout.measure(one, result)
    return result
