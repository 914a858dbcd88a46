"""The interface of what carries frames to a hub: a WebSocket, or an event stream with requests beside it."""

from typing import Protocol

from fastapi_rooms.client.returning import BROKEN, End
from fastapi_rooms.errors import RoomsError


class CannotOpen(RoomsError):
    """There is no way to the hub.

    Attributes:
        end: How it ended.
        answered: Whether somebody was there. False: nobody is, and it says nothing of the way.
    """

    def __init__(self, end: End, *, answered: bool) -> None:
        self.end = end
        self.answered = answered
        super().__init__(end.reason)


class WireEnded(RoomsError):
    """The connection has ended.

    Attributes:
        end: How.
    """

    def __init__(self, end: End) -> None:
        self.end = end
        super().__init__(f"the server has {end}" if end.code != BROKEN else end.reason)


class Wire(Protocol):
    """An open way to a hub. One task receives, one sends."""

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            WireEnded: There is none any more.
        """
        ...

    async def send(self, frames: str) -> None:
        """Send an array of frames.

        Raises:
            WireEnded: It cannot be sent.
        """
        ...

    async def close(self, *, politely: bool) -> None:
        """End it; raises nothing.

        Args:
            politely: Tell the server, in a second at most; cancelled, at once. False: at once.
        """
        ...


class Opener(Protocol):
    """A kind of wire."""

    async def open(self) -> Wire:
        """Open one; it may take as long as it likes, and leaves nothing behind when it is cancelled.

        Raises:
            CannotOpen: There is no way.
        """
        ...
