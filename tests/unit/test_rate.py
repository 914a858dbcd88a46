import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.options import RateLimit
from fastapi_rooms.rate import RateGate, TokenBucket

ROUNDING = 1e-6


@given(
    rate=st.floats(0.01, 1000),
    burst=st.floats(1, 1000),
    calls=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 50)), max_size=60),
)
def test_no_span_lets_more_through_than_burst_plus_rate_times_its_length(
    rate: float, burst: float, calls: list[tuple[float, float]]
) -> None:
    now = 100.0
    bucket = TokenBucket(rate=rate, burst=burst, now=now)
    passed: list[tuple[float, float]] = []
    for wait, amount in calls:
        now += wait
        if bucket.take(amount, now=now):
            passed.append((now, amount))
    for first in range(len(passed)):
        total = 0.0
        for moment, amount in passed[first:]:
            total += amount
            assert total <= burst + rate * (moment - passed[first][0]) + ROUNDING * max(1.0, total)


@given(rate=st.floats(1, 1000), burst=st.integers(1, 50))
def test_a_burst_passes_at_once_and_one_more_does_not(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate=rate, burst=burst, now=0.0)
    assert all(bucket.take(1, now=0.0) for _ in range(burst))
    assert not bucket.take(1, now=0.0)
    assert bucket.take(1, now=1.001 / rate)


def test_a_refused_message_takes_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=5, now=0.0)
    assert not bucket.take(6, now=0.0)
    assert bucket.take(5, now=0.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=10.0)
    assert bucket.take(1, now=10.0)
    assert not bucket.take(1, now=0.0)
    assert not bucket.take(1, now=10.5)
    assert bucket.take(1, now=11.0)


def test_a_gate_counts_messages() -> None:
    gate = RateGate(RateLimit(rate=1, burst=2), now=0.0)
    assert [gate.admit(10**9, now=0.0) for _ in range(3)] == [True, True, False]


def test_a_gate_counts_bytes() -> None:
    gate = RateGate(RateLimit(rate=None, bytes_rate=10, bytes_burst=20), now=0.0)
    assert [gate.admit(15, now=0.0), gate.admit(6, now=0.0), gate.admit(5, now=0.0)] == [True, False, True]


@pytest.mark.parametrize(("bytes_rate", "burst"), [(10.0, 65_536), (100_000.0, 100_000)])
def test_the_burst_in_bytes_is_at_least_64_kib(bytes_rate: float, burst: int) -> None:
    gate = RateGate(RateLimit(rate=None, bytes_rate=bytes_rate), now=0.0)
    assert not gate.admit(burst + 1, now=0.0)
    assert gate.admit(burst, now=0.0)
