import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.auth import MemoryTicketStore, TicketStore, TicketStoreFull
from fastapi_rooms.errors import ConfigurationError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_value_can_be_taken_once() -> None:
    store: TicketStore = MemoryTicketStore()
    await store.put("a", b"value", 30)
    assert await store.take("a") == b"value"
    assert await store.take("a") is None
    assert await store.take("b") is None


async def test_of_many_who_take_at_once_one_gets_the_value() -> None:
    store = MemoryTicketStore()
    await store.put("a", b"value", 30)
    taken = await asyncio.gather(*(store.take("a") for _ in range(100)))
    assert sorted(taken, key=bool)[-2:] == [None, b"value"]


async def test_a_value_is_gone_when_its_time_is_over() -> None:
    clock = Clock()
    store = MemoryTicketStore(clock=clock)
    await store.put("a", b"value", 30)
    clock.now += 30
    assert await store.take("a") is None
    assert len(store) == 0


async def test_a_full_store_refuses_until_tickets_expire_or_are_used() -> None:
    clock = Clock()
    store = MemoryTicketStore(max_tickets=2, clock=clock)
    await store.put("a", b"1", 30)
    await store.put("b", b"2", 60)
    with pytest.raises(TicketStoreFull) as refusal:
        await store.put("c", b"3", 30)
    assert refusal.value.status == 503
    clock.now += 30
    await store.put("c", b"3", 30)
    assert await store.take("b") == b"2"
    await store.put("d", b"4", 30)
    assert len(store) == 2


async def test_deadlines_of_used_tickets_do_not_pile_up() -> None:
    store = MemoryTicketStore(max_tickets=2)
    await store.put("kept", b"kept", 30)
    for number in range(50):
        await store.put(str(number), b"", 30)
        await store.take(str(number))
        assert len(store._deadlines) <= 4
    assert await store.take("kept") == b"kept"


def test_a_store_without_room_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_tickets"):
        MemoryTicketStore(max_tickets=0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 9), st.integers(1, 5)),
            st.tuples(st.just("take"), st.integers(0, 9), st.just(0)),
            st.tuples(st.just("wait"), st.just(0), st.integers(1, 3)),
        ),
        max_size=60,
    )
)
def test_a_store_behaves_as_a_dict_with_deadlines_and_stays_bounded(steps: list[tuple[str, int, int]]) -> None:
    clock = Clock()
    store = MemoryTicketStore(max_tickets=3, clock=clock)
    model: dict[str, float] = {}

    async def run() -> None:
        for step, name, number in steps:
            live = {key for key, deadline in model.items() if deadline > clock.now}
            if step == "wait":
                clock.now += number
            elif step == "take":
                assert (await store.take(str(name)) is not None) == (str(name) in live)
                model.pop(str(name), None)
            elif len(live) >= 3:
                with pytest.raises(TicketStoreFull):
                    await store.put(str(name), b"", number)
            else:
                await store.put(str(name), b"", number)
                model[str(name)] = clock.now + number
            assert len(store) <= 3
            assert len(store._deadlines) <= 6

    asyncio.run(run())
