"""`on_active` and `on_idle`, and their room twins: never two at once, never one without the other."""

import asyncio
from collections.abc import Awaitable, Callable

Transition = Callable[[], Awaitable[bool]]


class Activity:
    """Runs `on_active` before the first one is in, and `on_idle` after the last one is out.

    Whoever comes while a transition runs waits for it. Who is in is asked anew at every step, so that a quick
    leave and return runs nothing at all.

    Args:
        occupied: Whether anybody is in now.
    """

    __slots__ = ("_active", "_lock", "_occupied", "visitors")

    def __init__(self, *, occupied: Callable[[], bool]) -> None:
        self._occupied = occupied
        self._active = False
        self._lock = asyncio.Lock()
        self.visitors = 0

    @property
    def active(self) -> bool:
        """Whether it is active and no transition is running or waiting."""
        return self._active and not self.visitors

    @property
    def settled(self) -> bool:
        """Whether it is idle and nobody waits for a transition: it can be forgotten."""
        return not self._active and not self.visitors

    async def enter(self, on_active: Transition) -> None:
        """Somebody is in: make it active. The caller shields this from cancellation.

        Args:
            on_active: Returns whether it succeeded; if not, the next to come tries again.
        """
        self.visitors += 1
        try:
            async with self._lock:
                self._active = self._active or (self._occupied() and await on_active())
        finally:
            self.visitors -= 1

    async def leave(self, on_idle: Transition) -> None:
        """Somebody is out: make it idle if that was the last. The caller shields this from cancellation.

        Args:
            on_idle: Runs if and only if `on_active` succeeded before.
        """
        self.visitors += 1
        try:
            async with self._lock:
                if self._active and not self._occupied():
                    self._active = False
                    await on_idle()
        finally:
            self.visitors -= 1
