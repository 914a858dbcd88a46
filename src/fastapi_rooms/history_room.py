"""What a process knows of one room with a history."""

import asyncio
from collections import deque
from typing import Any

from fastapi_rooms.brokers.streams import Place
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import Header
from fastapi_rooms.line import Line
from fastapi_rooms.options import History


class Stay:
    """One member for as long as it is not live: what it must get, it gets from the room's line.

    Attributes:
        task: What brings it back, where it was live before and fell behind. `None`: it has just joined.
    """

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None


class HistoryRoom:
    """One room.

    Args:
        name: Its name.
        history: What is kept of it.
        waiting: Messages that may wait while its history is read.

    Attributes:
        name: See above.
        history: See above.
        line: Where it is; `None`: nobody knows yet.
        behind: Whether messages wait until the history was read.
        waiting: They. Where there are too many, the oldest are read again.
        replaying: Members who get theirs from `line`, and not live yet.
        settling: Reads the history. `None`: no member has asked yet, and all who do will read.
        reread: Whether what is read now may be older than what somebody asks for.
        again: Will read it again.
        looking: Reads what was before.
        unplaced: Whether there are members who went on though nobody knew where the room was.
    """

    def __init__(self, name: str, history: History, *, waiting: int) -> None:
        self.name = name
        self.history = history
        self.line: Line | None = None
        self.behind = True
        self.waiting: deque[tuple[Place, Header, bytes]] = deque(maxlen=waiting)
        self.replaying: dict[Connection[Any], Stay] = {}
        self.settling: asyncio.Task[None] | None = None
        self.reread = False
        self.again: asyncio.TimerHandle | None = None
        self.looking: asyncio.Task[None] | None = None
        self.unplaced = False

    @property
    def joining(self) -> list[Connection[Any]]:
        """Members who have just joined, and are told where they begin."""
        return [connection for connection, stay in self.replaying.items() if stay.task is None]

    def left(self, connection: Connection[Any]) -> None:
        """The connection is no member any more."""
        stay = self.replaying.pop(connection, None)
        if stay is not None and stay.task is not None:
            stay.task.cancel()

    def forget(self) -> None:
        """End all that goes on for the room."""
        if self.again is not None:
            self.again.cancel()
        for task in (self.settling, self.looking, *(stay.task for stay in self.replaying.values())):
            if task is not None:
                task.cancel()
