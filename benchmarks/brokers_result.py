"""What came out of the benchmark of brokers."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from benchmarks.brokers_process import Received
from benchmarks.report import Bar, table

OURS = "fastapi-rooms"
MOST = 1.5


@dataclass
class Latencies:
    """Of one contestant on one engine, run by run, in microseconds."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    lost: int = 0

    def add(self, run: Received) -> None:
        self.p50_us.append(median(run.took_us))
        self.p99_us.append(quantiles(run.took_us, n=100)[-1])
        self.lost += run.lost


@dataclass
class Rates:
    """Of one contestant, run by run: messages per second that were delivered; and in all runs: what was not."""

    per_second: list[float] = field(default_factory=list)
    sent: int = 0
    lost: int = 0
    doubled: int = 0

    def add(self, run: Received) -> None:
        self.per_second.append(run.per_second)
        self.sent += run.sent
        self.lost += run.lost
        self.doubled += run.doubled


@dataclass
class Brokers:
    """Everything that was measured.

    Attributes:
        latency: By engine and contestant.
        throughput: By number of rooms and contestant.
        ratios: By number of rooms and peer: ours by theirs, pair by pair.
        skipped: Who could not take part, and why.
    """

    latency: dict[str, dict[str, Latencies]] = field(default_factory=dict)
    throughput: dict[int, dict[str, Rates]] = field(default_factory=dict)
    ratios: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def add_latency(self, engine: str, title: str, run: Received) -> None:
        if len(run.took_us) < 2:
            raise RuntimeError(f"{title}: {run.lost} of {run.sent} messages did not arrive")
        self.latency.setdefault(engine, {}).setdefault(title, Latencies()).add(run)

    def add_throughput(self, rooms: int, ours: Received, peers: Mapping[str, Received]) -> None:
        """Our run, and those of peers right before and after it."""
        rates = self.throughput.setdefault(rooms, {})
        ratios = self.ratios.setdefault(rooms, {})
        for title, run in ((OURS, ours), *peers.items()):
            rates.setdefault(title, Rates()).add(run)
        for title, run in peers.items():
            ratios.setdefault(title, []).append(ours.per_second / max(run.per_second, 1e-9))

    def skip(self, who: str, error: Exception) -> None:
        self.skipped.append((who, str(error)))
        print(f"  skipped: {error}", file=sys.stderr, flush=True)

    def bars(self) -> list[Bar]:
        return [*self._latency_bars(), *self._throughput_bars()]

    def _latency_bars(self) -> Iterator[Bar]:
        for engine, by_title in self.latency.items():
            ours, (title, bare) = by_title[OURS], next(one for one in by_title.items() if one[0] != OURS)
            about = f"{engine}, ours / {title}"
            yield Bar(name=f"publish to delivery p50, {about}", values=_each(ours.p50_us, bare.p50_us), most=MOST)
            yield Bar(name=f"publish to delivery p99, {about}", values=_each(ours.p99_us, bare.p99_us))

    def _throughput_bars(self) -> Iterator[Bar]:
        for rooms, by_title in self.ratios.items():
            for title, ratios in by_title.items():
                yield Bar(name=f"messages/s in {_rooms(rooms)}, ours / {title}", values=ratios, above=1)

    def text(self) -> str:
        latency = [
            (engine, title, f"{median(one.p50_us):.0f}", f"{median(one.p99_us):.0f}", str(one.lost))
            for engine, by_title in self.latency.items()
            for title, one in by_title.items()
        ]
        throughput = [
            (
                *(_rooms(rooms), title, f"{median(one.per_second):,.0f}", f"{max(one.per_second):,.0f}"),
                *(f"{one.sent:,}", f"{one.lost:,}", f"{one.doubled:,}"),
            )
            for rooms, by_title in self.throughput.items()
            for title, one in by_title.items()
        ]
        tables = [
            table(
                "Brokers: microseconds from publish to delivery in another process; medians of the runs",
                ("engine", "contestant", "p50 us", "p99 us", "lost"),
                latency,
            ),
            table(
                "Brokers: messages delivered per second on one Redis; medians of the runs",
                ("rooms", "contestant", "messages/s", "best", "sent", "lost", "doubled"),
                throughput,
            ),
        ]
        if self.skipped:
            tables.append(table("Brokers: skipped", ("who", "why"), self.skipped))
        return "\n".join(tables)

    def record(self) -> dict[str, Any]:
        return {
            "latency": {
                engine: {title: vars(one) for title, one in by_title.items()}
                for engine, by_title in self.latency.items()
            },
            "throughput": {
                str(rooms): {title: vars(one) for title, one in by_title.items()}
                for rooms, by_title in self.throughput.items()
            },
            "skipped": [{"who": who, "why": why} for who, why in self.skipped],
        }


def _each(ours: list[float], theirs: list[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def _rooms(number: int) -> str:
    return "1 room" if number == 1 else f"{number:,} rooms"
