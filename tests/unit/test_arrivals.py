"""What has come is received once, in order, until it ends with an error."""

import asyncio

import pytest

from fastapi_rooms.brokers import arrivals as module
from fastapi_rooms.brokers.arrivals import Arrivals
from fastapi_rooms.errors import BrokerOverflow


async def test_what_came_is_received_in_order() -> None:
    arrivals: Arrivals[int] = Arrivals()
    for number in range(3):
        arrivals.put(number)
    assert len(arrivals) == 3
    assert [await arrivals.get() for _ in range(3)] == [0, 1, 2]


async def test_a_reader_waits_for_the_next_one_and_loses_none_when_it_is_cancelled() -> None:
    arrivals: Arrivals[int] = Arrivals()
    waiting = asyncio.create_task(arrivals.get())
    await asyncio.sleep(0)
    arrivals.put(1)
    waiting.cancel()  # it has been woken, and has not run yet
    await asyncio.wait((waiting,))
    arrivals.put(2)
    assert [await arrivals.get(), await arrivals.get()] == [1, 2]


async def test_the_first_error_ends_it_at_once() -> None:
    arrivals: Arrivals[int] = Arrivals()
    waiting = asyncio.create_task(arrivals.get())
    await asyncio.sleep(0)
    arrivals.end(OSError("gone"))
    arrivals.end(ValueError("later"))
    arrivals.put(1)
    for reading in (waiting, arrivals.get()):
        with pytest.raises(OSError, match="gone"):
            await reading


async def test_one_too_many_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    arrivals: Arrivals[int] = Arrivals()
    for number in range(3):
        arrivals.put(number)
    assert len(arrivals) == 0
    with pytest.raises(BrokerOverflow):
        await arrivals.get()
