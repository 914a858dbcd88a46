"""What came out of the benchmark with stalled clients."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.contestants import CONTESTANTS
from benchmarks.load import Figures
from benchmarks.report import Bar, table

OURS = ("rooms-shared", "rooms")
MOST = 1.2


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        figures: Of the clients that read.
        peak_mb: What the server's resident memory grew by, at most.
        end_mb: What it had grown by at the end.
        closed: Connections that the server has ended.
    """

    figures: Figures
    peak_mb: float
    end_mb: float
    closed: int

    @property
    def p99_ms(self) -> float:
        return float("inf") if self.figures.stopped else self.figures.p99_ms


@dataclass
class Stall:
    """Everything that was measured.

    Attributes:
        connections: All clients.
        runs: Of each contestant, for each number of stalled clients.
        paired: Those that were measured in pairs, by contestant, pair, and stalled clients.
        skipped: Who could not take part, and why.
    """

    connections: int
    runs: dict[str, dict[int, list[Run]]] = field(default_factory=dict)
    paired: dict[str, dict[int, dict[int, Run]]] = field(default_factory=dict)
    skipped: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, name: str, stalled: int, pair: int | None, run: Run) -> None:
        self.runs.setdefault(name, {}).setdefault(stalled, []).append(run)
        if pair is not None:
            self.paired.setdefault(name, {}).setdefault(pair, {})[stalled] = run

    def skip(self, name: str, stalled: int, error: Exception) -> None:
        reason = "; ".join((str(error), *getattr(error, "__notes__", ())))
        self.skipped.append((name, stalled, reason))
        print(f"  skipped: {reason}", file=sys.stderr, flush=True)

    def bars(self) -> list[Bar]:
        return [
            Bar(name=f"p99 with 1 of {self.connections:,} stalled / with none, {name}", values=ratios, most=MOST)
            for name in self.paired
            if (ratios := self._ratios(name))
        ]

    def pairs(self, name: str) -> list[tuple[Run, Run]]:
        """Of one contestant: with none stalled, and with one."""
        return [(pair[0], pair[1]) for pair in self.paired.get(name, {}).values() if {0, 1} <= set(pair)]

    def _ratios(self, name: str) -> list[float]:
        return [one.p99_ms / none.p99_ms for none, one in self.pairs(name)]

    def text(self) -> str:
        head = (
            "server",
            "stalled",
            "p50 ms to last",
            "p99 ms",
            "longest ms",
            "memory MB",
            "at the end",
            "closed",
            "broadcasts/s",
        )
        title = f"Stalled clients among {self.connections:,}: what the others see, and the server's memory"
        tables = [table(title, head, self._rows())]
        if self.skipped:
            skipped = [(name, str(stalled), why) for name, stalled, why in self.skipped]
            tables.append(table("Stall: skipped", ("server", "stalled", "why"), skipped))
        return "\n".join(tables)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name, by_number in self.runs.items():
            for stalled, runs in sorted(by_number.items()):
                yield (
                    CONTESTANTS[name].title,
                    str(stalled),
                    *_times(runs),
                    *_memory(runs),
                    f"{median(run.closed for run in runs):g}",
                    f"{CONTESTANTS[name].pace:g}",
                )

    def record(self) -> dict[str, Any]:
        return {
            "titles": {name: CONTESTANTS[name].title for name in self.runs},
            "connections": self.connections,
            "runs": {
                name: {str(stalled): [asdict(run) for run in runs] for stalled, runs in by_number.items()}
                for name, by_number in self.runs.items()
            },
            "p99_ratios": {name: self._ratios(name) for name in self.paired},
            "skipped": [{"server": name, "stalled": stalled, "why": why} for name, stalled, why in self.skipped],
        }


def _times(runs: list[Run]) -> tuple[str, str, str]:
    figures = [run.figures for run in runs]
    stopped = [one.stood_seconds for one in figures if one.stopped]
    if stopped:
        return "stops:", f"nothing for {max(stopped):.0f} s,", "given up"
    return (
        f"{median(one.p50_ms for one in figures):.1f}",
        f"{median(one.p99_ms for one in figures):.1f}",
        f"{median(one.most_ms for one in figures):.1f}",
    )


def _memory(runs: list[Run]) -> tuple[str, str]:
    return f"{median(run.peak_mb for run in runs):+.1f}", f"{median(run.end_mb for run in runs):+.1f}"
