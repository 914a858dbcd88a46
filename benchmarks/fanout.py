"""Fan-out: ours against the tutorial manager, in pairs, so that a busy machine does not decide."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.load import Figures, Load, measure
from benchmarks.report import Bar, table
from benchmarks.server import Server, serving

REFERENCE = "tutorial"
OURS = "rooms"
OUTSTANDING = (1, 4, 32)
LEAST = 1.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: Times that both servers are started afresh.
        pairs: Runs of each server, by turns, per round and number of outstanding broadcasts.
        load: The client's work, but for the outstanding broadcasts.
    """

    rounds: int = 3
    pairs: int = 5
    load: Load = field(default_factory=Load)


@dataclass
class Fanout:
    """What came out: for each W, the figures of each contestant, pair by pair."""

    cells: dict[int, dict[str, list[Figures]]] = field(default_factory=dict)

    def add(self, outstanding: int, name: str, figures: Figures) -> None:
        self.cells.setdefault(outstanding, {}).setdefault(name, []).append(figures)

    def bars(self) -> list[Bar]:
        bars: list[Bar] = []
        for outstanding, cell in self.cells.items():
            pairs = list(zip(cell[OURS], cell[REFERENCE], strict=True))
            rates = [ours.per_second / other.per_second for ours, other in pairs]
            savings = [other.cpu_us / ours.cpu_us for ours, other in pairs]
            cell_name = f"{OURS} / {REFERENCE}, W={outstanding}"
            bars.append(Bar(name=f"deliveries per second, {cell_name}", values=rates, least=LEAST))
            bars.append(Bar(name=f"deliveries per CPU second, {cell_name}", values=savings))
        return bars

    def text(self) -> str:
        rows = [_row(w, name, runs) for w, cell in self.cells.items() for name, runs in cell.items()]
        head = ("W", "server", "deliveries/s", "best", "CPU us/delivery", "p50 ms to last", "p99 ms to last")
        return table("Fan-out: medians", head, rows)

    def record(self) -> dict[str, Any]:
        return {
            str(outstanding): {name: [asdict(run) for run in runs] for name, runs in cell.items()}
            for outstanding, cell in self.cells.items()
        }


def run(plan: Plan) -> Fanout:
    result = Fanout()
    for _ in range(plan.rounds):
        with ExitStack() as stack:
            servers = [stack.enter_context(serving(name)) for name in (REFERENCE, OURS)]
            for outstanding, server in _turns(servers, plan.pairs):
                load = Load(**{**asdict(plan.load), "outstanding": outstanding})
                result.add(outstanding, server.name, measure(server, load))
    return result


def _turns(servers: list[Server], pairs: int) -> Iterator[tuple[int, Server]]:
    """A B, B A, A B, …: whoever goes first does not always go first."""
    for outstanding in OUTSTANDING:
        for pair in range(pairs):
            for server in servers if pair % 2 == 0 else servers[::-1]:
                yield outstanding, server


def _row(outstanding: int, name: str, runs: list[Figures]) -> tuple[str, ...]:
    return (
        str(outstanding),
        name,
        f"{median(run.per_second for run in runs):,.0f}",
        f"{max(run.per_second for run in runs):,.0f}",
        f"{median(run.cpu_us for run in runs):.2f}",
        f"{median(run.p50_ms for run in runs):.1f}",
        f"{median(run.p99_ms for run in runs):.1f}",
    )
