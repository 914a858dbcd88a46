"""What a hub tells its clients by itself: who is present, and that the server stops."""

import random
from collections.abc import Iterable
from typing import Any

from fastapi_rooms.connection import Connection
from fastapi_rooms.payload import Payload, encode_json
from fastapi_rooms.presence import PresenceDiff, PresenceView
from fastapi_rooms.protocol.events import Frame
from fastapi_rooms.protocol.server_frames import GoingAway


def snapshot_frame(room: str, view: PresenceView) -> Payload:
    """Who is present."""
    told = {
        "type": "presence",
        "room": room,
        "version": view.version,
        "count": view.count,
        "listed": view.listed,
        "users": view.users,
    }
    return Frame(encode_json(told).decode())


def diff_frame(room: str, diff: PresenceDiff) -> Payload:
    """What has changed."""
    told = {
        "type": "presence-diff",
        "room": room,
        "version": diff.version,
        "count": diff.count,
        "listed": diff.listed,
        "joins": diff.joins,
        "leaves": diff.leaves,
        "updates": diff.updates,
    }
    return Frame(encode_json(told).decode())


def send_away(
    connections: Iterable[Connection[Any]], *, return_within: float | None, spread: float | None
) -> None:
    """Tell clients that the server stops, and close them with 1012.

    Args:
        connections: Which.
        return_within: Seconds within which they are to come back, each at another time. `None`: as they like.
        spread: Seconds over which they are closed. `None`: at once.
    """
    for connection in connections:
        if return_within is not None:
            delay = random.uniform(0, return_within)  # noqa: S311 - it spreads clients, and guards no secret
            connection.link.control(GoingAway(delay=round(delay, 3)).payload())
        if spread is None:
            connection.link.send_away()
        else:
            connection.link.send_away_within(spread)
