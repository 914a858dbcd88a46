"""Noticing that the server stops, while it waits for responses that end only if somebody ends them.

Servers close WebSockets by themselves when they are told to stop, but they wait for responses, some of them for
ever, and tell nobody.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopWatch:
    """Calls a function, once, when a signal asks the process to stop: SIGTERM, or SIGINT.

        with StopWatch(hurry):
            yield

    The signal's handler goes on as before: it is called by ours. A signal that nobody handles is left alone, since
    it ends the process at once, or does nothing. So it is where Python takes no signals: in other threads than
    the main one. Any number may be entered at the same time, and left in any order.

    Args:
        told: Called on the event loop that runs when the watch is entered. Must not block or raise.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told: Callable[[], None] | None = told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        self._left = False

    def __enter__(self) -> "StopWatch":
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._before[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._told, self._left = None, True
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, _still_there(before, number))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        told, self._told = self._told, None
        if told is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(told)
        self._before[number](number, frame)


def _still_there(handler: Any, number: int) -> Any:
    """A handler, or what was there before it if it is that of a watch that was left meanwhile."""
    watch = getattr(handler, "__self__", None)
    while isinstance(watch, StopWatch) and watch._left:
        handler = watch._before[number]
        watch = getattr(handler, "__self__", None)
    return handler
