"""Cancellations that got lost in a driver."""

import asyncio


def raise_if_cancelled() -> None:
    """Be cancelled after all: for loops around a driver's calls.

    `asyncio.wait_for` swallows a cancellation, on Python 3.11, if what it waits for is done in the same turn.

    Raises:
        CancelledError: The running task was cancelled, and goes on all the same.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
