"""`python -m benchmarks`: run everything, print the figures, keep them in `benchmarks/results/`."""

import argparse
import fcntl
import sys
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from benchmarks import (
    brokers,
    connect,
    fanout,
    history,
    hub,
    idle,
    payload,
    presence,
    recovery,
    rooms,
    send_queue,
    sse,
    stall,
    steps,
)
from benchmarks.machine import RESULTS
from benchmarks.report import Bar, bars_table, environment, save

REDRAW = "`python -m benchmarks plots FILE` draws the figures of an earlier run."


class Result(Protocol):
    """What a benchmark gives back."""

    def bars(self) -> list[Bar]:
        """The figures that are promised."""
        ...

    def record(self) -> dict[str, Any]:
        """Everything that was measured, for the JSON file."""
        ...

    def text(self) -> str:
        """Tables for people."""
        ...


class Benchmark(Protocol):
    """What a module is that measures something."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """What it is called on the command line, and in the JSON file."""
        ...

    def add_arguments(self, parser: argparse.ArgumentParser, /) -> None:
        """Its own options; `--quick`, `--full` and `--pairs` are there already."""
        ...

    def plan(self, arguments: argparse.Namespace, /) -> Any:
        """How much to run; `ValueError` where the command line asks for what there is not.

        `arguments.full` says whether all cells, and `arguments.pairs`, if not `None`, how often.
        """
        ...

    def run(self, plan: Any, /) -> Result:
        """Measure."""
        ...


BENCHMARKS: tuple[Benchmark, ...] = (
    payload,
    send_queue,
    rooms,
    brokers,
    history,
    presence,
    recovery,
    idle,
    connect,
    steps,
    stall,
    sse,
    hub,
    fanout,
)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=REDRAW)
    names = ", ".join(one.NAME for one in BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {names}; default: all")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="the cells that matter, in 15 minutes (default)")
    amount.add_argument("--full", action="store_true", help="every cell")
    parser.add_argument("--pairs", type=int, metavar="N", help="how often each pair is measured")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the figures into this folder at the end")
    for one in BENCHMARKS:
        one.add_arguments(parser)
    return parser


def _choose(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> list[tuple[Benchmark, Any]]:
    """The benchmarks that the command line asks for, with their plans."""
    if unknown := set(arguments.names) - {one.NAME for one in BENCHMARKS}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if arguments.pairs is not None and arguments.pairs < 1:
        parser.error("--pairs: at least 1")
    chosen = [one for one in BENCHMARKS if not arguments.names or one.NAME in arguments.names]
    try:
        return [(one, one.plan(arguments)) for one in chosen]
    except ValueError as error:
        parser.error(str(error))


def _measure(chosen: list[tuple[Benchmark, Any]]) -> tuple[dict[str, Any], list[Bar], list[str]]:
    """Run one after another, and tell the names of those that failed: the others still count."""
    records: dict[str, Any] = {}
    bars: list[Bar] = []
    failed: list[str] = []
    for one, plan in chosen:
        print(f"{one.NAME} ...", file=sys.stderr, flush=True)
        start = time.monotonic()
        try:
            result = one.run(plan)
            print(result.text(), flush=True)
            records[one.NAME] = result.record()
            bars += result.bars()
        except Exception:
            traceback.print_exc()
            failed.append(one.NAME)
        print(f"{one.NAME}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return records, bars, failed


def _plots() -> Any:
    try:
        return import_module("benchmarks.plots")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise SystemExit("plots need matplotlib: pip install 'fastapi-rooms[bench]'") from error


def main() -> int:
    """Exit status 1 where a bar is missed, or a benchmark failed."""
    if sys.argv[1:2] == ["plots"]:
        return int(_plots().main(sys.argv[2:]))
    parser = _parser()
    arguments = parser.parse_args()
    chosen = _choose(parser, arguments)
    plots = None if arguments.plots is None else _plots()  # what is missing is better known now than at the end
    with _alone():
        before = environment()
        records, bars, failed = _measure(chosen)
        after = environment()
    about = {"full": arguments.full, "before": before, "after": after, "failed": failed}
    results = {**about, "bars": [bar.record() for bar in bars], **records}
    path = save(results, RESULTS)
    if bars:
        print(bars_table(bars))
    print(f"\nwritten: {path.relative_to(RESULTS.parent.parent)}")
    if plots is not None:
        plots.draw(path, arguments.plots)
    if failed:
        print(f"failed, see above: {', '.join(failed)}", file=sys.stderr)
    return 0 if all(bar.met for bar in bars) and not failed else 1


if __name__ == "__main__":
    raise SystemExit(main())
