"""Frames as a client sends them, every bit by hand (RFC 6455 section 5.2)."""

import struct
from typing import Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
MASK: Final = bytes.fromhex("37fa213d")
"""The masking key of the RFC's examples (section 5.7)."""


def masked(payload: bytes, key: bytes) -> bytes:
    """The payload under a masking key (section 5.3); masking twice is no masking."""
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length_field: int | None = None,
) -> bytes:
    """One frame; `length_field` is how many bytes the extended length takes (0, 2 or 8; else the fewest)."""
    first = (0x80 if fin else 0) | rsv | opcode
    size = len(payload)
    if length_field is None:
        length_field = 0 if size < 126 else 2 if size < 65536 else 8
    head = struct.pack("!BB", first, (0x80 if mask else 0) | {0: size, 2: 126, 8: 127}[length_field])
    head += size.to_bytes(length_field, "big") if length_field else b""
    return head + (mask + masked(payload, mask) if mask else payload)


def text(message: str, *, fin: bool = True) -> bytes:
    """A text frame."""
    return frame(TEXT, message.encode(), fin=fin)


def binary(message: bytes, *, fin: bool = True) -> bytes:
    """A binary frame."""
    return frame(BINARY, message, fin=fin)


def more(payload: str | bytes, *, fin: bool = False) -> bytes:
    """A continuation frame."""
    return frame(CONTINUATION, payload.encode() if isinstance(payload, str) else payload, fin=fin)


def ping(payload: bytes = b"") -> bytes:
    """A ping frame."""
    return frame(PING, payload)


def pong(payload: bytes = b"") -> bytes:
    """A pong frame."""
    return frame(PONG, payload)


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A close frame; without a code it has no payload."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def fragments(opcode: int, payload: bytes, sizes: list[int]) -> tuple[bytes, ...]:
    """A message in as many frames as `sizes` has, and one more for the rest where there is a rest."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    parts = [payload[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    if rest := payload[sum(sizes) :]:
        parts.append(rest)
    last = len(parts) - 1
    return tuple(
        frame(opcode if number == 0 else CONTINUATION, part, fin=number == last)
        for number, part in enumerate(parts)
    )


def one_by_one(data: bytes) -> tuple[bytes, ...]:
    """Each byte for itself."""
    return tuple(bytes((byte,)) for byte in data)
