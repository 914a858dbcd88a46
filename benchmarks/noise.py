"""Nanoseconds of small operations, with the noise of the machine beside them.

Each figure is taken many times, and before each time a loop of fixed length runs. It does the same work every
time: where it takes longer, something else had the machine, and the figures next to it are too high as well.
"""

import argparse
import timeit
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.report import Bar, middle_half, table

REPEAT_SECONDS = 0.008
QUICK_REPEATS = 25
FULL_REPEATS = 100
_LOOP_PASSES = 100_000


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Something to be timed.

    Attributes:
        name: What the table calls it.
        statement: Python, as `timeit` takes it: no call of ours stands around it.
        names: What the statement knows.
        per: Operations in one statement.
    """

    name: str
    statement: str
    names: Mapping[str, object]
    per: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        repeats: Times that each figure is taken.
    """

    repeats: int = QUICK_REPEATS


def plan(arguments: argparse.Namespace) -> Plan:
    return Plan(repeats=FULL_REPEATS if arguments.full else QUICK_REPEATS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of their own."""


@dataclass
class Noisy:
    """What came out: for each operation its nanoseconds, and those of one pass of the loop just before."""

    title: str
    nanoseconds: dict[str, list[float]] = field(default_factory=dict)
    loop: dict[str, list[float]] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        return []  # nanoseconds are a machine's own: nothing is promised of them

    def text(self) -> str:
        passes = [one for passes in self.loop.values() for one in passes]
        low, high = middle_half(passes)
        quiet = min(passes)
        machine = f"the fixed loop: {quiet:.1f} ns a pass at best, {median(passes):.1f} ({low:.1f} to {high:.1f})"
        head = ("operation", "best", "median", "middle half", "repeats", "loop meanwhile")
        rows = [_row(name, times, self.loop[name], quiet) for name, times in self.nanoseconds.items()]
        return table(f"{self.title}: nanoseconds; {machine}", head, rows)

    def record(self) -> dict[str, Any]:
        return {"nanoseconds": self.nanoseconds, "loop_nanoseconds": self.loop}


def measure(title: str, operations: Sequence[Operation], repeats: int) -> Noisy:
    """Time all operations by turns, `repeats` times, the fixed loop before each."""
    result = Noisy(title)
    timers = [(one, timeit.Timer(one.statement, globals=dict(one.names))) for one in operations]
    numbers = [_number(timer) for _, timer in timers]
    for _ in range(repeats):
        for (one, timer), number in zip(timers, numbers, strict=True):
            result.loop.setdefault(one.name, []).append(_loop_nanoseconds())
            each = timer.timeit(number) / number / one.per * 1e9
            result.nanoseconds.setdefault(one.name, []).append(each)
    return result


def _number(timer: timeit.Timer) -> int:
    """How often to run it in one repeat."""
    number = 1
    while (took := timer.timeit(number)) < REPEAT_SECONDS / 10:
        number *= 4
    return max(1, round(number * REPEAT_SECONDS / took))


def _loop_nanoseconds() -> float:
    start = timeit.default_timer()
    state = 1
    for number in range(_LOOP_PASSES):
        state = (state * 75 + number) & 0xFFFF
    return (timeit.default_timer() - start) / _LOOP_PASSES * 1e9


def _row(name: str, times: list[float], passes: list[float], quiet: float) -> tuple[str, ...]:
    low, high = middle_half(times)
    figures = (min(times), median(times), low, high)
    best, middle, low_text, high_text = (f"{figure:,.0f}" for figure in figures)
    busy = f"{median(passes) / quiet:.2f}"
    return name, best, middle, f"{low_text} to {high_text}", str(len(times)), busy
