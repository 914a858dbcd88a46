"""What came out of the benchmark of presence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.report import Bar, table

MOST: Final = 1.5

JOIN: Final = "join"
LEAVE: Final = "leave"
BOTH: Final = "join and leave, until all were told"
"""CPU of the process: what is done later is in it."""

SNAPSHOT: Final = "snapshot"
BOUNDED: Final = (JOIN, LEAVE, BOTH)

ONE_JOIN: Final = "one join"
FIRST_JOIN: Final = "the first join in a process"


@dataclass
class Kind:
    """One kind of room: for each number of present users the microseconds of each operation, batch by batch.

    Attributes:
        title: As in tables.
        bounded: Whether it is promised that numbers do not matter.
        costs: What was measured.
    """

    title: str
    bounded: bool = True
    costs: dict[int, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, present: int, operation: str, microseconds: float) -> None:
        self.costs.setdefault(present, {}).setdefault(operation, []).append(microseconds)

    def bars(self) -> list[Bar]:
        few, many = min(self.costs), max(self.costs)
        return [
            Bar(
                name=f"{operation}, {self.title}, {many:,} present / {few:,}",
                values=each(self.costs[many][operation], self.costs[few][operation]),
                most=MOST if self.bounded else None,
            )
            for operation in BOUNDED
        ]

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (self.title, operation, *(f"{median(costs[operation]):.1f}" for costs in self.costs.values()))
            for operation in self.costs[min(self.costs)]
        ]


@dataclass
class Presences:
    """Everything that was measured.

    Attributes:
        kinds: What joins cost.
        published: For each number of present users, and for each kind of join, the bytes that all processes
            published until everybody knew.
    """

    kinds: list[Kind] = field(default_factory=list)
    published: dict[int, dict[str, list[int]]] = field(default_factory=dict)

    def add_bytes(self, present: int, kind: str, number: int) -> None:
        self.published.setdefault(present, {}).setdefault(kind, []).append(number)

    def bars(self) -> list[Bar]:
        few, many = min(self.published), max(self.published)
        ratios = each(self.published[many][ONE_JOIN], self.published[few][ONE_JOIN])
        name = f"bytes published for {ONE_JOIN}, {many:,} present / {few:,}"
        return [*(bar for kind in self.kinds for bar in kind.bars()), Bar(name=name, values=ratios, most=MOST)]

    def text(self) -> str:
        sizes = tuple(f"{present:,} present" for present in self.kinds[0].costs)
        rows = [row for kind in self.kinds for row in kind.rows()]
        title = "Presence: microseconds for one operation, by users present in the room; medians"
        published = [
            (f"{present:,}", kind, f"{median(numbers):,.0f}", f"{min(numbers):,}", f"{max(numbers):,}")
            for present, by_kind in self.published.items()
            for kind, numbers in by_kind.items()
        ]
        head = ("present", "what", "bytes", "least", "most")
        return "\n".join(
            (
                table(title, ("room", "operation", *sizes), rows),
                table("Presence: bytes that two processes publish until both know; medians", head, published),
            )
        )

    def record(self) -> dict[str, Any]:
        return {"kinds": {kind.title: kind.costs for kind in self.kinds}, "published_bytes": self.published}


def each(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """The ratio of each pair."""
    return [one / other for one, other in zip(ones, others, strict=True)]
