"""Where a delivery's time goes, step by step: the profile of a broadcast."""

import argparse
import json
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import sampler
from benchmarks.contestants import CONTESTANTS
from benchmarks.load import Crowd, clients
from benchmarks.machine import RESULTS
from benchmarks.report import Bar, table
from benchmarks.server import Server, serving

NAME = "steps"
CONTESTING = ("tutorial", "rooms", "rooms-shared")
OUTSTANDING = (1, 4, 32)
ANSWER_SECONDS = 10.0
NOT_A_BROADCAST_S_SHARE = 0.005
"""Steps below it are added to the rest: they are samples that fell beside what was meant."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run."""

    seconds: float = 2.0


@dataclass
class Steps:
    """What came out.

    Attributes:
        microseconds: CPU for one delivery, by server, broadcasts outstanding and step.
    """

    microseconds: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)

    def bars(self) -> list[Bar]:
        return []

    def text(self) -> str:
        rows = [
            (CONTESTANTS[name].title, str(outstanding), step, f"{cost:.2f}")
            for name, cells in self.microseconds.items()
            for outstanding, steps in cells.items()
            for step, cost in sorted(steps.items(), key=lambda item: -item[1])
        ]
        return table("Steps: the server's CPU for one delivery", ("server", "W", "step", "us"), rows)

    def record(self) -> dict[str, Any]:
        return {
            "titles": {name: CONTESTANTS[name].title for name in self.microseconds},
            "microseconds": self.microseconds,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    return Plan(seconds=5.0 if arguments.full else 2.0)


def run(plan: Plan) -> Steps:
    result = Steps()
    for name in CONTESTING:
        with _sampled(name) as (server, samples), clients(server, Crowd()) as crowd:
            crowd.closed(outstanding=1, size=128, warm_up=0.2, seconds=0.3)
            for outstanding in OUTSTANDING:
                _signal(server, signal.SIGUSR1)
                figures = crowd.closed(outstanding=outstanding, size=128, warm_up=0.0, seconds=plan.seconds)
                steps = _shares(_read(server, samples))
                costs = {step: share * figures.cpu_us for step, share in steps.items()}
                result.microseconds.setdefault(name, {})[outstanding] = costs
    return result


@contextmanager
def _sampled(name: str) -> Generator[tuple[Server, Path]]:
    samples = RESULTS / f"{name}.samples"
    os.environ[sampler.VARIABLE] = str(samples)
    try:
        with serving(name) as server:
            yield server, samples
    finally:
        del os.environ[sampler.VARIABLE]
        samples.unlink(missing_ok=True)


def _signal(server: Server, number: int) -> None:
    server.processes[0].send_signal(number)
    time.sleep(0.05)


def _read(server: Server, samples: Path) -> dict[str, int]:
    samples.unlink(missing_ok=True)
    _signal(server, signal.SIGUSR2)
    deadline = time.monotonic() + ANSWER_SECONDS
    while not samples.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.name}: it does not write its samples")
        time.sleep(0.05)
    counts: dict[str, int] = json.loads(samples.read_text())
    return counts


def _shares(counts: dict[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    shares = {step: number / total for step, number in counts.items()}
    kept = {step: share for step, share in shares.items() if share >= NOT_A_BROADCAST_S_SHARE}
    kept[sampler.READ] = kept.get(sampler.READ, 0.0) + sum(shares.values()) - sum(kept.values())
    return kept
