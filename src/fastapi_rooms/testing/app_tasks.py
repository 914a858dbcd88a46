"""Waiting for the app's tasks, with a deadline."""

import asyncio
from collections.abc import Collection


async def end_tasks(tasks: Collection[asyncio.Task[None]], *, timeout: float) -> set[asyncio.Task[None]]:
    """Wait until the tasks have ended; cancel those that take longer than `timeout` seconds.

    A cancelled task has `timeout` seconds again to end. If the caller is cancelled meanwhile, the tasks are
    cancelled at once.

    Returns:
        The tasks that were cancelled, whether they have ended since or not.
    """
    if not tasks:
        return set()
    late: set[asyncio.Task[None]] = set()
    try:
        await asyncio.wait(tasks, timeout=timeout)
    finally:
        late.update(task for task in tasks if not task.done())
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout)
    return late


def exception_of(task: asyncio.Task[None]) -> BaseException | None:
    """What a task raised; `None` where it is still running, returned, or was cancelled."""
    return task.exception() if task.done() and not task.cancelled() else None
