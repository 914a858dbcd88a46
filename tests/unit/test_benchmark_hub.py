"""What the benchmarks of the hub and of event streams compare, and what they promise."""

import argparse

import pytest
from benchmarks import hub, sse
from benchmarks.cells import Cell, parse_cell
from benchmarks.contestants import CONTESTANTS
from benchmarks.fanout_result import Compared, Pair
from benchmarks.load import Figures
from benchmarks.speech import HUB, HUB_STREAMS
from benchmarks.stall_result import Run, Stall

CELL = parse_cell("1000x128xW32")


def figures(per_second: float = 1.0, p99_ms: float = 1.0) -> Figures:
    return Figures(
        broadcasts=1,
        deliveries=1,
        per_second=per_second,
        cpu_us=1.0,
        p50_ms=1.0,
        p99_ms=p99_ms,
        most_ms=p99_ms,
        client="c",
    )


def arguments(*, full: bool = False, pairs: int | None = None) -> argparse.Namespace:
    return argparse.Namespace(full=full, pairs=pairs, seconds=0.3)


def met(cell: Cell, subject: str, reference: str, ratio: float) -> Compared:
    result = Compared(title="Some", least=hub.LEAST)
    result.meet(cell, Pair(subject, reference, figures(ratio), figures(1.0)))
    return result


@pytest.mark.parametrize(
    ("subject", "reference", "least"), [("hub-shared", "manager-shared", 0.9), ("hub", "socketio", 3.0)]
)
def test_a_pair_has_its_own_bar(subject: str, reference: str, least: float) -> None:
    (bar,) = met(CELL, subject, reference, least).bars()

    assert (bar.name, bar.limit) == (f"deliveries/s, {subject} / {reference}, {CELL}", f">= {least:g}")
    assert bar.met
    assert not met(CELL, subject, reference, least - 0.01).bars()[0].met


def test_where_nothing_is_promised_there_is_no_bar() -> None:
    assert not met(parse_cell("1000x128xW1"), "hub", "socketio", 0.1).bars()
    assert "Some: ratios" in met(CELL, "hub", "socketio", 4.0).text()


@pytest.mark.parametrize("full", [False, True])
def test_all_that_has_a_bar_is_run_and_everyone_is_a_contestant(full: bool) -> None:
    plans = [*hub.plan(arguments(full=full)).fanouts, sse.plan(arguments(full=full)).fanout]
    run = {
        (*pair, str(cell))
        for plan in plans
        for cell, names in plan.contestants.items()
        for pair in plan.meetings(names)
    }

    assert {*hub.LEAST, *sse.LEAST} <= run
    assert {name for *names, _ in run for name in names} <= set(CONTESTANTS)


def test_who_is_alone_meets_nobody() -> None:
    (plan, _) = hub.plan(arguments(pairs=2)).fanouts

    assert plan.pairs == 2
    assert plan.meetings(["hub-shared"]) == []


def test_one_stalled_stream_has_bars_for_the_others_for_memory_and_for_its_end() -> None:
    stall = Stall(connections=1000)
    stall.add(sse.OURS, 0, 0, Run(figures(p99_ms=10.0), peak_mb=1.0, end_mb=1.0, closed=0))
    stall.add(sse.OURS, 1, 0, Run(figures(p99_ms=11.0), peak_mb=2.5, end_mb=1.0, closed=1))
    stall.add(sse.PEER, 1, None, Run(figures(), peak_mb=9.0, end_mb=9.0, closed=0))
    bars = sse.Streams(fanout=Compared(), stall=stall).bars()

    assert [(round(bar.value, 6), bar.limit, bar.met) for bar in bars] == [
        (1.1, "<= 1.2", True),
        (1.5, "<= 2", True),
        (1.0, "<= 1, >= 1", True),
    ]


def test_a_stalled_stream_that_stays_misses_its_bar() -> None:
    stall = Stall(connections=1000)
    for stalled in (0, 1):
        stall.add(sse.OURS, stalled, 0, Run(figures(), peak_mb=1.0, end_mb=1.0, closed=0))

    assert not sse.Streams(fanout=Compared(), stall=stall).bars()[-1].met


def test_the_hubs_words_are_options_of_the_client() -> None:
    assert "--joined" in HUB.options()
    assert "--stream" not in HUB.options()

    options = HUB_STREAMS.options()
    at = options.index("--stream")
    greeting = ["--greeting", '{"type":"connected",', "--greeting", '{"type":"joined",']
    assert options[at : at + 6] == ["--stream", "/live/sse?room=general", *greeting]
