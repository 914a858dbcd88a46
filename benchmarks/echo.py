"""A WebSocket client that says one thing, hears it back, and is silent: small enough to be there in thousands."""

import socket
import zlib

TIMEOUT_SECONDS = 15.0
_OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
"""As browsers say it."""

_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
)
_ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_TAIL = b"\x00\x00\xff\xff"
_FINAL_TEXT, _COMPRESSED = 0x81, 0x40
_LEAST_WINDOW_BITS = 9
"""zlib's, and so one that no server minds."""


class EchoClient:
    """One connection: `ask`, `enter`, and then `say` and `hear`; between two of them others may have their turn.

    Args:
        host: Of the server.
        port: Of the server.
        path: Of its echo endpoint.
        deflate: Whether to negotiate compression (RFC 7692). What is said is compressed then.
    """

    def __init__(self, host: str, port: int, path: str, *, deflate: bool) -> None:
        self._request = _REQUEST.format(path=path, host=host, port=port, offer=_OFFER if deflate else "")
        self._deflate = deflate
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)

    def ask(self) -> None:
        """Begin the handshake."""
        self._socket.sendall(self._request.encode())

    def enter(self) -> None:
        """Complete the handshake.

        Raises:
            RuntimeError: The server refuses it, or compression.
        """
        response = b""
        while not response.endswith(b"\r\n\r\n"):
            response += self._receive(4096)
        if not response.startswith(b"HTTP/1.1 101") or _ACCEPTED not in response:
            raise RuntimeError(f"the handshake was refused: {response[:40]!r}")
        if (b"permessage-deflate" in response) != self._deflate:
            raise RuntimeError(f"compression was {'not ' if self._deflate else ''}negotiated")

    def say(self, text: bytes) -> None:
        """Send a text message."""
        self._socket.sendall(_masked_frame(text, deflate=self._deflate))

    def hear(self, text: bytes) -> None:
        """Wait for the same message.

        Raises:
            RuntimeError: Something else came.
        """
        first, length = self._read(2)
        if length == 126:
            length = int.from_bytes(self._read(2))
        answer = self._read(length)
        if first & _COMPRESSED and self._deflate:
            answer = zlib.decompressobj(-zlib.MAX_WBITS).decompress(answer + _TAIL)
            first &= ~_COMPRESSED
        if (first, answer) != (_FINAL_TEXT, text):
            raise RuntimeError(f"the echo differs: {first:#x} {answer[:40]!r}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._receive(size - len(data))
        return data

    def _receive(self, most: int) -> bytes:
        data = self._socket.recv(most)
        if not data:
            raise RuntimeError("the server hung up")
        return data


def _masked_frame(text: bytes, *, deflate: bool) -> bytes:
    """A text frame (RFC 6455 §5.2); a masking key of zeros leaves the payload as it is."""
    first = _FINAL_TEXT
    if deflate:
        compressor = zlib.compressobj(wbits=-_LEAST_WINDOW_BITS)
        text = (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
        first |= _COMPRESSED
    size = bytes((0x80 | len(text),)) if len(text) < 126 else bytes((0x80 | 126,)) + len(text).to_bytes(2)
    return bytes((first,)) + size + bytes(4) + text
