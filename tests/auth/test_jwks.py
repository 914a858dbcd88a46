import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from fastapi_rooms.auth import KeysUnavailable
from fastapi_rooms.auth.jwks import DocumentCache


class Issuer:
    """Answers with a new version each time, unless it is told to fail or to wait."""

    def __init__(self) -> None:
        self.fetched = 0
        self.down = False
        self.now = 0.0
        self.waiting = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def __call__(self) -> Mapping[str, Any]:
        self.fetched += 1
        self.waiting.set()
        await self.answer.wait()
        if self.down:
            raise ConnectionError("the issuer is down")
        return {"version": self.fetched}


def cache_of(
    fetch: Callable[[], Any],
    *,
    clock: Callable[[], float] = lambda: 0.0,
    max_age: float | None = 100.0,
    timeout: float = 5.0,
) -> DocumentCache[int]:
    return DocumentCache(
        fetch,
        lambda document: int(document["version"]),
        refetch_interval=10,
        max_age=max_age,
        timeout=timeout,
        clock=clock,
    )


async def test_a_document_is_fetched_once_and_kept() -> None:
    issuer = Issuer()
    cache = cache_of(issuer)
    assert await asyncio.gather(*(cache.current() for _ in range(5))) == [1] * 5
    assert issuer.fetched == 1


async def test_a_document_that_did_not_help_is_fetched_again_but_not_too_soon() -> None:
    issuer = Issuer()
    cache = cache_of(issuer, clock=lambda: issuer.now)
    assert await cache.current() == 1
    issuer.now = 9.9
    assert await cache.newer_than(1) == 1
    issuer.now = 10.0
    assert await asyncio.gather(*(cache.newer_than(1) for _ in range(5))) == [2] * 5
    assert issuer.fetched == 2


async def test_an_old_document_is_fetched_again() -> None:
    issuer = Issuer()
    cache = cache_of(issuer, clock=lambda: issuer.now)
    await cache.current()
    issuer.now = 99.9
    assert await cache.current() == 1
    issuer.now = 100.0
    assert await cache.current() == 2


async def test_without_a_greatest_age_a_document_stays_until_it_does_not_help() -> None:
    issuer = Issuer()
    cache = cache_of(issuer, clock=lambda: issuer.now, max_age=None)
    await cache.current()
    issuer.now = 1e9
    assert await cache.current() == 1


async def test_while_an_old_document_is_replaced_nobody_else_waits() -> None:
    issuer = Issuer()
    cache = cache_of(issuer, clock=lambda: issuer.now)
    await cache.current()
    issuer.now = 100.0
    issuer.answer.clear()
    issuer.waiting.clear()
    refetch = asyncio.create_task(cache.current())
    await issuer.waiting.wait()
    assert await cache.current() == 1
    issuer.answer.set()
    assert await refetch == 2


async def test_a_failed_fetch_leaves_the_last_document_in_place(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    cache = cache_of(issuer, clock=lambda: issuer.now)
    await cache.current()
    issuer.now, issuer.down = 200.0, True
    assert await cache.current() == 1
    assert await cache.current() == 1
    assert issuer.fetched == 2  # not again within the interval
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_without_any_document_keys_are_unavailable_and_fetches_stay_bounded() -> None:
    issuer = Issuer()
    issuer.down = True
    cache = cache_of(issuer, clock=lambda: issuer.now)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await cache.current()
    assert issuer.fetched == 1
    assert (KeysUnavailable.status, KeysUnavailable.code) == (503, 1013)
    issuer.now, issuer.down = 10.0, False
    assert await cache.current() == 2


async def test_a_fetch_that_hangs_ends_at_its_timeout() -> None:
    issuer = Issuer()
    issuer.answer.clear()
    with pytest.raises(KeysUnavailable):
        await cache_of(issuer, timeout=0.01).current()


async def test_a_cancelled_fetch_is_taken_over_by_the_next_one_who_waits() -> None:
    issuer = Issuer()
    issuer.answer.clear()
    cache = cache_of(issuer)
    first = asyncio.create_task(cache.current())
    await issuer.waiting.wait()
    second = asyncio.create_task(cache.current())
    await asyncio.sleep(0)
    first.cancel()
    issuer.answer.set()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_document_that_cannot_be_parsed_counts_as_a_failed_fetch() -> None:
    async def fetch() -> Mapping[str, Any]:
        return {}

    with pytest.raises(KeysUnavailable):
        await cache_of(fetch).current()


async def test_a_plain_function_fetches_in_a_thread() -> None:
    threads = []

    def fetch() -> Mapping[str, Any]:
        threads.append(threading.current_thread())
        return {"version": 7}

    assert await cache_of(fetch).current() == 7
    assert threads != [threading.main_thread()]


async def test_a_plain_function_may_return_an_awaitable() -> None:
    issuer = Issuer()
    assert await cache_of(partial(Issuer.__call__, issuer)).current() == 1


def test_one_cache_serves_several_event_loops() -> None:
    async def fetch() -> Mapping[str, Any]:
        await asyncio.sleep(0)
        raise ConnectionError

    cache = cache_of(fetch)

    async def crowd() -> None:
        outcomes = await asyncio.gather(*(cache.current() for _ in range(3)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {KeysUnavailable}

    asyncio.run(crowd())
    asyncio.run(crowd())
