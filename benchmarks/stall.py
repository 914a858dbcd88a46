"""Clients that stop reading: what the others notice, and what becomes of the server's memory.

The load is paced, well below what each server can do, so that a server which waits for a stalled client shows it,
and one which does not is not measured for its speed.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.contestants import CONTESTANTS, Skipped
from benchmarks.fanout import chosen
from benchmarks.load import Crowd, clients
from benchmarks.server import serving
from benchmarks.stall_result import OURS, Run, Stall

NAME = "stall"
SIZE = 1024
PEERS = (
    "tutorial",
    "queues",
    "websockets",
    "socketio",
    "litestar",
    "broadcaster",
    "pubsub",
    "picows",
    "uwebsockets",
    "node",
)
EVERYBODY = (*OURS, "rooms-hypercorn", "rooms-granian", "tutorial-hypercorn", "tutorial-granian", *PEERS)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        pairs: Pairs, by turns, of none stalled and one, for ours.
        paired_seconds: Seconds of each of these runs.
        contestants: Who has one run with none stalled and one with each number of `stalled`.
        stalled: Numbers of stalled clients.
        seconds: Seconds of each of these runs, but for those with none stalled, where a third will do. A slow peer
            has more, so that what it sends fills the buffers on the way to a stalled client, too.
        patience: Seconds without any delivery after which a server counts as stopped.
        connections: All clients.
        size: Bytes of one message.
    """

    pairs: int = 5
    paired_seconds: float = 4.0
    contestants: tuple[str, ...] = (*OURS, *PEERS)
    stalled: tuple[int, ...] = (100,)
    seconds: float = 5.0
    patience: float = 3.0
    connections: int = 1000
    size: int = SIZE
    paired: tuple[str, ...] = field(default=OURS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stalled", metavar="K,K", help="stall: how many stand still (100; with --full 1,10,100)")


def plan(arguments: argparse.Namespace) -> Plan:
    """How much to run; `ValueError` if there is no such contestant."""
    names = chosen(arguments.contestants)
    stalled = tuple(map(int, arguments.stalled.split(","))) if arguments.stalled else None
    paired = tuple(name for name in OURS if not names or name in names)
    if arguments.full:
        return Plan(
            pairs=arguments.pairs or 9,
            paired_seconds=10.0,
            contestants=names or EVERYBODY,
            stalled=stalled or (1, 10, 100),
            seconds=20.0,
            patience=30.0,
            paired=paired,
        )
    return Plan(
        pairs=arguments.pairs or 5, contestants=names or (*OURS, *PEERS), stalled=stalled or (100,), paired=paired
    )


def run(plan: Plan) -> Stall:
    result = Stall(connections=plan.connections)
    for name, stalled, seconds, pair in _schedule(plan):
        print(f"  {name}, {stalled} stalled", file=sys.stderr, flush=True)
        try:
            result.add(name, stalled, pair, _measure(name, stalled, seconds, plan))
        except (Skipped, RuntimeError) as error:
            result.skip(name, stalled, error)
    return result


def _schedule(plan: Plan) -> Iterator[tuple[str, int, float, int | None]]:
    """Contestant, how many are stalled, for how long, and which pair it is part of."""
    for pair in range(plan.pairs):
        for name in plan.paired:
            for stalled in (0, 1) if pair % 2 == 0 else (1, 0):
                yield name, stalled, plan.paired_seconds, pair
    for name in plan.contestants:
        for stalled in (0, *plan.stalled):
            yield name, stalled, plan.seconds if stalled else plan.seconds / 3, None


def _measure(name: str, stalled: int, seconds: float, plan: Plan) -> Run:
    pace = CONTESTANTS[name].pace
    longer = 2.0 if pace < 40 else 1.0
    with (
        serving(name) as server,
        clients(server, Crowd(connections=plan.connections, stalled=stalled)) as crowd,
    ):
        files, memory = server.open_files(), [server.resident_bytes()]
        figures = crowd.paced(
            rate=pace,
            size=plan.size,
            seconds=seconds * longer,
            patience=plan.patience,
            watch=lambda: memory.append(server.resident_bytes()),
        )
        memory.append(server.resident_bytes())
        closed = files - server.open_files()
    return Run(figures, (max(memory) - memory[0]) / 2**20, (memory[-1] - memory[0]) / 2**20, closed)
