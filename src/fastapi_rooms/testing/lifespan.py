"""The app's lifespan (ASGI spec): startup before the first connection, shutdown after the last."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message

from fastapi_rooms.testing.app_tasks import end_tasks, exception_of
from fastapi_rooms.testing.errors import AppHung, LifespanFailed
from fastapi_rooms.testing.scope import ASGI_VERSION
from fastapi_rooms.testing.waiting import Signal


class Lifespan:
    """Runs an app's lifespan in a task of its own, as servers do.

    An app that raises or returns before it has answered does not support lifespans, and is served without
    one: the ASGI specification asks for that.

    Attributes:
        state: What the app put into `scope["state"]`; every connection gets a shallow copy.
    """

    def __init__(self, app: ASGIApp, *, timeout: float) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._timeout = timeout
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: dict[str, str] = {}
        self._signal = Signal()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run the app's startup.

        Raises:
            LifespanFailed: The app said so.
            WaitTimeout: It took longer than `timeout` seconds, and was cancelled.
        """
        self._task = asyncio.create_task(self._run(), name="testing: lifespan")
        self._task.add_done_callback(lambda _: self._signal.notify())
        try:
            await self._ask(self._task, "startup")
        except BaseException:
            await self._end(self._task, at_once=True)
            raise

    async def stop(self) -> None:
        """Run the app's shutdown. Harmless without a startup, and when called twice.

        Raises:
            LifespanFailed: The app said so, or its lifespan raised.
            WaitTimeout: It took longer than `timeout` seconds, and was cancelled.
            AppHung: It was still running `timeout` seconds after its shutdown was complete.
        """
        task, self._task = self._task, None
        if task is None:
            return
        if "startup.complete" not in self._answers:
            await self._end(task, at_once=True)
            return
        try:
            await self._ask(task, "shutdown")
        except BaseException:
            await self._end(task, at_once=True)
            raise
        await self._end(task, at_once=False)
        if (error := exception_of(task)) is not None:
            raise LifespanFailed(f"the app's lifespan raised {error!r}") from error

    async def _ask(self, task: asyncio.Task[None], phase: str) -> None:
        self._to_app.put_nowait({"type": f"lifespan.{phase}"})
        complete, failed = f"{phase}.complete", f"{phase}.failed"
        await self._signal.wait_until(
            lambda: task.done() or complete in self._answers or failed in self._answers,
            awaited=f"the app's lifespan {phase}",
            timeout=self._timeout,
        )
        if failed in self._answers:
            await self._end(task, at_once=True)
            raise LifespanFailed(self._answers[failed]) from exception_of(task)

    async def _end(self, task: asyncio.Task[None], *, at_once: bool) -> None:
        if at_once:
            task.cancel()
        late = await end_tasks({task}, timeout=self._timeout)
        exception_of(task)  # seen: asyncio need not report it
        if late:
            raise AppHung(what="the app's lifespan", timeout=self._timeout, stopped=task.done())

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(ASGI_VERSION), "state": self.state}
        await self._app(scope, self._to_app.get, self._send)

    async def _send(self, message: Message) -> None:
        answer = message["type"].removeprefix("lifespan.")
        self._answers[answer] = message.get("message", "") or f"the app sent lifespan.{answer}"
        self._signal.notify()
