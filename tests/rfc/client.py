"""A client over a plain blocking socket: it sends bytes as they are, and reads strictly."""

import os
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha1
from types import TracebackType
from typing import Final

from . import frames
from .negotiation import Deflate, Violation, agreed
from .reader import StrictReader

TIMEOUT: Final = 20.0
_PACE: Final = 0.0003
"""Seconds between chunks: a receiver may get several at once, so this is only what makes it unlikely."""

_MOST: Final = 200_000

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class StillOpen(AssertionError):
    """The server did not do what was waited for."""


class Head:
    """The head of an HTTP response."""

    def __init__(self, data: bytes) -> None:
        status, *lines = data.decode("latin-1").split("\r\n")
        version, code, *_ = status.split(" ", 2)
        if version != "HTTP/1.1" or not code.isdigit():
            raise Violation(f"RFC 6455 4.2.2: no HTTP response: {data[:200]!r}")
        self.status = int(code)
        self.fields = [
            (name.strip().lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)
        ]

    def get(self, name: str) -> str | None:
        """All values of a field as one list, or `None`."""
        values = [value for field, value in self.fields if field == name]
        return ", ".join(values) if values else None


class RawClient:
    """One TCP connection; a context manager that closes it.

    Attributes:
        head: The answer to the handshake.
        deflate: What was negotiated; `None`: no compression.
        reader: What came after it.
        ended: Whether the server has ended the TCP connection.
    """

    head: Head
    reader: StrictReader

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.deflate: Deflate | None = None
        self.ended = False

    @classmethod
    def dial(cls, port: int, *, tls: ssl.SSLContext | None = None, small: bool = False) -> "RawClient":
        """Connect, and send nothing yet; with `small` buffers, one who reads nothing is soon felt."""
        sock = socket.socket()
        sock.settimeout(TIMEOUT)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            sock.connect(("127.0.0.1", port))
            if tls is not None:
                sock = tls.wrap_socket(sock, server_hostname="127.0.0.1")
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @classmethod
    def connect(
        cls,
        port: int,
        path: str,
        *,
        offer: str | None = None,
        tls: ssl.SSLContext | None = None,
        small: bool = False,
    ) -> "RawClient":
        """Complete the handshake, offering extensions."""
        client = cls.dial(port, tls=tls, small=small)
        try:
            client.shake_hands(path, offer)
        except BaseException:
            client.socket.close()
            raise
        return client

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def shake_hands(self, path: str, offer: str | None) -> None:
        """Send the opening handshake, and check the answer (section 4.2.2)."""
        key = b64encode(os.urandom(16)).decode()
        extensions = [f"Sec-WebSocket-Extensions: {offer}"] if offer is not None else []
        self.send(opening(path, key=key, more=extensions))
        rest = self.read_head()
        if self.head.status != 101:
            raise Violation(f"4.2.2: the handshake was answered with {self.head.status}")
        check_accepted(self.head, key)
        self.deflate = agreed(offer, self.head.get("sec-websocket-extensions"))
        self.reader = StrictReader(self.deflate)
        self.reader.feed(rest)

    def read_head(self) -> bytes:
        """Take the head of the response; what came behind it is returned."""
        data = b""
        while b"\r\n\r\n" not in data:
            received = self.socket.recv(65536)
            if not received:
                raise Violation(f"4.2.2: the connection ended within the response: {data[:200]!r}")
            data += received
        head, _, rest = data.partition(b"\r\n\r\n")
        self.head = Head(head)
        return rest

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def deliver(self, chunks: Iterable[bytes]) -> None:
        """Send one chunk after the other; the server may have ended the connection meanwhile."""
        with suppress(ConnectionError):
            for number, chunk in enumerate(chunks):
                if number:
                    time.sleep(_PACE)  # by the clock: else the kernel hands over several chunks as one
                self.send(chunk)

    def read_until_message(self, message: str) -> bool:
        """Read until this message has come, as the last one; false where the server closes instead."""
        while self.reader.close is None and not self.ended:
            if self.reader.messages and self.reader.messages[-1] == message:
                return True
            self.read_some()
        return False

    def read_close(self) -> int:
        """The code of the server's close frame, once that has come."""
        while self.reader.close is None:
            self.read_some()
        return self.reader.close[0]

    def read_messages(self, count: int) -> Sequence[str | bytes]:
        """The messages, once there are as many as that."""
        while len(self.reader.messages) < count:
            self.read_some()
        return self.reader.messages

    def read_some(self) -> None:
        """Take what comes next, or the end.

        Raises:
            StillOpen: Nothing came in time, or too much.
            Violation: What came is not what a server may send.
        """
        assert not self.ended, f"the connection has ended; seen: {self._seen()}"
        if len(self.reader.messages) > _MOST:
            raise StillOpen(f"{_MOST} messages, and no end; seen: {self._seen()}")
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise StillOpen(f"nothing came for {TIMEOUT:.0f} s; seen: {self._seen()}") from None
        except ConnectionError:
            data = b""
        if data:
            self.reader.feed(data)
        else:
            self.ended = True
            self.reader.end()

    def read_to_end(self, *, answer: bool) -> None:
        """Read until the server ends the TCP connection (section 7.1.1: it is to do so first)."""
        while not self.ended:
            if answer and self.reader.close is not None:
                answer = False
                with suppress(ConnectionError):
                    self.send(frames.close(1000))
            self.read_some()

    def close(self) -> None:
        """The closing handshake, from our side."""
        with suppress(ConnectionError):
            self.send(frames.close(1000))
        self.read_to_end(answer=False)

    def fin(self) -> None:
        """End our half of the TCP connection."""
        self.socket.shutdown(socket.SHUT_WR)

    def _seen(self) -> str:
        messages = self.reader.messages
        return f"{len(messages)} messages, {[one[:40] for one in messages[-3:]]}, close {self.reader.close}"


def opening(path: str, *, key: str, more: Sequence[str] = ()) -> bytes:
    """The opening handshake of section 4.1."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *more,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def check_accepted(head: Head, key: str) -> None:
    """What section 4.2.2 (and 4.1, from the client's side) wants of a 101."""
    accept = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    if (head.get("upgrade") or "").lower() != "websocket":
        raise Violation(f"4.2.2: Upgrade is {head.get('upgrade')!r}")
    if "upgrade" not in (head.get("connection") or "").lower().replace(" ", "").split(","):
        raise Violation(f"4.2.2: Connection is {head.get('connection')!r}")
    if head.get("sec-websocket-accept") != accept:
        raise Violation(f"4.2.2: Sec-WebSocket-Accept is {head.get('sec-websocket-accept')!r}, not {accept!r}")
    if "content-length" in dict(head.fields) or "transfer-encoding" in dict(head.fields):
        raise Violation("RFC 9110 15.2: a 101 has no body")
