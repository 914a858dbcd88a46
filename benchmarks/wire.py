"""WebSockets as the client in Python speaks them: RFC 6455, without extensions."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
TIMEOUT = 15.0
_ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def handshake(host: str, port: int, path: str) -> socket.socket:
    """A WebSocket on which nothing was received yet but the response (§4)."""
    connection = socket.create_connection((host, port), timeout=TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(_REQUEST.format(path=path, host=host, port=port).encode())
    response = b""
    while not response.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            raise RuntimeError("the server hung up during the handshake")
        response += piece
    if not response.startswith(b"HTTP/1.1 101") or _ACCEPTED not in response:
        raise RuntimeError(f"the handshake was refused: {response[:40]!r}")
    return connection


def frame(payload: bytes, *, masked: bool, opcode: int = TEXT) -> bytes:
    """One frame (§5.2); a masking key of zeros leaves the payload as it is."""
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        header = bytes((0x80 | opcode, size | bit))
    elif size < 65536:
        header = bytes((0x80 | opcode, 126 | bit)) + size.to_bytes(2, "big")
    else:
        header = bytes((0x80 | opcode, 127 | bit)) + size.to_bytes(8, "big")
    return header + bytes(4 if masked else 0) + payload


@dataclass
class Connection:
    """What came on one connection; pings are answered on the way."""

    socket: socket.socket
    number: int = 0
    """Of the message that must come next."""

    _pending: bytearray = field(default_factory=bytearray)
    _fragments: bytearray | None = None

    def send(self, text: str) -> None:
        self._send_frame(TEXT, text.encode())

    def read(self) -> Iterator[bytes]:
        """The messages that are there; waits for some."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the server hung up")
        self._pending += data
        while (taken := self._take()) is not None:
            first, payload = taken
            message = self._handle(first, payload)
            if message is not None:
                yield message

    def _take(self) -> tuple[int, bytes] | None:
        pending = self._pending
        if len(pending) < 2:
            return None
        size, header = pending[1], 2
        if size & 0x80:
            raise RuntimeError("a masked frame")
        if size >= 126:
            header = 4 if size == 126 else 10
            size = int.from_bytes(pending[2:header], "big")
        if len(pending) < header or len(pending) < header + size:
            return None
        taken = pending[0], bytes(pending[header : header + size])
        del pending[: header + size]
        return taken

    def _handle(self, first: int, payload: bytes) -> bytes | None:
        opcode, final = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise RuntimeError("a reserved bit is set: nothing was negotiated")
        if opcode >= CLOSE:
            self._control(opcode, payload)
            return None
        if opcode != (TEXT if self._fragments is None else CONTINUATION):
            raise RuntimeError(f"opcode {opcode} is out of place")
        whole = (self._fragments or bytearray()) + payload
        self._fragments = None if final else whole
        return bytes(whole) if final else None

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._send_frame(PONG, payload)
        elif opcode != PONG:
            raise RuntimeError(f"the server closed the connection: {payload!r}")

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        self.socket.settimeout(TIMEOUT)
        self.socket.sendall(frame(payload, masked=True, opcode=opcode))
