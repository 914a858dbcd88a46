"""What a server sends, read without mercy: whatever the RFC does not allow it raises `Violation`."""

from typing import Final

from .deflate import Inflater
from .frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from .negotiation import Deflate, Violation

Message = str | bytes

_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""Codes that may stand in a close frame (section 7.4, and the IANA registry for 1012 to 1014)."""


class StrictReader:
    """Takes the bytes of a server; keeps messages, pongs and the close frame.

    Attributes:
        messages: Every complete message.
        pongs: The payload of each pong.
        pings: The payload of each ping.
        close: Code and reason of the close frame; code 1005: it had none.
        compressed: How many messages came compressed.
        pongs_after_close: Whether pongs may follow the close frame, since a ping was sent then.
    """

    def __init__(self, deflate: Deflate | None) -> None:
        self.messages: list[Message] = []
        self.pongs: list[bytes] = []
        self.pings: list[bytes] = []
        self.close: tuple[int, str] | None = None
        self.compressed = 0
        self.pongs_after_close = False
        self._inflater = None if deflate is None else Inflater(deflate)
        self._buffer = bytearray()
        self._opcode: int | None = None
        self._parts: list[bytes] = []
        self._is_compressed = False

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data
        while (found := self._take_frame()) is not None:
            self._on_frame(*found)

    def end(self) -> None:
        """The server has ended the connection."""
        if self._buffer:
            raise Violation(f"5.2: the stream ends within a frame: {bytes(self._buffer[:40])!r}")
        if self.close is not None and self._opcode is not None:
            raise Violation("5.4: the close frame comes within a fragmented message that never ends")

    def _take_frame(self) -> tuple[int, bytes] | None:
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[:2]
        if second & 0x80:
            raise Violation("5.1: a server MUST NOT mask")
        start, length = 2, second & 0x7F
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(self._buffer) < start:
                return None
            length = int.from_bytes(self._buffer[2:start], "big")
            if length < (126 if start == 4 else 65536) or length >> 63:
                raise Violation(f"5.2: a length of {length} in {start - 2} bytes")
        if len(self._buffer) < start + length:
            return None
        payload = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return first, payload

    def _on_frame(self, first: int, payload: bytes) -> None:
        opcode, fin = first & 0x0F, bool(first & 0x80)
        if first & 0x30:
            raise Violation(f"5.2: RSV2 or RSV3 in {first:#04x}")
        if self.close is not None and not (opcode == PONG and self.pongs_after_close):
            raise Violation(f"5.5.1: a frame {first:#04x} {payload[:40]!r} after the close frame")
        if opcode in (CLOSE, PING, PONG):
            if first & 0x40 or not fin or len(payload) > 125:
                raise Violation(f"5.5: a control frame {first:#04x} of {len(payload)} bytes")
            self._on_control(opcode, payload)
        elif opcode in (CONTINUATION, TEXT, BINARY):
            self._on_data(opcode, payload, fin=fin, rsv1=bool(first & 0x40))
        else:
            raise Violation(f"5.2: the reserved opcode {opcode}")

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PONG:
            self.pongs.append(payload)
        elif opcode == PING:
            self.pings.append(payload)
        elif not payload:
            self.close = (1005, "")
        else:
            code = int.from_bytes(payload[:2], "big")
            if len(payload) == 1 or code not in _CODES:
                raise Violation(f"7.4: a close frame with {payload!r}")
            self.close = (code, _decoded(payload[2:], "5.5.1: the reason"))

    def _on_data(self, opcode: int, payload: bytes, *, fin: bool, rsv1: bool) -> None:
        if (opcode == CONTINUATION) != (self._opcode is not None):
            raise Violation(f"5.4: opcode {opcode} while {self._opcode} is open")
        if rsv1 and (self._inflater is None or opcode == CONTINUATION):
            raise Violation("RFC 7692 6: RSV1 without permessage-deflate, or not on a first frame")
        if opcode != CONTINUATION:
            self._opcode, self._is_compressed = opcode, rsv1
        self._parts.append(payload)
        if fin:
            self._on_message()

    def _on_message(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        if self._is_compressed and self._inflater is not None:
            self.compressed += 1
            data = self._inflater.message(data)
        self.messages.append(_decoded(data, "8.1: a text message") if self._opcode == TEXT else data)
        self._opcode = None


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Violation(f"{what} is no UTF-8: {error}") from error
