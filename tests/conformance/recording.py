"""What the application under test remembers: hook calls, logged errors, tasks, live objects."""

import asyncio
import gc
import logging
import os
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from fastapi_rooms import Connection, Disconnect, RoomManager

EVENTS: dict[str, list[dict[str, Any]]] = {}
LOGGED: list[dict[str, str]] = []
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOKS = 10
"""In a row that see nothing taken, before a client is believed to be stalled."""


def record(manager: str, event: str, connection: Connection[Any] | None, **more: Any) -> None:
    """Remember one call of a hook."""
    who = None if connection is None else connection.user_id
    EVENTS.setdefault(manager, []).append({"event": event, "who": who, "at": time.monotonic(), **more})


class Recorded(RoomManager[Any, Any]):
    """A manager whose hooks say that they were called; `label` is its name in the recordings."""

    label = ""

    async def on_connect(self, connection: Connection[Any]) -> None:
        record(self.label, "connect", connection)

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        record(self.label, "join", connection, room=room)

    async def on_leave(self, connection: Connection[Any], room: str) -> None:
        record(self.label, "leave", connection, room=room)

    async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
        record(
            self.label,
            "disconnect",
            connection,
            reason=disconnect.reason.value,
            code=disconnect.code,
            text=disconnect.text,
            registered=len(self),
        )

    async def on_error(self, connection: Connection[Any], error: BaseException) -> None:
        record(self.label, "error", connection, error=type(error).__name__)


class Stall:
    """Since when a client takes nothing of what is sent to it, as its manager is looked at again and again.

    Attributes:
        since: The moment, on the monotonic clock; `None`: it takes what it is sent, as far as was seen.
    """

    def __init__(self, client: Connection[Any]) -> None:
        self.since: float | None = None
        self._client = client
        self._perhaps: float | None = None
        self._sent = -1
        self._looks = 0

    def look(self) -> None:
        """Look; between two looks the loop goes on, and the client's messages with it.

        Age alone says nothing: the process may have stood still just after a message was queued.
        """
        figures = self._client.statistics()
        self._looks = self._looks + 1 if figures.sent == self._sent else 0
        self._sent = figures.sent
        if figures.queued:  # by the clock of the age, which stands still within a turn of the loop
            self._perhaps = asyncio.get_running_loop().time() - figures.oldest_queued_age
        stalled = self._looks >= _LOOKS and figures.oldest_queued_age > 0.1
        if self.since is None and (stalled or self._client.status == "disconnected"):
            self.since = self._perhaps


class _Keeper(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" [{type(record.exc_info[1]).__name__}: {record.exc_info[1]}]"
        LOGGED.append({"logger": record.name, "level": record.levelname, "text": text[-1500:]})
        del LOGGED[:-1000]


_keeper = _Keeper(logging.WARNING)


def watch_logs() -> None:
    """Hear every logger of the process, those included that do not propagate; and Python's warnings."""
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default", RuntimeWarning)
    warnings.simplefilter("default", ResourceWarning)
    deaf = [
        logger
        for logger in logging.root.manager.loggerDict.values()
        if isinstance(logger, logging.Logger) and not logger.propagate
    ]
    for logger in (logging.root, *deaf):
        if _keeper not in logger.handlers:
            logger.addHandler(_keeper)


def tasks() -> dict[str, int]:
    """Pending tasks of the loop, the caller's own excepted, by the name of their coroutine."""
    current = asyncio.current_task()
    names = Counter[str]()
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if task is not current:
            names[getattr(coroutine, "__qualname__", repr(coroutine))] += 1
    return dict(names)


def live_objects() -> dict[str, int]:
    """Objects of this library that are alive after a collection, by type."""
    gc.collect()
    names = Counter[str]()
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("fastapi_rooms"):
            names[f"{kind.__module__}.{kind.__qualname__}"] += 1
    return dict(names)


def resident_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def open_sockets() -> int:
    """Sockets that this process holds open."""
    return sum(_link(descriptor).startswith("socket:") for descriptor in os.listdir("/proc/self/fd"))


def _link(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:  # closed meanwhile, by a server with threads of its own
        return ""
