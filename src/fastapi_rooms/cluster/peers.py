"""Which other processes there are, and what they answer."""

import asyncio
from collections.abc import Callable
from typing import Final

SILENT_FOR: Final = 3
"""Probe intervals without a word after which a process counts as gone."""

MOST_PEERS: Final = 10_000
MOST_QUESTIONS: Final = 1_000


class Peers:
    """The processes that were heard of lately. Pure: the clock is passed in.

    Args:
        within: Seconds for which a process that says nothing counts as there.
        clock: Seconds from any start.
    """

    def __init__(self, *, within: float, clock: Callable[[], float]) -> None:
        self._within = within
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._since = clock()

    def saw(self, process: str) -> bool:
        """It has said something; whether it is new."""
        new = self._seen.pop(process, None) is None
        self._seen[process] = self._clock()  # the longest silent come first
        self._forget_silent()
        return new

    def left(self, process: str) -> None:
        """It has said that it ends."""
        self._seen.pop(process, None)

    def now(self) -> frozenset[str]:
        """Those who are there."""
        self._forget_silent()
        return frozenset(self._seen)

    def may_be_there(self, process: str) -> bool:
        """Whether it is there, or would not have been heard of yet."""
        return process in self.now() or self._clock() - self._since < self._within

    def _forget_silent(self) -> None:
        oldest = self._clock() - self._within
        while self._seen:
            process, seen = next(iter(self._seen.items()))
            if seen >= oldest and len(self._seen) <= MOST_PEERS:
                return
            del self._seen[process]


class Question:
    """A question to other processes, and the answers so far.

    Attributes:
        answers: What each process said.
        missing: Who has not answered yet.
    """

    def __init__(self, asked: frozenset[str]) -> None:
        self.answers: dict[str, bytes] = {}
        self.missing = set(asked)
        self._complete = asyncio.Event()
        self._check()

    def answer(self, process: str, body: bytes) -> None:
        """A process has answered."""
        self.missing.discard(process)
        if len(self.answers) < MOST_PEERS:
            self.answers[process] = body
        self._check()

    async def wait(self, timeout: float) -> None:
        """Wait until all have answered, `timeout` seconds at most."""
        try:
            async with asyncio.timeout(timeout):
                await self._complete.wait()
        except TimeoutError:
            return

    def _check(self) -> None:
        if not self.missing:
            self._complete.set()
