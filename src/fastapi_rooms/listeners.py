"""Who listens in which room: tasks of this process, which are no members."""

from typing import Any

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import CloseCode, DisconnectReason


class Listeners:
    """Indexed by room; every operation is O(1) in their number, but for those that speak of several."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        self._rooms: dict[str, dict[Connection[Any], None]] = {}

    def __bool__(self) -> bool:
        return bool(self._rooms)

    def in_room(self, room: str) -> tuple[Connection[Any], ...]:
        """A snapshot of those of one room, in the order of coming."""
        return tuple(self._rooms.get(room, ()))

    def count_in_room(self, room: str) -> int:
        """How many listen in a room."""
        return len(self._rooms.get(room, ()))

    def add(self, listener: Connection[Any], room: str) -> None:
        """What is said in the room is for this one too, from now on."""
        self._rooms.setdefault(room, {})[listener] = None

    def remove(self, listener: Connection[Any], room: str) -> None:
        """It is not any more; harmless where it was not."""
        listeners = self._rooms.get(room, {})
        listeners.pop(listener, None)
        if not listeners:
            self._rooms.pop(room, None)

    def close_room(self, room: str) -> None:
        """End those of one room, after what is queued for them."""
        for listener in self.in_room(room):
            listener.link.shut(DisconnectReason.CLOSED, CloseCode.NORMAL, "the room was closed", flush=True)

    def send_away(self) -> None:
        """End all, after what is queued for them."""
        for room in tuple(self._rooms):
            for listener in self.in_room(room):
                listener.link.send_away()

    def abandon(self) -> None:
        """Forget all: their event loop is gone."""
        self._rooms.clear()
