"""What a client knows of one room that it wants to be in: whether it is, and up to where it has all. Pure."""

from enum import Enum

from fastapi_rooms.client.composing import Raw
from fastapi_rooms.client.presence_state import PresenceState
from fastapi_rooms.client.reading import BrokenMessage, Frame, given
from fastapi_rooms.client.values import Joined, Message
from fastapi_rooms.options import MOST_HISTORY

_MOST_HELD = 2 * MOST_HISTORY
"""Messages that a room may have before its `joined`: all that a history can hold, and as many live ones."""


class Phase(Enum):
    """Where a membership is."""

    AWAY = "away"
    """There is no connection."""
    ASKED = "asked"
    """`join` is said, or about to be."""
    RETRYING = "retrying"
    """The hub could not say; it will be asked again."""
    IN = "in"
    OVER = "over"
    """Left, removed or refused: for good."""


class Membership:
    """One room, from `join` until it is left, over any number of connections.

    What comes before `joined` is held back until it is there. If the connection breaks before, it is forgotten: it
    has not moved the position, and all comes again. So nothing is delivered twice.

    Args:
        name: The room's.
        since: The position that the client has.

    Attributes:
        position: Up to where everything was delivered; `None`: nobody knows.
        phase: See there.
        retry_at: When to ask again, while `RETRYING`.
        metadata: What is told of the client here after each join, as JSON; `None`: nothing.
        told: The frame that told it last, while it may be refused.
        presence: Who is here.
    """

    def __init__(self, name: str, since: str | None) -> None:
        self.name = name
        self.position = since
        self.phase = Phase.AWAY
        self.retry_at: float | None = None
        self.metadata: Raw | None = None
        self.told: int | None = None
        self.presence = PresenceState()
        self._held: list[Message] = []
        self._again = False
        self._tries = 0

    def ask(self) -> None:
        """`join` is about to be said."""
        self.phase = Phase.ASKED
        self.retry_at = None
        self.presence.unsettle()
        self.forget_held()

    def leave_alone(self) -> None:
        """The connection has ended."""
        if self.phase is not Phase.OVER:
            self.phase = Phase.AWAY
        self.retry_at = None
        self.forget_held()

    def forget_held(self) -> None:
        """What came is of a membership before this one, or will come again."""
        self._held = []

    def hear(self, message: Message) -> bool:
        """A message of the room; whether it is to be delivered now.

        Raises:
            BrokenMessage: `joined` does not come.
        """
        if self.phase is Phase.IN:
            self._move(message)
            return True
        if self.phase is Phase.ASKED:
            if len(self._held) == _MOST_HELD:
                raise BrokenMessage("the server sent too many messages before 'joined'")
            self._held.append(message)
        return False

    def enter(self, frame: Frame) -> tuple[Joined, list[Message]]:
        """Take `joined`; what it says, and what is to be delivered right after it.

        Raises:
            BrokenMessage: It is not what it should be.
        """
        joined = Joined(
            position=given(frame, "position", str),
            recovered=given(frame, "recovered", bool),
            reason=given(frame, "reason", str),
            again=self._again,
        )
        held, self._held = self._held, []
        self.phase = Phase.IN
        self.position = joined.position
        self._again = True
        self._tries = 0
        for message in held:
            self._move(message)
        return joined, held

    def retry_in(self, now: float, *, jitter: float, most: float, least: float) -> None:
        """The hub could not say: ask again after a random time that doubles.

        Args:
            now: The time.
            jitter: Random, 0 to 1.
            most: Seconds, the longest time.
            least: Seconds, the first time.
        """
        self.phase = Phase.RETRYING
        self.retry_at = now + jitter * min(most, least * float(2 ** min(self._tries, 30)))
        self._tries += 1
        self.forget_held()

    def _move(self, message: Message) -> None:
        if message.position is not None:
            self.position = message.position
