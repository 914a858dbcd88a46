"""Figures with their spread, as tables and as JSON."""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

PACKAGES = (
    "fastapi-rooms",
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "hypercorn",
    "granian",
    "websockets",
    "redis",
    "nats-py",
    "asyncpg",
    "channels-redis",
    "uvloop",
    "orjson",
    "python-socketio",
    "litestar",
    "broadcaster",
    "fastapi-websocket-pubsub",
    "picows",
    "socketify",
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One figure that is promised, as it came out pair by pair.

    Attributes:
        name: What was compared with what.
        values: The figure of each pair; the median counts.
        least: It must be at least this; `None`: no such bar.
        most: It must be at most this; `None`: no such bar.
        above: It must be more than this; `None`: no such bar.
        below: It must be less than this; `None`: no such bar.
        unit: "" for a ratio.
    """

    name: str
    values: Sequence[float]
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    unit: str = ""

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def met(self) -> bool:
        return (
            (self.least is None or self.value >= self.least)
            and (self.most is None or self.value <= self.most)
            and (self.above is None or self.value > self.above)
            and (self.below is None or self.value < self.below)
        )

    @property
    def limit(self) -> str:
        signs = (("<=", self.most), (">=", self.least), ("<", self.below), (">", self.above))
        return ", ".join(f"{sign} {value:g}" for sign, value in signs if value is not None)

    def row(self) -> tuple[str, ...]:
        low, high = middle_half(self.values)
        verdict = ("met" if self.met else "MISSED") if self.limit else ""
        value = f"{self.value:.2f} {self.unit}".strip()
        whole = f"{min(self.values):.2f} to {max(self.values):.2f}"
        return self.name, value, f"{low:.2f} to {high:.2f}", whole, str(len(self.values)), self.limit, verdict

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.value, "met": self.met}


def middle_half(values: Iterable[float]) -> tuple[float, float]:
    """The least and the greatest of the values that are left without the lower and the upper quarter."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return ordered[quarter], ordered[-1 - quarter]


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join(("", title, "", text[0].rstrip(), rule, *(line.rstrip() for line in text[1:])))


def bars_table(bars: Iterable[Bar]) -> str:
    head = ("figure", "median", "middle half", "all", "pairs", "bar", "")
    return table("Bars", head, (bar.row() for bar in bars))


def environment() -> dict[str, Any]:
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def save(results: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path
