"""Calls of drivers that end when they are cancelled, whatever the driver makes of it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_AGAIN: Final = 0.05
"""Seconds after which a call that goes on all the same is cancelled again."""


async def cancellable(call: Coroutine[Any, Any, _T]) -> _T:
    """What a driver's call returns, or raises. Cancelled, it ends soon, and leaves no task.

    `asyncio.wait_for`, which drivers use for their steps, swallows a cancellation, on Python 3.11, if what it
    waits for is done in the same turn; the driver then takes its next step, and the time for it. So the call is a
    task of its own, which is cancelled until it has ended. What it returns after it was cancelled is lost: it must
    be a call whose connection can be closed all the same.

    Raises:
        CancelledError: Whoever waits was cancelled; always, then.
        Exception: What the driver raises.
    """
    task = asyncio.get_running_loop().create_task(call, name="fastapi_rooms driver's call")
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        await _end(task)
        raise
    return task.result()


async def _end(task: "asyncio.Task[_T]") -> None:
    while not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):  # one more, of whoever waits: it is being raised already
            await asyncio.wait((task,), timeout=_AGAIN)
    if not task.cancelled():
        task.exception()  # else asyncio logs that nobody has seen it
