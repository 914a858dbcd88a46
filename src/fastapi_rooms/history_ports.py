"""What histories are asked for, and what they ask of others."""

import logging
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from fastapi_rooms.brokers.streams import Page
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import ForeignMessage, payload_of, unseal
from fastapi_rooms.fanout import Delivery, Exclude, Missed
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position

logger = logging.getLogger("fastapi_rooms")

Reason = Literal["epoch_changed", "expired", "too_many", "unavailable"]
"""Why a client was not brought up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Where a member begins.

    Attributes:
        position: The place after which live messages come. `None`: the broker is out of reach.
        recovered: Whether all messages since the given position were sent. `None`: none was given. False there
            too where more was said while the last ones were sent than is kept.
        reason: Why not; `None` where they were.
    """

    position: Position | None = None
    recovered: bool | None = None
    reason: Reason | None = None


class Remembered(NamedTuple):
    """A message of a room's history.

    Attributes:
        position: Its place: who has it brings this back.
        message: As it was sent; `encode` was not asked.
    """

    position: Position
    message: str | bytes


class ReadHistory(Protocol):
    """Reads what an engine has kept of a room; see `Cluster.read`."""

    async def __call__(self, room: str, *, after: int, most: int) -> Page:
        """Read."""
        ...


class DeliverHere(Protocol):
    """Offers a message to the connections in this process that it is for."""

    def __call__(
        self,
        payload: Payload,
        *,
        room: str | None,
        user: str | None,
        exclude: Exclude,
        exclude_users: Collection[str],
        key: str | None,
        missed: Missed | None = None,
    ) -> Awaitable[Delivery]:
        """Deliver; neither room nor user: to everyone. `missed`: see `deliver_to`."""
        ...


class Local(Protocol):
    """What else is asked of the manager."""

    def encode(self, payload: Payload, position: Position) -> Payload:
        """What clients get for a message of a history.

        Raises:
            ForeignMessage: It is none that they could get.
        """
        ...

    def find(self, connection_id: str) -> Connection[Any] | None:
        """A connection here."""
        ...

    def continuity_lost(self, room: str, *, told: Collection[Connection[Any]]) -> None:
        """Members here have missed messages that cannot be had any more; these will be told."""
        ...

    def position_lost(self, connection: Connection[Any]) -> None:
        """This one has missed messages, and cannot be brought up to date."""
        ...


def remembered(room: str, page: Page) -> list[Remembered]:
    """The messages of a page; what is none of ours is left out."""
    found = []
    for entry in page.entries:
        try:
            message = payload_of(*unseal(entry.data)).data
        except ForeignMessage as error:
            logger.warning("in the history of %r: %s", room[:80], error)
        else:
            found.append(Remembered(Position(room, page.epoch, entry.offset), message))
    return found
