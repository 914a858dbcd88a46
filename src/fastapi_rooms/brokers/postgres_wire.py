"""How messages travel as notifications of PostgreSQL: short names, and text of less than 8,000 bytes. Pure."""

import base64
import binascii
import hashlib
import re
from typing import Final
from uuid import UUID

from fastapi_rooms.brokers.streams import Place, placed

LONGEST_CHANNEL: Final = 63
"""Bytes: one less than `NAMEDATALEN`."""

LONGEST_PAYLOAD: Final = 7_999
"""Bytes: PostgreSQL wants less than 8,000."""

_TEXT, _BASE64, _ROW = "t", "b", "r"

_STREAM_ROOM: Final = LONGEST_PAYLOAD - 64
"""Bytes for a message of a stream: what says so, the epoch and the offset need fewer."""

_PLACED: Final = re.compile(r"s([tbr])([A-Za-z0-9_-]{1,64}):([0-9]{1,19}):")


def short_channel(channel: str) -> str:
    """The name under which PostgreSQL carries a channel: a long one is cut, and told from others by its hash."""
    if len(channel) <= LONGEST_CHANNEL:
        return channel
    return f"{channel[:30]}~{hashlib.sha256(channel.encode()).hexdigest()[:32]}"


def wrap(data: bytes, *, number: int, utf8: bool) -> str | None:
    """The payload of a notification; `None` where it would be too long.

    Args:
        data: The message.
        number: Different for each message of a transaction, in which PostgreSQL makes equal notifications one.
        utf8: Whether the database holds any text; else ASCII alone goes as it is.
    """
    head = f"{number}:"
    room = LONGEST_PAYLOAD - 1 - len(head)
    if len(data) > room:
        return None
    text = _text(data, utf8=utf8)
    if text is not None:
        return f"{_TEXT}{head}{text}"
    encoded = base64.b64encode(data)
    return f"{_BASE64}{head}{encoded.decode('ascii')}" if len(encoded) <= room else None


def wrap_row(row: UUID, *, number: int) -> str:
    """The payload that says where the message is."""
    return f"{_ROW}{number}:{row.hex}"


def stream_kind(data: bytes, *, utf8: bool) -> str:
    """How a message of a stream goes into its notification, which the server writes; `utf8` as in `wrap`.

    That is `s`, this kind, `epoch:offset:`, and then the message: as text, or in Base64, or not at all.
    """
    if len(data) > _STREAM_ROOM:
        return _ROW
    if _text(data, utf8=utf8) is not None:
        return _TEXT
    return _BASE64 if 4 * ((len(data) + 2) // 3) <= _STREAM_ROOM else _ROW


def unwrap(payload: str) -> bytes | UUID | Place:
    """The message, or the row or the place where it is.

    What is none of ours comes as it is, and its reader will drop it.
    """
    if payload.startswith("s"):
        return _unwrap_placed(payload)
    kind, (head, _, body) = payload[:1], payload[1:].partition(":")
    if head.isdecimal():
        try:
            if kind == _TEXT:
                return body.encode()
            if kind == _BASE64:
                return base64.b64decode(body, validate=True)
            if kind == _ROW:
                return UUID(hex=body)
        except (binascii.Error, ValueError):
            return payload.encode()
    return payload.encode()


def _unwrap_placed(payload: str) -> bytes | Place:
    found = _PLACED.match(payload)
    if found is None:
        return payload.encode()
    kind, epoch, offset = found.groups()
    place = Place(epoch, int(offset), int(offset) - 1)
    if kind == _ROW:
        return place
    body = payload[found.end() :]
    try:
        return placed(place, body.encode() if kind == _TEXT else base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError):
        return payload.encode()


def _text(data: bytes, *, utf8: bool) -> str | None:
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        return None
