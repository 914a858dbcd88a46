"""Whether a figure of the benchmarks keeps its promise, and how its spread is told."""

import pytest
from benchmarks.report import Bar, bars_table, middle_half


def test_the_median_of_the_pairs_decides() -> None:
    assert Bar(name="ratio", values=[0.1, 1.2, 9.0], least=1.1).met
    assert not Bar(name="ratio", values=[0.1, 1.0, 9.0], least=1.1).met


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar(name="at least", values=[1.0], least=1.0), True),
        (Bar(name="at most", values=[1.0], most=1.0), True),
        (Bar(name="above", values=[1.0], above=1.0), False),
        (Bar(name="below", values=[1.0], below=1.0), False),
        (Bar(name="no bar", values=[1.0]), True),
    ],
    ids=lambda one: one.name if isinstance(one, Bar) else str(one),
)
def test_a_figure_right_on_its_bar_meets_it_unless_the_bar_is_strict(bar: Bar, met: bool) -> None:
    assert bar.met is met


def test_a_bar_has_to_hold_on_both_sides() -> None:
    values = [1.0, 2.0, 3.0]
    assert Bar(name="between", values=values, least=1.5, most=2.5).met
    assert not Bar(name="between", values=values, least=1.5, most=1.9).met


def test_the_middle_half_leaves_out_a_quarter_at_either_end() -> None:
    assert middle_half([8, 1, 7, 2, 6, 3, 5, 4]) == (3, 6)


@pytest.mark.parametrize("values", [[4.0], [4.0, 6.0], [4.0, 5.0, 6.0]])
def test_the_middle_half_of_few_values_is_all_of_them(values: list[float]) -> None:
    assert middle_half(values) == (values[0], values[-1])


def test_the_table_names_the_bar_and_says_whether_it_was_met() -> None:
    missed = Bar(name="memory", values=[4.5], most=4.0, unit="KB")
    met = Bar(name="ratio", values=[0.5], below=1.0)
    lines = [line.split() for line in bars_table([missed, met]).splitlines()]
    assert (lines[-2][:3], lines[-2][-3:]) == (["memory", "4.50", "KB"], ["<=", "4", "MISSED"])
    assert (lines[-1][:2], lines[-1][-3:]) == (["ratio", "0.50"], ["<", "1", "met"])


def test_a_figure_without_a_bar_is_neither_met_nor_missed() -> None:
    assert bars_table([Bar(name="ratio", values=[1.0])]).endswith("1")
