"""What the benchmark of histories makes of the engine's own counts, and what it compares."""

import pytest
from benchmarks.history_result import BARE, OURS, OURS_ATTENDED, OURS_PLAIN, Cost, Resume, Resumption, Run
from benchmarks.redis_counts import Counts, counts_of
from benchmarks.report import Bar


def test_the_counts_are_those_of_the_sockets_and_of_each_command() -> None:
    info = {
        "redis_version": "7.0.15",
        "total_reads_processed": 12,
        "cmdstat_xadd": {"calls": 3, "usec": 9},
        "cmdstat_config|get": {"calls": 1, "usec": 2},
    }

    assert counts_of(info) == Counts(requests=12, calls={"xadd": 3, "config|get": 1})


def test_between_two_looks_the_second_look_is_left_out() -> None:
    before = Counts(requests=10, calls={"info": 1, "xadd": 3, "publish": 7})
    after = Counts(requests=16, calls={"info": 2, "xadd": 8, "publish": 7, "evalsha": 2})

    assert after.since(before) == Counts(requests=5, calls={"xadd": 5, "evalsha": 2})


def test_a_run_is_told_for_one_message() -> None:
    run = Run.of(4, 2.0, Counts(requests=2, calls={"xadd": 8}), took_us=[1.0, 2.0])

    assert run == Run(per_second=2.0, requests=0.5, calls={"xadd": 2.0}, took_us=[1.0, 2.0])


def test_each_round_of_ours_is_compared_with_the_bare_one_of_the_same_round() -> None:
    cost = Cost()
    for factor in (1.0, 10.0, 100.0):  # a machine that gets slower
        for title, microseconds in ((OURS, 30.0), (BARE, 20.0), (OURS_ATTENDED, 40.0), (OURS_PLAIN, 10.0)):
            cost.add(title, *_round(microseconds * factor))

    bars = {bar.name: bar for bar in cost.bars()}

    assert bars["broadcast with history p50, ours / XADD"].values == pytest.approx([1.5, 1.5, 1.5])
    assert bars["broadcasts/s, 32 callers, ours / XADD"].values == pytest.approx([20 / 30] * 3)
    assert _one(bars, "p50, a member here").values == pytest.approx([2.0, 2.0, 2.0])
    assert _one(bars, "requests for one broadcast").values == [1.0, 1.0, 1.0]
    assert "redis-py, XADD" in cost.text()


def test_nothing_is_promised_of_what_was_not_measured() -> None:
    assert Cost().bars() == []
    assert Resume(clients=4, missed=2).bars() == []


@pytest.mark.parametrize(("reads", "met"), [(10, True), (11, True), (30, False)])
def test_a_thousand_who_come_back_may_cost_each_room_one_read_in_the_median(reads: int, met: bool) -> None:
    resume = Resume(clients=1000, missed=50)
    for number in (10, reads, reads if reads > 11 else 10):
        calls = {"evalsha": 20, "xrevrange": number}
        resume.runs.append(
            Resumption(rooms=10, seconds=0.5, messages=50_000, counts=Counts(requests=40, calls=calls))
        )

    (bar,) = resume.bars()

    assert bar.met is met
    assert resume.runs[0].asked == 2
    assert "100,000" in resume.text()


def _round(microseconds: float) -> tuple[Run, Run]:
    alone = Run(per_second=1e6 / microseconds, requests=1.0, calls={}, took_us=[microseconds] * 100)
    return alone, Run(per_second=1e6 / microseconds, requests=0.1, calls={})


def _one(bars: dict[str, Bar], part: str) -> Bar:
    (found,) = (bar for name, bar in bars.items() if part in name)
    return found
