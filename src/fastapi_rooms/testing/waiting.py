"""Waiting for something to become true, with a deadline and words for what was awaited."""

import asyncio
from collections.abc import Callable
from typing import Final

from fastapi_rooms.testing.errors import WaitTimeout

_POLL_SECONDS: Final = 0.001


async def eventually(
    condition: Callable[[], bool], *, timeout: float = 5.0, awaited: str = "the condition"
) -> None:
    """Return once the condition holds; at once, without suspending, if it does already.

    For what no message announces: `await eventually(lambda: len(manager) == 0)`.

    Args:
        condition: Called every millisecond.
        timeout: Seconds.
        awaited: What it stands for, in words, for the error.

    Raises:
        WaitTimeout: It did not hold within `timeout` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            while not condition():  # noqa: ASYNC110 - nothing announces a condition of the test's own
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise WaitTimeout(awaited=awaited, timeout=timeout) from None


class Signal:
    """Wakes whoever waits, at every change."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let every waiter look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_until(self, condition: Callable[[], bool], *, awaited: str, timeout: float) -> None:
        """Return once the condition holds; at once, without suspending, if it does already.

        Raises:
            WaitTimeout: It did not hold within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._next_change()
        except TimeoutError:
            raise WaitTimeout(awaited=awaited, timeout=timeout) from None

    async def _next_change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
