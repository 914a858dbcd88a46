"""What is iterated over."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from fastapi_rooms.client.failures import FellBehind, Removed
from fastapi_rooms.client.feed import Feed, Watched
from fastapi_rooms.client.values import Message
from unit.fakes import SOON

T = TypeVar("T")


def said(number: int) -> Message:
    return Message("said", number)


async def read(feed: Feed) -> int:
    async with asyncio.timeout(SOON):
        message = await anext(feed)
    number: int = message.data
    return number


async def rest(values: AsyncIterator[T]) -> list[T]:
    return [value async for value in values]


async def test_messages_come_in_order_and_then_the_iteration_ends() -> None:
    feed = Feed(3)
    feed.put(said(1))
    feed.put(said(2))
    feed.end(None)
    assert [message.data async for message in feed] == [1, 2]
    assert [message async for message in feed] == []


async def test_an_error_comes_after_what_waits_and_again() -> None:
    feed = Feed(3)
    feed.put(said(1))
    feed.end(Removed())
    assert await read(feed) == 1
    for _ in range(2):
        with pytest.raises(Removed):
            await read(feed)


async def test_who_waits_is_woken() -> None:
    feed = Feed(3)
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read(feed)) for _ in range(2)]
        await asyncio.sleep(0)
        feed.put(said(1))
        feed.put(said(2))
    assert sorted(reader.result() for reader in readers) == [1, 2], "each goes to one"


async def test_who_waits_hears_of_the_end() -> None:
    feed = Feed(3)
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(rest(feed))
        await asyncio.sleep(0)
        feed.end(None)
    assert reader.result() == []


async def test_a_reader_that_falls_behind_gets_what_waits_then_an_error_then_what_comes() -> None:
    feed = Feed(2)
    feed.put(said(0))
    assert await read(feed) == 0
    for number in (1, 2, 3, 4):
        feed.put(said(number))
    assert [await read(feed), await read(feed)] == [1, 2]
    with pytest.raises(FellBehind):
        await read(feed)
    feed.put(said(5))
    assert await read(feed) == 5


async def test_where_nobody_has_ever_read_nothing_is_kept_at_the_bound() -> None:
    feed = Feed(2)
    for number in (1, 2, 3):
        feed.put(said(number))
    with pytest.raises(FellBehind):
        await read(feed)
    feed.put(said(4))
    assert await read(feed) == 4


async def test_a_watched_value_gives_what_it_is_and_then_the_latest() -> None:
    watched = Watched("a")
    values = watched.values()
    assert await anext(values) == "a"
    watched.set("b")
    watched.set("c")
    assert await anext(values) == "c"
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(rest(values))
        await asyncio.sleep(0)
        watched.set("d")
        await asyncio.sleep(0)
        watched.set("e")
        watched.end()
    assert waiting.result() == ["d", "e"]
    assert [value async for value in values] == []


async def test_waiting_ends_when_it_is_so_or_never_will_be() -> None:
    watched = Watched(1)
    async with asyncio.TaskGroup() as tasks:
        two = tasks.create_task(watched.until(lambda: watched.value == 2))
        three = tasks.create_task(watched.until(lambda: watched.value == 3))
        await asyncio.sleep(0)
        watched.set(2)
        await asyncio.wait_for(two, SOON)
        assert not three.done()
        watched.end()
