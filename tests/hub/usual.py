"""Frames as they are meant."""

from typing import Any


def whole(frame: dict[str, Any]) -> dict[str, Any]:
    """With what a `message` leaves out."""
    return frame if "type" in frame else {"type": "message", "event": "message", **frame}
