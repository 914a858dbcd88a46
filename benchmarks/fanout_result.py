"""What came out of the fan-out: figures of each cell and contestant, and the ratios that are promised."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.cells import OURS, SAME_SERVER, Cell, parse_cell
from benchmarks.contestants import CONTESTANTS
from benchmarks.load import Figures
from benchmarks.report import Bar, table

PYTHON_PEERS = ("socketio", "litestar", "broadcaster", "pubsub", "websockets")
LEAST = {
    ("tutorial", "1000x128xW1"): 1.8,
    ("tutorial", "1000x128xW4"): 3.5,
    ("tutorial", "1000x128xW32"): 12.0,
    ("tutorial", "1000x1024xW4xdeflate"): 3.0,
    ("uwebsockets", "1000x128xW1"): 0.8,
    ("uwebsockets", "1000x128xW4"): 0.5,
    ("uwebsockets", "1000x128xW32"): 0.5,
    ("picows", "1000x128xW1"): 0.8,
}
"""What ours with shared frames must reach against others, in deliveries per second."""

SAME_SERVER_LEAST = {"rooms": 1.1, "rooms-hypercorn": 1.0, "rooms-granian": 1.0}
SAME_SERVER_CELLS = tuple(map(parse_cell, ("1000x128xW1", "1000x128xW4", "1000x128xW32")))


@dataclass(frozen=True)
class Pair:
    """Two runs, one right after the other."""

    subject: str
    reference: str
    subject_figures: Figures
    reference_figures: Figures

    @property
    def rate(self) -> float:
        return self.subject_figures.per_second / self.reference_figures.per_second

    @property
    def saving(self) -> float:
        return self.reference_figures.cpu_us / self.subject_figures.cpu_us


@dataclass
class Fanout:
    """Everything that was measured.

    Attributes:
        runs: The figures of each contestant in each cell, run by run.
        pairs: Those that ran one right after the other.
        skipped: Who could not take part, where, and why.
        title: Above the tables.
    """

    runs: dict[Cell, dict[str, list[Figures]]] = field(default_factory=dict)
    pairs: dict[Cell, list[Pair]] = field(default_factory=dict)
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    title: str = "Fan-out"

    def add(self, cell: Cell, name: str, figures: Figures | None) -> None:
        if figures is not None:
            self.runs.setdefault(cell, {}).setdefault(name, []).append(figures)

    def meet(self, cell: Cell, pair: Pair) -> None:
        self.pairs.setdefault(cell, []).append(pair)

    def skip(self, where: str, name: str, error: Exception) -> None:
        reason = "; ".join((str(error), *getattr(error, "__notes__", ())))
        self.skipped.append((where, name, reason))
        print(f"  skipped, {where}: {reason}", file=sys.stderr, flush=True)

    def bars(self) -> list[Bar]:
        return [*self._promised(), *self._over_the_cells(), *self._same_server()]

    def _met(self) -> Iterator[tuple[Cell, str, str, list[Pair]]]:
        for cell, pairs in self.pairs.items():
            for subject, reference in dict.fromkeys((pair.subject, pair.reference) for pair in pairs):
                those = [pair for pair in pairs if (pair.subject, pair.reference) == (subject, reference)]
                yield cell, subject, reference, those

    def _promised(self) -> Iterator[Bar]:
        for cell, subject, reference, pairs in self._met():
            least = LEAST.get((reference, str(cell))) if subject == OURS else None
            if least is not None:
                yield _bar(f"{subject} / {reference}, {cell}", pairs, least)

    def _over_the_cells(self) -> Iterator[Bar]:
        for peer in PYTHON_PEERS:
            those = [pairs for _, subject, reference, pairs in self._met() if (subject, reference) == (OURS, peer)]
            if those:
                medians = [median(pair.rate for pair in pairs) for pairs in those]
                yield Bar(name=f"deliveries/s, {OURS} / {peer}, median of each cell", values=medians, above=1.0)

    def _same_server(self) -> Iterator[Bar]:
        for cell, subject, reference, pairs in self._met():
            if (subject, reference) in SAME_SERVER and cell in SAME_SERVER_CELLS:
                yield _bar(f"{subject} / {reference}, {cell}", pairs, SAME_SERVER_LEAST[subject])

    def text(self) -> str:
        head = ("server", "deliveries/s", "best", "CPU us/delivery", "p50 ms to last", "p99 ms to last", "runs")
        tables = [
            table(f"{self.title} {cell}: medians", head, [_row(name, runs) for name, runs in contestants.items()])
            for cell, contestants in self.runs.items()
        ]
        ratios = [
            (f"{subject} / {reference}", str(cell), *_spread([pair.rate for pair in pairs]),
             f"{median(pair.saving for pair in pairs):.2f}")
            for cell, subject, reference, pairs in self._met()
        ]  # fmt: skip
        columns = ("pair", "cell", "deliveries/s", "from", "to", "per CPU second")
        tables.append(table(f"{self.title}: ratios, medians of pairs", columns, sorted(ratios)))
        if self.skipped:
            tables.append(table(f"{self.title}: skipped", ("cells", "server", "why"), self.skipped))
        return "\n".join(tables)

    def record(self) -> dict[str, Any]:
        return {
            "titles": {name: one.title for name, one in CONTESTANTS.items()},
            "runs": {
                str(cell): {name: [asdict(run) for run in runs] for name, runs in contestants.items()}
                for cell, contestants in self.runs.items()
            },
            "ratios": [
                {
                    "cell": str(cell),
                    "subject": subject,
                    "reference": reference,
                    "per_second": [pair.rate for pair in pairs],
                    "per_cpu_second": [pair.saving for pair in pairs],
                }
                for cell, subject, reference, pairs in self._met()
            ],
            "skipped": [{"cells": where, "server": name, "why": why} for where, name, why in self.skipped],
        }


@dataclass
class Compared(Fanout):
    """The same of pairs that are named, with bars of their own.

    Attributes:
        least: What one of a pair must reach against the other, by their names and the cell.
    """

    least: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        return [
            _bar(f"{subject} / {reference}, {cell}", pairs, least)
            for cell, subject, reference, pairs in self._met()
            if (least := self.least.get((subject, reference, str(cell)))) is not None
        ]


def _bar(name: str, pairs: list[Pair], least: float) -> Bar:
    return Bar(name=f"deliveries/s, {name}", values=[pair.rate for pair in pairs], least=least)


def _spread(values: list[float]) -> tuple[str, str, str]:
    return f"{median(values):.2f}", f"{min(values):.2f}", f"{max(values):.2f}"


def _row(name: str, runs: list[Figures]) -> tuple[str, ...]:
    return (
        CONTESTANTS[name].title,
        f"{median(run.per_second for run in runs):,.0f}",
        f"{max(run.per_second for run in runs):,.0f}",
        f"{median(run.cpu_us for run in runs):.2f}",
        f"{median(run.p50_ms for run in runs):.1f}",
        f"{median(run.p99_ms for run in runs):.1f}",
        str(len(runs)),
    )
