import asyncio
from collections.abc import Awaitable

import pytest

from fastapi_rooms.transports.stepping import step
from unit.fakes import SHORT, SOON


async def finish(pending: Awaitable[None] | None) -> None:
    assert pending is not None
    async with asyncio.timeout(SOON):
        await asyncio.create_task(_await(pending))


async def _await(pending: Awaitable[None]) -> None:
    await pending


async def test_what_never_suspends_is_done_at_once() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert step(work()) is None
    assert done == [1]


async def test_what_suspends_goes_on_in_the_task_that_awaits_it() -> None:
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    log: list[object] = []

    async def work() -> None:
        log.append(await first)
        log.append(await second)
        log.append(asyncio.current_task() is not test)

    test = asyncio.current_task()
    pending = step(work())
    assert log == []
    loop.call_soon(first.set_result, "one")
    loop.call_soon(second.set_result, "two")
    await finish(pending)
    assert log == ["one", "two", True]


async def test_a_future_that_is_done_before_it_is_awaited_is_fine() -> None:
    future = asyncio.get_running_loop().create_future()
    log: list[object] = []

    async def work() -> None:
        log.append(await future)

    pending = step(work())
    future.set_result("early")
    await asyncio.sleep(0)
    await finish(pending)
    assert log == ["early"]


async def test_bare_yields_and_real_sleeps_work() -> None:
    log: list[int] = []

    async def work() -> None:
        for number in range(5):
            await asyncio.sleep(0)
            log.append(number)
        await asyncio.sleep(0.001)
        log.append(5)

    await finish(step(work()))
    assert log == [0, 1, 2, 3, 4, 5]


async def test_a_lock_and_an_event_work() -> None:
    lock, event = asyncio.Lock(), asyncio.Event()
    log: list[str] = []

    async def work(name: str) -> None:
        async with lock:
            log.append(name)
            await event.wait()

    first, second = step(work("first")), step(work("second"))
    tasks = asyncio.gather(finish(first), finish(second))
    await asyncio.sleep(0)
    event.set()
    await tasks
    assert log == ["first", "second"]


async def test_an_exception_before_the_first_suspension_is_raised_at_once() -> None:
    async def work() -> None:
        raise LookupError("at once")

    with pytest.raises(LookupError, match="at once"):
        step(work())


async def test_an_exception_after_it_is_raised_where_it_is_awaited() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    with pytest.raises(LookupError, match="later"):
        await finish(step(work()))


async def test_the_exception_of_a_future_reaches_the_coroutine() -> None:
    future = asyncio.get_running_loop().create_future()
    caught: list[str] = []

    async def work() -> None:
        try:
            await future
        except OSError as error:
            caught.append(str(error))

    pending = step(work())
    future.set_exception(OSError("reset"))
    await finish(pending)
    assert caught == ["reset"]


async def test_a_cancellation_is_the_coroutines_own() -> None:
    future = asyncio.get_running_loop().create_future()
    log: list[str] = []

    async def work() -> None:
        try:
            await future
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        finally:
            log.append("cleaned up")

    pending = step(work())
    assert pending is not None
    task = asyncio.create_task(_await(pending))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), future.cancelled(), log) == (True, True, ["cancelled", "cleaned up"])


async def test_a_coroutine_may_clean_up_slowly_after_a_cancellation() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("cleaned up")
            raise

    pending = step(work())
    assert pending is not None
    task = asyncio.create_task(_await(pending))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), log) == (True, ["cleaned up"])


async def test_a_timeout_around_the_wait_works() -> None:
    pending = step(_forever())
    assert pending is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT):
            await pending


async def test_a_timeout_that_is_entered_after_the_first_suspension_is_the_new_tasks() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        async with asyncio.timeout(SHORT):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await finish(step(work()))


async def test_what_is_never_awaited_leaves_no_warning_and_cleans_up() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cleaned up")

    pending = step(work())
    assert pending is not None
    del pending
    assert log == ["cleaned up"]


async def test_what_is_dropped_while_it_is_awaited_closes_the_coroutine() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cleaned up")

    pending = step(work())
    assert pending is not None
    waiting = _await(pending)
    waiting.send(None)
    waiting.close()
    assert log == ["cleaned up"]


async def _forever() -> None:
    await asyncio.Event().wait()
