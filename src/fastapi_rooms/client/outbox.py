"""What a client says: in order, what waits for a connection, and what waits for an answer. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fastapi_rooms.client.composing import compose
from fastapi_rooms.client.membership import Membership, Phase
from fastapi_rooms.protocol.reading import MOST_FRAMES

_LENGTH: Final = 16_384
"""Characters of a message of several frames: the server takes no message longer than `Limits.message_bytes`."""


class Purpose(Enum):
    """What is done with the answer."""

    CONNECT = "connect"
    JOIN = "join"
    LEAVE = "leave"
    TELL = "tell"
    """Presence: told again after each join, so it is nothing that is lost."""
    REFRESH = "refresh"
    REQUEST = "request"
    """The application's: it alone waits for a connection."""
    NOTE = "note"
    """There is none."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """One frame.

    Attributes:
        id: By which it is answered.
        purpose: See there.
        text: As it is sent.
        membership: Of which room it is.
    """

    id: int
    purpose: Purpose
    text: str
    membership: Membership | None = None


class Outbox:
    """The frames of one client, over all its connections.

    Nothing is sent twice: what was sent, and not answered when the connection ended, is given back by `lose`.
    """

    def __init__(self) -> None:
        self._queue: list[Outgoing] = []
        self._sent: dict[int, Outgoing] = {}
        self._last_id = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def requests(self) -> int:
        """How many of the application wait to be sent."""
        return sum(one.purpose is Purpose.REQUEST for one in self._queue)

    def make(
        self, purpose: Purpose, kind: str, membership: Membership | None = None, **fields: object
    ) -> Outgoing:
        """A frame; it is not said yet.

        Args:
            purpose: What its answer is for.
            kind: Its type.
            membership: The room that it names; `None`: none.
            **fields: What else it has; see `compose`.

        Raises:
            UnencodableMessage: A field is not JSON-able.
        """
        self._last_id += 1
        frame_id = None if purpose is Purpose.NOTE else self._last_id
        room = None if membership is None else membership.name
        text = compose(kind, id=frame_id, room=room, **fields)
        return Outgoing(self._last_id, purpose, text, membership)

    def push(self, purpose: Purpose, kind: str, membership: Membership | None = None, **fields: object) -> int:
        """Say this after all that waits already; the id of the frame. See `make`."""
        frame = self.make(purpose, kind, membership, **fields)
        self._queue.append(frame)
        return frame.id

    def put_first(self, frames: Iterable[Outgoing]) -> None:
        """Say these before all that waits."""
        self._queue[:0] = frames

    def put_last(self, frames: Iterable[Outgoing]) -> None:
        """Say these after all that waits."""
        self._queue += frames

    def take(self, *, connected: bool) -> str | None:
        """The next message, an array of frames, which count as sent then; `None`: there is nothing to be sent now.

        Args:
            connected: Whether the hub has said so; what the application asks for is not sent before.
        """
        taken: list[Outgoing] = []
        left: list[Outgoing] = []
        length = 0
        for index, one in enumerate(self._queue):
            if not _may_go(one, connected=connected):
                left.append(one)
                continue
            length += len(one.text)
            if len(taken) == MOST_FRAMES or (taken and length > _LENGTH):
                left += self._queue[index:]
                break
            taken.append(one)
        if not taken:
            return None
        self._queue = left
        self._sent.update((one.id, one) for one in taken if one.purpose is not Purpose.NOTE)
        return f"[{','.join(one.text for one in taken)}]"

    def answered(self, frame_id: int | None) -> Outgoing | None:
        """What this is the answer to; `None`: nothing that waits for one."""
        return None if frame_id is None else self._sent.pop(frame_id, None)

    def forget(self, frame_id: int) -> bool:
        """Nobody waits for this answer any more; what is not sent will not be. Whether it was sent."""
        if self._sent.pop(frame_id, None) is not None:
            return True
        self._queue = [one for one in self._queue if one.id != frame_id]
        return False

    def lose(self) -> list[Outgoing]:
        """The connection has ended: what was to be answered. The application's requests go on waiting."""
        queue, self._queue = self._queue, []
        lost, self._sent = list(self._sent.values()), {}
        for one in queue:
            (self._queue if one.purpose is Purpose.REQUEST else lost).append(one)
        return lost

    def withdraw(self, membership: Membership | None = None) -> list[Outgoing]:
        """The application's requests that are not sent, of one room or all: they will not be."""
        queue, self._queue = self._queue, []
        withdrawn: list[Outgoing] = []
        for one in queue:
            mine = one.purpose is Purpose.REQUEST and membership in (None, one.membership)
            (withdrawn if mine else self._queue).append(one)
        return withdrawn


def _may_go(one: Outgoing, *, connected: bool) -> bool:
    if one.purpose is not Purpose.REQUEST:
        return True
    return connected and (one.membership is None or one.membership.phase is not Phase.RETRYING)
