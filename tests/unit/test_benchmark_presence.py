"""What the benchmark of presence compares."""

import pytest
from benchmarks.presence_result import BOTH, FIRST_JOIN, JOIN, LEAVE, ONE_JOIN, Kind, Presences


def measured(title: str, *, bounded: bool = True) -> Kind:
    kind = Kind(title, bounded=bounded)
    for operation in (JOIN, LEAVE, BOTH):
        for few, many in ((10.0, 20.0), (100.0, 100.0), (1000.0, 3000.0)):
            kind.add(100, operation, few)
            kind.add(10_000, operation, many)
    return kind


def test_each_batch_among_many_is_compared_with_the_one_among_few() -> None:
    bars = measured("presence").bars()

    assert [bar.name for bar in bars] == [f"{one}, presence, 10,000 present / 100" for one in (JOIN, LEAVE, BOTH)]
    assert all(bar.values == pytest.approx([2.0, 1.0, 3.0]) for bar in bars)
    assert not any(bar.met for bar in bars)


def test_nothing_is_promised_where_it_is_shown_for_comparison_alone() -> None:
    assert all(bar.met for bar in measured("no presence", bounded=False).bars())


def test_the_bytes_of_a_join_among_many_are_compared_with_those_among_few() -> None:
    result = Presences(kinds=[measured("presence")])
    for few, many in ((100, 101), (100, 102), (100, 90)):
        result.add_bytes(10, ONE_JOIN, few)
        result.add_bytes(5_000, ONE_JOIN, many)
    result.add_bytes(5_000, FIRST_JOIN, 400_000)

    *_, bar = result.bars()

    assert bar.name == "bytes published for one join, 5,000 present / 10"
    assert bar.values == pytest.approx([1.01, 1.02, 0.9])
    assert bar.met
    assert "400,000" in result.text()
    assert set(result.record()) == {"kinds", "published_bytes"}
