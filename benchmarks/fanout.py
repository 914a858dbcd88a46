"""Fan-out: a broadcast to N connections, ours beside peers, in pairs, so that a busy machine does not decide."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from benchmarks.cells import ALL_CELLS, OURS, Cell, line_up, meetings, parse_cell
from benchmarks.contestants import CONTESTANTS, Skipped
from benchmarks.fanout_result import Fanout, Pair
from benchmarks.load import Clients, Crowd, Figures, clients
from benchmarks.server import serving

NAME = "fanout"
PAIRS = 5
MOST_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        contestants: Who takes part in each cell.
        pairs: Runs of each pair, by turns.
        warm_up: Seconds before anything is measured, in each run.
        seconds: Seconds measured in each run.
        meetings: Who is compared with whom, of those that take part.
    """

    contestants: dict[Cell, tuple[str, ...]]
    pairs: int = PAIRS
    warm_up: float = 0.1
    seconds: float = 0.3
    meetings: Callable[[Sequence[str]], list[tuple[str, str]]] = meetings


class _Field:
    """The contestants that are up, with their clients connected. The restless ones rest between their turns.

    One that fails leaves, with its reason in the result; the others go on.
    """

    def __init__(self, result: Fanout) -> None:
        self._result = result
        self._stacks: dict[str, ExitStack] = {}
        self._clients: dict[str, Clients] = {}
        self._rests: dict[str, ExitStack] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._clients

    def start(self, name: str, crowd: Crowd) -> None:
        stack = self._stacks[name] = ExitStack()
        try:
            server = stack.enter_context(serving(name, deflate=crowd.deflate))
            self._clients[name] = stack.enter_context(clients(server, crowd))
        except (Skipped, RuntimeError) as error:
            self._leave(name, str(crowd), error)
        else:
            self._rests[name] = stack.enter_context(ExitStack())
            self._rest(name)

    def run(self, name: str, cell: Cell, plan: Plan) -> Figures | None:
        if name not in self:
            return None
        self._rests[name].close()
        load = {"warm_up": plan.warm_up, "seconds": plan.seconds}
        try:
            figures = self._clients[name].closed(outstanding=cell.outstanding, size=cell.size, **load)
        except RuntimeError as error:
            self._leave(name, str(cell), error)
            return None
        self._rest(name)
        return figures

    def close(self) -> None:
        for name in list(self._stacks):
            self._leave(name, "at the end", None)

    def _rest(self, name: str) -> None:
        server = self._clients[name].server
        if server.contestant.restless:
            self._rests[name].enter_context(server.rest())

    def _leave(self, name: str, where: str, error: Exception | None) -> None:
        self._clients.pop(name, None)
        try:
            with self._stacks.pop(name):
                if error is not None:
                    raise error  # through the server, which adds what it knows of the reason
        except (Skipped, RuntimeError) as reason:
            self._result.skip(where, name, reason)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = ",".join(name for name in CONTESTANTS if name != "bare")
    parser.add_argument("--contestants", metavar="A,B", help=f"fanout, stall: of {names}")
    parser.add_argument("--cells", metavar="CELL,CELL", help="fanout: like 1000x128xW4,1000x1024xW4xdeflate")
    parser.add_argument("--seconds", type=float, default=0.3, help="fanout: seconds measured in each run (0.3)")


def plan(arguments: argparse.Namespace) -> Plan:
    """Which cells and contestants; `ValueError` if there is no such."""
    names = chosen(arguments.contestants)
    if arguments.cells is not None:
        cells = dict.fromkeys(map(parse_cell, arguments.cells.split(",")), names or _EVERYBODY)
    elif arguments.full:
        cells = dict.fromkeys(ALL_CELLS, names or _EVERYBODY)
    else:
        cells = {cell: names or those for cell, those in QUICK.items()}
    return Plan(contestants=cells, pairs=arguments.pairs or PAIRS, seconds=arguments.seconds)


def chosen(text: str | None) -> tuple[str, ...]:
    """The contestants that the command line names; none if it names none."""
    names = tuple(text.split(",")) if text else ()
    if unknown := set(names) - set(CONTESTANTS):
        raise ValueError(f"no such contestant: {', '.join(sorted(unknown))}")
    return names


def run(plan: Plan) -> Fanout:
    result = Fanout()
    measure(plan, result)
    return result


def measure(plan: Plan, result: Fanout) -> None:
    """Run all cells of a plan, and add to the result what came out."""
    for crowd in dict.fromkeys(cell.crowd for cell in plan.contestants):
        cells = {cell: names for cell, names in plan.contestants.items() if cell.crowd == crowd}
        with closing(_Field(result)) as field:
            for name in dict.fromkeys(name for names in cells.values() for name in names):
                field.start(name, crowd)
            for cell, names in cells.items():
                _run_cell(cell, names, field, plan, result)


def _run_cell(cell: Cell, names: Iterable[str], field: _Field, plan: Plan, result: Fanout) -> None:
    present = [name for name in names if name in field and _in_time(cell, name, result)]
    if not present:
        return
    order, places = line_up(plan.meetings(present)) if len(present) > 1 else (present, [])
    for number in range(plan.pairs):
        print(f"  {cell}: {number + 1} of {plan.pairs}", file=sys.stderr, flush=True)
        figures: list[Figures | None] = [None] * len(order)
        there = range(len(order))
        for place in there if number % 2 == 0 else reversed(there):
            figures[place] = field.run(order[place], cell, plan)
            result.add(cell, order[place], figures[place])
        for subject, reference in places:
            one, other = figures[subject], figures[reference]
            if one is not None and other is not None:
                result.meet(cell, Pair(order[subject], order[reference], one, other))


def _in_time(cell: Cell, name: str, result: Fanout) -> bool:
    """Whether a message, of so many on their way, reaches all in a few seconds."""
    expected = cell.connections * cell.outstanding / (2000 * CONTESTANTS[name].pace)
    if expected > MOST_SECONDS:
        result.skip(str(cell), name, Skipped(f"{name}: a message would need {expected:.0f} s to reach all"))
    return expected <= MOST_SECONDS


_ELSEWHERE = ("bare", "manager-shared", "hub-shared", "hub", "hub-sse", "streaming")
"""Contestants of other benchmarks. Here they take part where they are named."""

_EVERYBODY = tuple(name for name in CONTESTANTS if name not in _ELSEWHERE)
_CORE = (OURS, "rooms", "tutorial", "uwebsockets", "picows")
_SLOW = ("rooms-hypercorn", "tutorial-hypercorn", "rooms-granian", "tutorial-granian", "socketio", "pubsub")
_PEERS = (*_CORE, "websockets", "socketio", "litestar", "broadcaster", "pubsub", "node")
QUICK = {
    parse_cell("1000x128xW1"): _EVERYBODY,
    parse_cell("1000x128xW4"): _EVERYBODY,
    parse_cell("1000x128xW32"): tuple(name for name in _EVERYBODY if name not in _SLOW),
    parse_cell("1000x1024xW4"): (*_CORE, "websockets", "node"),
    parse_cell("1000x1024xW4xdeflate"): _PEERS,
    parse_cell("1000x128xW4xdeflate"): _CORE,
    parse_cell("100x128xW1"): _CORE,
    parse_cell("100x128xW4"): _CORE,
    parse_cell("5000x128xW4"): _CORE,
}
