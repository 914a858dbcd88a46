import asyncio
from collections.abc import Callable

import pytest

from fastapi_rooms.brokers.cancelling import cancellable
from unit.fakes import SHORT, SOON

Outcome = Callable[["asyncio.Future[str]"], None]


async def swallowing(began: asyncio.Event, *, times: int = 1) -> str:
    """Goes on, that often, as drivers do on Python 3.11."""
    began.set()
    for _ in range(times):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()
    return "never"


async def cancelled(task: "asyncio.Task[str]") -> None:
    task.cancel()
    await asyncio.wait((task,), timeout=SOON)
    assert task.cancelled()


async def test_what_a_call_returns_is_returned() -> None:
    async def call() -> str:
        await asyncio.sleep(0)
        return "result"

    assert await cancellable(call()) == "result"


async def test_what_a_call_raises_is_raised() -> None:
    async def call() -> None:
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError, match="refused"):
        await cancellable(call())


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_call_that_swallows_cancellations_ends_all_the_same(times: int) -> None:
    began = asyncio.Event()
    task = asyncio.create_task(cancellable(swallowing(began, times=times)))
    await began.wait()
    await cancelled(task)


async def test_a_call_that_swallows_the_cancellation_of_a_deadline_ends_with_the_deadline() -> None:
    async with asyncio.timeout(SOON):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT):
                await cancellable(swallowing(asyncio.Event()))


async def test_whoever_is_cancelled_again_while_the_call_ends_leaves_no_task() -> None:
    began = asyncio.Event()
    task = asyncio.create_task(cancellable(swallowing(began, times=2)))
    await began.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await cancelled(task)


@pytest.mark.parametrize("turns", range(3))
@pytest.mark.parametrize(
    "end", [lambda waited: waited.set_result("done"), lambda waited: waited.set_exception(OSError())]
)
async def test_whoever_is_cancelled_just_when_the_call_ends_is_cancelled(end: Outcome, turns: int) -> None:
    waited: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def call() -> str:
        return await waited

    task = asyncio.create_task(cancellable(call()))
    for _ in range(3):
        await asyncio.sleep(0)
    end(waited)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.done()
    await cancelled(task)


async def test_what_a_call_raises_when_it_is_cancelled_is_not_what_is_raised() -> None:
    async def call() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("gone") from None
        return "never"

    task = asyncio.create_task(cancellable(call()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await cancelled(task)
