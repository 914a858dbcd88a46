"""Presence, as frames."""

from fastapi_rooms.payload import Payload, encode_json
from fastapi_rooms.presence import PresenceDiff, PresenceView
from fastapi_rooms.protocol.events import Frame


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
