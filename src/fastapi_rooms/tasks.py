"""Tasks that have an owner: nothing is started that nobody awaits."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

logger = logging.getLogger("fastapi_rooms")

_LAST_WORDS: Final = 1.0
"""Seconds that a cancelled task has to end; one that swallows the cancellation is left behind."""


class TaskOwner:
    """Keeps the tasks that one manager started until they are done."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
        """Start a task on the running loop; an exception that leaves it is logged."""
        task = asyncio.get_running_loop().create_task(work, name=f"fastapi_rooms {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def join(self, timeout: float | None) -> None:
        """Wait for all of them, those that they start too, `timeout` seconds at most; then cancel the rest."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while others := self._others():
            left = None if deadline is None else max(0.0, deadline - loop.time())
            _, late = await asyncio.wait(others, timeout=left)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS)
                return

    def abandon(self) -> None:
        """Forget tasks of a loop that is closed: they can neither run nor be cancelled any more."""
        self._tasks.clear()

    def _others(self) -> set["asyncio.Task[None]"]:
        return self._tasks - {asyncio.current_task()}

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)
