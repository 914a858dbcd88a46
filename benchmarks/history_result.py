"""What came out of the benchmark of histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, Final

from benchmarks.redis_counts import Counts
from benchmarks.report import Bar, table

MOST: Final = 1.5
BARE: Final = "redis-py, XADD"
OURS: Final = "broadcast with history"
OURS_ATTENDED: Final = "the same, a member here"
OURS_PLAIN: Final = "broadcast without history"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Some messages, sent in one way.

    Attributes:
        per_second: Of them.
        requests: That came to the engine, for each message.
        calls: Commands that the engine ran, for each message.
        took_us: Microseconds that the caller waited for each, where that was noted.
    """

    per_second: float
    requests: float
    calls: Mapping[str, float]
    took_us: Sequence[float] = ()

    @classmethod
    def of(cls, messages: int, seconds: float, counts: Counts, took_us: Sequence[float] = ()) -> "Run":
        return cls(
            per_second=messages / seconds,
            requests=counts.requests / messages,
            calls={name: number / messages for name, number in counts.calls.items()},
            took_us=took_us,
        )


@dataclass
class Way:
    """One way of sending, round by round: one message after the other, and many callers at once ("together")."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    calls: dict[str, float] = field(default_factory=dict)
    per_second_together: list[float] = field(default_factory=list)
    requests_together: list[float] = field(default_factory=list)

    def add(self, alone: Run, together: Run) -> None:
        self.p50_us.append(median(alone.took_us))
        self.p99_us.append(quantiles(alone.took_us, n=100)[-1])
        self.requests.append(alone.requests)
        self.calls = dict(alone.calls)
        self.per_second_together.append(together.per_second)
        self.requests_together.append(together.requests)


@dataclass
class Cost:
    """What a broadcast costs, by way."""

    ways: dict[str, Way] = field(default_factory=dict)

    def add(self, title: str, alone: Run, together: Run) -> None:
        self.ways.setdefault(title, Way()).add(alone, together)

    def bars(self) -> list[Bar]:
        if not self.ways:
            return []
        ours, bare, attended = self.ways[OURS], self.ways[BARE], self.ways[OURS_ATTENDED]
        p50, p99, rates = "broadcast with history p50", "broadcast with history p99", "broadcasts/s, 32 callers"
        return [
            Bar(name="requests for one broadcast with history", values=ours.requests, most=1),
            Bar(name=f"{p50}, ours / XADD", values=_each(ours.p50_us, bare.p50_us), most=MOST),
            Bar(name=f"{p99}, ours / XADD", values=_each(ours.p99_us, bare.p99_us)),
            Bar(name=f"{p50}, a member here, ours / XADD", values=_each(attended.p50_us, bare.p50_us)),
            Bar(name=f"{p99}, a member here, ours / XADD", values=_each(attended.p99_us, bare.p99_us)),
            Bar(
                name=f"{rates}, ours / XADD",
                values=_each(ours.per_second_together, bare.per_second_together),
            ),
        ]

    def text(self) -> str:
        rows = [
            (
                *(title, f"{median(one.p50_us):.0f}", f"{median(one.p99_us):.0f}", f"{median(one.requests):.3f}"),
                *(f"{median(one.per_second_together):,.0f}", f"{median(one.requests_together):.3f}"),
            )
            for title, one in self.ways.items()
        ]
        head = ("way", "p50 us", "p99 us", "requests each", "messages/s, 32 callers", "requests each")
        return table("History: until the engine has a message of 128 bytes; medians of the rounds", head, rows)


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """Everybody came back at once.

    Attributes:
        rooms: That were read.
        seconds: Until the last one had what was missed.
        messages: Sent to all of them.
        counts: What the engine did meanwhile.
    """

    rooms: int
    seconds: float
    messages: int
    counts: Counts

    @property
    def reads(self) -> float:
        """How often the engine looked up messages of a room's stream."""
        return self.counts.calls.get("xrevrange", 0) / self.rooms

    @property
    def asked(self) -> float:
        """How often it was asked about a room: where it is, and what it keeps."""
        return self.counts.calls.get("evalsha", 0) / self.rooms


@dataclass
class Resume:
    """Those who came back, run by run."""

    clients: int
    missed: int
    runs: list[Resumption] = field(default_factory=list)

    def bars(self) -> list[Bar]:
        if not self.runs:
            return []
        name = f"reads of a room's history, {self.clients:,} clients back at once in {self.runs[0].rooms} rooms"
        return [Bar(name=name, values=[one.reads for one in self.runs], most=1)]

    def text(self) -> str:
        rows = [
            (
                *(f"{one.seconds * 1e3:.0f}", f"{one.messages:,}", f"{one.messages / one.seconds:,.0f}"),
                *(f"{one.reads:g}", f"{one.asked:g}"),
            )
            for one in self.runs
        ]
        head = ("ms for all", "messages sent", "messages/s", "reads per room", "questions per room")
        return table(f"History: {self.clients:,} clients back at once, {self.missed} missed by each", head, rows)


@dataclass
class Histories:
    """Everything that was measured."""

    cost: Cost
    resume: Resume
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def bars(self) -> list[Bar]:
        return [*self.cost.bars(), *self.resume.bars()]

    def text(self) -> str:
        tables = [self.cost.text(), self.resume.text()]
        if self.skipped:
            tables.append(table("History: skipped", ("what", "why"), self.skipped))
        return "\n".join(tables)

    def record(self) -> dict[str, Any]:
        runs = [
            {"seconds": one.seconds, "messages": one.messages, "rooms": one.rooms, "calls": one.counts.calls}
            for one in self.resume.runs
        ]
        return {
            "cost": {title: vars(one) for title, one in self.cost.ways.items()},
            "resume": {"clients": self.resume.clients, "missed": self.resume.missed, "runs": runs},
            "skipped": [{"what": what, "why": why} for what, why in self.skipped],
        }


def _each(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]
