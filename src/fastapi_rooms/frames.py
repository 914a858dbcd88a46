"""WebSocket frames as a server sends them: whole messages, unmasked (RFC 6455 §5.2), or compressed (RFC 7692)."""

import zlib
from struct import Struct
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2

PLAIN: Final = 0
"""In place of window bits: compression was not negotiated."""

JOINED_TEXT: Final = -1
"""In place of window bits: texts that are JSON go out as one text, an array of them."""

SSE: Final = -2
"""In place of window bits: events of a stream (HTML, "Server-sent events")."""

HEADER_BYTES: Final = 10
"""The longest header of a frame that is not masked."""

LEAST_COMPRESSED: Final = 256
"""Bytes from which a message is compressed. JSON of 128 bytes, with nothing before it to refer to, loses a tenth,
and of 250 a third; below that the time is better spent otherwise, here and in the client."""

WINDOW_BITS: Final = range(9, 13)
"""What we compress with: 12 bits are a window of 4 KiB. JSON of 64 KiB comes to a fifth with 12 bits, in half the
time that 15 take, which make it a hundredth smaller. zlib cannot do 8."""

_MEMORY_LEVEL: Final = 5
_FINAL: Final = 0x80
_COMPRESSED: Final = 0x40
_TAIL: Final = b"\x00\x00\xff\xff"
_SHORT: Final = Struct("!BB")
_MEDIUM: Final = Struct("!BBH")
_LONG: Final = Struct("!BBQ")


def build_frame(opcode: int, data: bytes, *, window_bits: int = PLAIN) -> bytes:
    """One message in one frame.

    Args:
        opcode: `TEXT` or `BINARY`.
        data: The message; text is UTF-8.
        window_bits: The client's window, if it negotiated compression (RFC 7692 §7.1.2.1). The frame refers to no
            message before it (§7.1.1.1), so that every client with the window, or a larger one, can read it. Small
            messages, and those that compression makes no smaller, stay as they are (§6.1).
    """
    first = _FINAL | opcode
    if len(data) >= LEAST_COMPRESSED and window_bits >= WINDOW_BITS.start:
        smaller = _deflate(data, window_bits)
        if len(smaller) < len(data):
            first, data = first | _COMPRESSED, smaller
    length = len(data)
    if length < 126:
        return _SHORT.pack(first, length) + data
    if length < 65536:
        return _MEDIUM.pack(first, 126, length) + data
    return _LONG.pack(first, 127, length) + data


def shared_window(size: int, window_bits: int) -> int:
    """The window bits that a message of `size` bytes is built with for a client of `window_bits`.

    A window larger than the message is of no use, so that most clients share one form of it.
    """
    if size < LEAST_COMPRESSED or window_bits < WINDOW_BITS.start:
        return PLAIN
    return max(WINDOW_BITS.start, min(size.bit_length(), window_bits, WINDOW_BITS[-1]))


def _deflate(data: bytes, window_bits: int) -> bytes:
    compressor = zlib.compressobj(wbits=-shared_window(len(data), window_bits), memLevel=_MEMORY_LEVEL)
    compressed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return compressed.removesuffix(_TAIL)
