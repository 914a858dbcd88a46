"""What a cluster asks of the manager in its process."""

from typing import Protocol

from fastapi_rooms.brokers.streams import Place
from fastapi_rooms.envelope import Header


class Local(Protocol):
    """The manager. None of it may raise what is not said."""

    def occupied(self, channel: str) -> bool:
        """Whether somebody here needs the channel."""
        ...

    async def deliver(self, header: Header, body: bytes, place: Place | None) -> None:
        """Do here what it asks for: a message, or control.

        Args:
            header: What it says.
            body: The message.
            place: Where it is in the room's history; `None`: it is in none.

        Raises:
            ForeignMessage: It makes no sense.
        """
        ...

    def forget(self, channel: str) -> bool:
        """The channel has lingered: whether nobody here needs it, so that it is left."""
        ...

    def answer(self, header: Header) -> bytes:
        """What this process says to a question."""
        ...

    async def requested(self, body: bytes) -> bytes:
        """Another process asks for something to be done here; what it is told."""
        ...

    def presence_heard(self, header: Header, body: bytes) -> None:
        """Another process says, or asks, who is in a room.

        Raises:
            ForeignMessage: It makes no sense.
        """
        ...

    def goodbye(self, process: str) -> None:
        """Another process ends."""
        ...

    def broker_lost(self, error: Exception) -> None:
        """The broker is out of reach."""
        ...

    def broker_restored(self) -> None:
        """It is back, or there for the first time."""
        ...
