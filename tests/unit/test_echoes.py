"""What this process has told, and what has become of it: one table, without a broker."""

import pytest

from fastapi_rooms.cluster.echoes import MOST, MOST_BYTES, Echoes


async def here() -> None:
    """Deliver nothing."""


def echoes_of(*numbers: int, size: int = 1) -> Echoes:
    """Each was taken by the engine."""
    echoes = Echoes()
    for number in numbers:
        echoes.expect(number, here)
        echoes.taken(number, size)
    return echoes


def test_what_comes_back_is_to_be_delivered_and_is_not_awaited_any_more() -> None:
    echoes = echoes_of(1)
    assert echoes.came(1)
    assert not echoes.awaits(1)
    assert echoes.oldest() is None


def test_what_was_delivered_without_the_broker_is_not_delivered_when_it_comes_back() -> None:
    echoes = echoes_of(1)
    echoes.deliver(1)
    assert echoes.was_delivered(1)
    assert not echoes.came(1)
    assert not echoes.was_delivered(1)


def test_what_comes_from_nowhere_is_to_be_delivered() -> None:
    assert Echoes().came(7)


def test_the_oldest_is_the_one_that_was_told_first_whatever_was_probed_since() -> None:
    echoes = echoes_of(5, 6)
    echoes.probed()
    echoes.expect(7, here)
    for number in (5, 6, 7):
        assert echoes.oldest() == (number, here)
        echoes.deliver(number)
    assert echoes.oldest() is None


def test_two_probes_after_it_was_taken_a_message_is_not_awaited() -> None:
    echoes = echoes_of(1)
    echoes.probed()
    assert echoes.awaits(1)
    echoes.probed()
    assert not echoes.awaits(1)


def test_what_the_engine_has_not_taken_yet_is_awaited_however_often_it_is_probed() -> None:
    echoes = Echoes()
    echoes.expect(1, here)
    for _ in range(3):
        echoes.probed()
    assert echoes.awaits(1)
    echoes.taken(1, 1)
    echoes.probed()
    assert not echoes.awaits(1)


@pytest.mark.parametrize(("size", "fit"), [(1, MOST), (MOST_BYTES // 4, 4)])
def test_what_does_not_fit_counts_as_back(size: int, fit: int) -> None:
    echoes = echoes_of(*range(fit + 1), size=size)
    assert echoes.awaits(fit - 1)
    assert not echoes.awaits(fit)
    echoes.came(0)
    echoes.expect(fit + 1, here)
    echoes.taken(fit + 1, size)
    assert echoes.awaits(fit + 1)


def test_space_is_given_back_however_a_message_ends() -> None:
    echoes = echoes_of(1, 2, 3, 4, size=MOST_BYTES // 4)
    echoes.came(1)
    echoes.deliver(2)
    echoes.forget(3)
    echoes.probed()
    echoes.probed()
    for number in (5, 6, 7, 8):
        echoes.expect(number, here)
        echoes.taken(number, MOST_BYTES // 4)
        assert echoes.awaits(number)


def test_the_table_of_what_was_delivered_does_not_grow_without_end() -> None:
    echoes = Echoes()
    for number in range(3 * MOST + 1):
        echoes.deliver(number)
    assert not echoes.was_delivered(0)
    assert echoes.was_delivered(1)
