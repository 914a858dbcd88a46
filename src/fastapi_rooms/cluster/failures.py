"""What goes wrong around a driver's calls."""

import asyncio

from fastapi_rooms.errors import BrokerUnavailable


def raise_if_cancelled() -> None:
    """Be cancelled after all: for loops around a driver's calls.

    `asyncio.wait_for` swallows a cancellation, on Python 3.11, if what it waits for is done in the same turn.

    Raises:
        CancelledError: The running task was cancelled, and goes on all the same.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def described(error: BaseException) -> str:
    """What it is and what it says: some drivers' `repr` says nothing but its kind."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def first_error(errors: BaseExceptionGroup[Exception]) -> Exception:
    """The first one that is no group, of those that the tasks of a connection raised."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else BrokerUnavailable(repr(error))
