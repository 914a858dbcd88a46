"""What a client compresses, and what it inflates, as negotiated (RFC 7692 section 7.2)."""

import zlib
from typing import Final

from .frames import BINARY, RSV1, TEXT, frame
from .negotiation import Deflate, Violation

TAIL: Final = b"\x00\x00\xff\xff"
"""What a sender cuts off each compressed message, and a receiver puts back."""

_INPUT: Final = 64
_OUTPUT: Final = 16
"""zlib sees all that one call has put out, window or not: small calls keep it to the window, give or take this."""


class Deflater:
    """A client's compressor: one window for all messages, or a fresh one for each where that was agreed."""

    def __init__(self, deflate: Deflate, *, level: int = 6) -> None:
        self._deflate = deflate
        self._level = level
        self._compressor = self._fresh()

    def payload(self, message: str | bytes) -> bytes:
        """The message as it goes into a frame."""
        if self._deflate.client_no_context_takeover:
            self._compressor = self._fresh()
        data = message.encode() if isinstance(message, str) else message
        compressed = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return compressed.removesuffix(TAIL)

    def frame(self, message: str | bytes) -> bytes:
        """The message in one frame."""
        return frame(TEXT if isinstance(message, str) else BINARY, self.payload(message), rsv=RSV1)

    def _fresh(self) -> "zlib._Compress":
        # zlib has no window of 256 bytes, but looks back less than that in one of 512
        return zlib.compressobj(self._level, zlib.DEFLATED, -max(self._deflate.client_max_window_bits, 9))


class Inflater:
    """A client's decompressor: one window for all messages, or a fresh one for each where that was agreed."""

    def __init__(self, deflate: Deflate) -> None:
        self._deflate = deflate
        self._inflater = self._fresh()

    def message(self, payload: bytes) -> bytes:
        """What a compressed message says.

        Raises:
            Violation: It is not what DEFLATE, or the negotiated window, allows.
        """
        if self._deflate.server_no_context_takeover:
            self._inflater = self._fresh()
        try:
            if self._deflate.server_max_window_bits == 15:
                inflated = self._inflater.decompress(payload + TAIL)
            else:
                inflated = b"".join(self._in_small_calls(payload + TAIL))
        except zlib.error as error:
            raise Violation(f"RFC 7692 7.2.2: {error}, with {self._deflate}") from error
        if self._inflater.eof:
            raise Violation("RFC 7692 7.2.1: a final block, behind which this client cannot go on")
        return inflated

    def _in_small_calls(self, data: bytes) -> list[bytes]:
        out: list[bytes] = []
        for start in range(0, len(data), _INPUT):
            pending = data[start : start + _INPUT]
            while pending or (out and len(out[-1]) == _OUTPUT):
                out.append(self._inflater.decompress(pending, _OUTPUT))
                pending = self._inflater.unconsumed_tail
        return out

    def _fresh(self) -> "zlib._Decompress":
        return zlib.decompressobj(-self._deflate.server_max_window_bits)
