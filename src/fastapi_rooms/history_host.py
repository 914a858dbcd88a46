"""What the histories of rooms ask of their manager."""

import logging
from collections.abc import Callable, Collection
from typing import Any

from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import ForeignMessage
from fastapi_rooms.errors import CloseCode, DisconnectReason, MessageTooLarge
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from fastapi_rooms.room_hooks import RoomHooks
from fastapi_rooms.send_queue import check_size

logger = logging.getLogger("fastapi_rooms")


class HistoryHost:
    """See `fastapi_rooms.histories.Local`.

    Args:
        hooks: The manager itself.
        host: Its host.
        lost: Runs `on_continuity_lost` for a room, in a task.
    """

    def __init__(self, hooks: RoomHooks[Any], host: ManagerHost[Any], lost: Callable[[str], None]) -> None:
        self._hooks = hooks
        self._host = host
        self._lost = lost
        self._encodes = type(hooks).encode is not RoomHooks.encode

    def encode(self, payload: Payload, position: Position) -> Payload:
        """See there.

        Raises:
            ForeignMessage: It is of an app with larger queues.
        """
        if self._encodes:
            try:
                encoded = Payload.of(self._hooks.encode(payload.data, position))
                check_size(encoded, self._host.queue)
            except ForeignMessage:
                raise  # a protocol on top knows that no client can take it
            except Exception:  # a user's hook may raise anything
                logger.exception("encode failed: a message of %r goes out as it is", position.room[:80])
            else:
                return encoded
        try:
            check_size(payload, self._host.queue)
        except MessageTooLarge as error:
            raise ForeignMessage from error
        return payload

    def find(self, connection_id: str) -> Connection[Any] | None:
        """See there."""
        return self._host.registry.get(connection_id)

    def continuity_lost(self, room: str, *, told: Collection[Connection[Any]]) -> None:
        """See there: members and listeners are closed with 4010, and come back with their positions."""
        for connection in self._host.hearing(room):
            if connection not in told:
                self.position_lost(connection)
        self._lost(room)

    def position_lost(self, connection: Connection[Any]) -> None:
        """See there: it is closed with 4010, after what it has got, and comes back with its position."""
        reason = "messages were missed"
        connection.link.shut(DisconnectReason.CLOSED, CloseCode.POSITION_LOST, reason, flush=True)
