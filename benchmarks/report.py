"""Ratios with their spread, as a table and as JSON."""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

PACKAGES = ("fastapi-rooms", "fastapi", "starlette", "uvicorn", "websockets", "uvloop")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One figure that is promised, as it came out pair by pair.

    Attributes:
        name: What was compared with what.
        values: The figure of each pair; the median counts.
        least: It must be at least this; `None`: no such bar.
        most: It must be at most this; `None`: no such bar.
        unit: "" for a ratio.
    """

    name: str
    values: Sequence[float]
    least: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def met(self) -> bool:
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def limit(self) -> str:
        if self.least is not None:
            return f">= {self.least:g}"
        return "" if self.most is None else f"<= {self.most:g}"

    def row(self) -> tuple[str, ...]:
        ordered = sorted(self.values)
        quarter = len(ordered) // 4
        half = f"{ordered[quarter]:.2f} to {ordered[-1 - quarter]:.2f}"
        whole = f"{ordered[0]:.2f} to {ordered[-1]:.2f}"
        verdict = ("met" if self.met else "MISSED") if self.limit else ""
        value = f"{self.value:.2f} {self.unit}".strip()
        return self.name, value, half, whole, str(len(ordered)), self.limit, verdict

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "median": self.value, "met": self.met}


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
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "packages": {name: version(name) for name in PACKAGES},
    }


def save(results: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path
