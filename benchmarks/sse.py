"""Event streams: the hub beside Starlette's `StreamingResponse` with a queue each, and one client that stalls."""

import argparse
from dataclasses import dataclass
from typing import Any

from benchmarks import fanout, stall
from benchmarks.cells import parse_cell
from benchmarks.fanout_result import Compared
from benchmarks.hub import pair_plan
from benchmarks.report import Bar
from benchmarks.stall_result import Stall

NAME = "sse"
TITLE = "Event streams"
OURS, PEER = "hub-sse", "streaming"
PAIRS = 5
CELLS = tuple(map(parse_cell, ("1000x128xW1", "1000x128xW4", "1000x128xW32")))
LEAST = {(OURS, PEER, str(cell)): 1.0 for cell in CELLS}
"""In deliveries per second."""

STALLED_SIZE = 4096
STALLED_SECONDS = 5.0
"""Twice as long, as for all that are paced slowly: after two seconds nothing more goes to a stalled client, and
`QueueLimits` has seven for what comes then."""

MOST_MB = 2.0
"""What one stalled client may cost: its queue of 1 MiB, and what the server's resident memory varies by."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run."""

    fanout: fanout.Plan
    stall: stall.Plan


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What came out."""

    fanout: Compared
    stall: Stall

    def bars(self) -> list[Bar]:
        pairs = self.stall.pairs(OURS)
        if not pairs:
            return self.fanout.bars()
        memory = [one.peak_mb - none.peak_mb for none, one in pairs]
        closed = [float(one.closed) for _, one in pairs]
        return [
            *self.fanout.bars(),
            *self.stall.bars(),
            Bar(name=f"memory for 1 stalled, {OURS}", values=memory, most=MOST_MB, unit="MB"),
            Bar(name=f"closed of 1 stalled, {OURS}", values=closed, least=1.0, most=1.0),
        ]

    def text(self) -> str:
        return f"{self.fanout.text()}\n{self.stall.text()}"

    def record(self) -> dict[str, Any]:
        return {"fanout": self.fanout.record(), "stall": self.stall.record()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own; `--seconds` is fanout's."""


def plan(arguments: argparse.Namespace) -> Plan:
    return Plan(
        fanout=pair_plan((OURS, PEER), CELLS, pairs=arguments.pairs or PAIRS, seconds=arguments.seconds),
        stall=stall.Plan(
            paired=(OURS,),
            pairs=arguments.pairs or PAIRS,
            paired_seconds=STALLED_SECONDS,
            contestants=(PEER,) if arguments.full else (),
            stalled=(1,),
            seconds=STALLED_SECONDS,
            size=STALLED_SIZE,
        ),
    )


def run(plan: Plan) -> Streams:
    result = Compared(title=TITLE, least=LEAST)
    fanout.measure(plan.fanout, result)
    return Streams(fanout=result, stall=stall.run(plan.stall))
