"""`python -m benchmarks`: run everything, print the ratios, keep the figures in `benchmarks/results/`."""

import argparse
import fcntl
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

from benchmarks import fanout, idle, memberships
from benchmarks.load import RESULTS, Load
from benchmarks.report import Bar, bars_table, environment, save


class Result(Protocol):
    """What a benchmark gives back."""

    def bars(self) -> list[Bar]:
        """The figures that are promised."""
        ...

    def record(self) -> dict[str, Any]:
        """Everything that was measured, for the JSON file."""
        ...


@contextmanager
def _alone() -> Generator[None]:
    """One run at a time in this checkout: two would pin their servers to the same core, and measure each other."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run is going on: waiting for its end ...", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(name: str, arguments: argparse.Namespace) -> Result:
    if name == "memberships":
        return memberships.run(memberships.Plan())
    if name == "idle":
        return idle.run(idle.Plan(rounds=arguments.rounds))
    load = Load(connections=arguments.connections, seconds=arguments.seconds)
    result = fanout.run(fanout.Plan(rounds=arguments.rounds, pairs=arguments.pairs, load=load))
    print(result.text())
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ("memberships", "idle", "fanout")
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(names)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="times that servers are started afresh (3)")
    parser.add_argument("--pairs", type=int, default=5, help="fan-out: runs of each by turns, per round and W (5)")
    parser.add_argument("--seconds", type=float, default=0.8, help="fan-out: seconds measured in each run (0.8)")
    parser.add_argument("--connections", type=int, default=1000, help="fan-out: who gets each broadcast (1000)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    arguments.names = arguments.names or list(names)
    return arguments


def main() -> int:
    """Exit status 1 where a bar is missed."""
    arguments = _arguments()
    results: dict[str, Any] = {}
    bars: list[Bar] = []
    with _alone():
        start = environment()
        for name in arguments.names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            result = _run(name, arguments)
            results[name] = result.record()
            bars += result.bars()
    print(bars_table(bars))
    record = {"before": start, "after": environment(), "bars": [bar.record() for bar in bars], **results}
    print(f"\nwritten: {save(record, RESULTS).relative_to(RESULTS.parent.parent)}")
    return 0 if all(bar.met for bar in bars) else 1


if __name__ == "__main__":
    raise SystemExit(main())
