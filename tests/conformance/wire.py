"""A WebSocket client that can misbehave (RFC 6455 framing by hand), and a very small HTTP client."""

import asyncio
import json
import os
import socket
import struct
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
TIMEOUT: Final = 20.0
_CHUNK: Final = 256 * 1024


class RefusedError(Exception):
    """The handshake was answered with something else than 101; status 0: with nothing."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"refused: {status} {body[:200]!r}")
        self.status = status
        self.headers = headers
        self.body = body


@dataclass(frozen=True, slots=True)
class Closed:
    """How the server ended the connection: by close frame, or (`code` is `None`) without one."""

    code: int | None
    reason: str = ""


OPENED: list[socket.socket] = []
"""Every socket of a client; who empties it closes them."""


class Client:
    """One connection over a plain socket. It answers pings and close frames while it receives."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.status = 0
        self.headers: dict[str, str] = {}
        self.answers_pings = True
        self.pings = 0
        self.closed: Closed | None = None
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._fragments: list[bytes] = []
        self._kind = TEXT
        self._close_sent = False

    @classmethod
    async def connect(
        cls,
        port: int,
        path: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = (),
        small: bool = False,
        timeout: float = TIMEOUT,
    ) -> "Client":
        """Complete the handshake.

        `small` asks for the smallest buffers on the way, so that a client that does not read is felt soon.

        Raises:
            RefusedError: The server answered with an HTTP response instead, or (status 0) not at all.
        """
        sock = socket.socket()
        OPENED.append(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        client = cls(sock)
        try:
            async with asyncio.timeout(timeout):
                await client._loop.sock_connect(sock, ("127.0.0.1", port))
                await client._handshake(port, path, headers, subprotocols)
        except BaseException:
            sock.close()
            raise
        return client

    async def _handshake(
        self, port: int, path: str, headers: Sequence[tuple[str, str]], subprotocols: Sequence[str]
    ) -> None:
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}")
        await self._loop.sock_sendall(self.socket, ("\r\n".join(lines) + "\r\n\r\n").encode())
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            try:
                await self._more()
            except EOFError:
                raise RefusedError(0, {}, bytes(self._buffer)) from None
        self.status, self.headers = head_of(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if self.status != 101:
            raise RefusedError(self.status, self.headers, await self._body())

    async def _body(self) -> bytes:
        length = int(self.headers.get("content-length", -1))
        try:
            while length < 0 or len(self._buffer) < length:
                await self._more()
        except EOFError:
            pass
        return bytes(self._buffer)

    async def _more(self) -> None:
        try:
            data = await self._loop.sock_recv(self.socket, _CHUNK)
        except ConnectionError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        self._buffer += data

    async def receive(self, *, timeout: float = TIMEOUT) -> str | bytes | Closed:
        """The next message, or how the connection ended (then always the same)."""
        async with asyncio.timeout(timeout):
            while self.closed is None:
                if (frame := _parse(self._buffer)) is None:
                    try:
                        await self._more()
                    except EOFError:
                        self.closed = Closed(None)
                elif (message := await self._take(*frame)) is not None:
                    return message
            return self.closed

    async def pinged(self, times: int, *, timeout: float = TIMEOUT) -> None:
        """Wait until so many pings have come since the handshake; nothing else may come."""
        async with asyncio.timeout(timeout):
            while self.pings < times:
                if (frame := _parse(self._buffer)) is None:
                    await self._more()
                else:
                    received = await self._take(*frame) or self.closed
                    assert received is None, f"a ping expected, got {received!r}"

    async def _take(self, opcode: int, final: bool, payload: bytes) -> str | bytes | None:
        if opcode == PING:
            self.pings += 1
            if self.answers_pings:
                await self._answer(PONG, payload)
        elif opcode == CLOSE:
            await self._closing(payload)
        elif opcode in (TEXT, BINARY, CONTINUATION):
            if opcode != CONTINUATION:
                self._kind = opcode
            self._fragments.append(payload)
            if final:
                data = b"".join(self._fragments)
                self._fragments.clear()
                return data.decode() if self._kind == TEXT else data
        return None

    async def _closing(self, payload: bytes) -> None:
        code = struct.unpack("!H", payload[:2])[0] if payload else 1005
        if not self._close_sent:
            self._close_sent = True
            await self._answer(CLOSE, payload[:2])
        self.closed = Closed(code, payload[2:].decode())

    async def _answer(self, opcode: int, payload: bytes) -> None:
        with suppress(ConnectionError):  # the peer is gone already; receive() sees it
            await self.send_raw(frame(opcode, payload))

    async def receive_text(self, *, timeout: float = TIMEOUT) -> str:
        """The next message, which must be text."""
        message = await self.receive(timeout=timeout)
        assert isinstance(message, str), f"text expected, got {message!r}"
        return message

    async def receive_close(self, *, timeout: float = TIMEOUT) -> Closed:
        """How the connection ends; messages before it are skipped."""
        async with asyncio.timeout(timeout):
            while not isinstance(message := await self.receive(timeout=timeout), Closed):
                pass
            return message

    async def send(self, message: str | bytes, *, timeout: float = TIMEOUT) -> None:
        """Send one message in one frame."""
        opcode = TEXT if isinstance(message, str) else BINARY
        data = message.encode() if isinstance(message, str) else message
        async with asyncio.timeout(timeout):
            await self.send_raw(frame(opcode, data))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are: fragments, broken frames, garbage."""
        await self._loop.sock_sendall(self.socket, data)

    async def close(self, *, code: int = 1000, reason: str = "", timeout: float = TIMEOUT) -> Closed:
        """Leave properly: close frame, wait for the server's, then FIN."""
        try:
            if not self._close_sent and self.closed is None:
                self._close_sent = True
                await self._answer(CLOSE, struct.pack("!H", code) + reason.encode())
                return await self.receive_close(timeout=timeout)
            return self.closed or Closed(None)
        finally:
            self.socket.close()

    async def ended(self, *, timeout: float = TIMEOUT) -> None:
        """Wait until the server has ended the TCP connection, reading whatever comes before that."""
        async with asyncio.timeout(timeout):
            try:
                while True:
                    self._buffer.clear()
                    await self._more()
            except EOFError:
                return

    def fin(self) -> None:
        """Send FIN, as a program that ends does, and read on."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@asynccontextmanager
async def connected(port: int, path: str, **options: Any) -> AsyncIterator[Client]:
    """A client whose socket is closed at the end, however that comes."""
    client = await Client.connect(port, path, **options)
    try:
        yield client
    finally:
        client.socket.close()


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A client's frame; masked with zeros, which servers cannot tell from any other mask."""
    first = (0x80 if final else 0) | opcode
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(payload))
    return head + b"\0\0\0\0" + payload


def _parse(buffer: bytearray) -> tuple[int, bool, bytes] | None:
    """Take one frame of a server (never masked) off the buffer: opcode, last fragment, payload."""
    if len(buffer) < 2:
        return None
    start, length = 2, buffer[1] & 0x7F
    if length == 126:
        start = 4
    elif length == 127:
        start = 10
    if len(buffer) < start:
        return None
    if start > 2:
        length = int.from_bytes(buffer[2:start], "big")
    if len(buffer) < start + length:
        return None
    first, payload = buffer[0], bytes(buffer[start : start + length])
    del buffer[: start + length]
    return first & 0x0F, bool(first & 0x80), payload


def head_of(data: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of a response's head, without the empty line."""
    status_line, *lines = data.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    parts = status_line.split(" ", 2)
    if len(parts) < 2 or not parts[1].isdigit():
        raise ValueError(f"no HTTP response: {data[:200]!r}")
    return int(parts[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def request(port: int, method: str, path: str, *, timeout: float = TIMEOUT) -> Any:
    """One HTTP request without a body; the JSON of its response, which must be a 200."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
            writer.write((head + "Content-Length: 0\r\n\r\n").encode())
            status, headers = head_of((await reader.readuntil(b"\r\n\r\n"))[:-4])
            length = headers.get("content-length")
            body = await (reader.readexactly(int(length)) if length else reader.read())
        except asyncio.IncompleteReadError as error:
            raise ConnectionError(f"{method} {path}: no complete response") from error
        finally:
            writer.close()
    if status != 200:
        raise ValueError(f"{method} {path}: {status} {body[:500]!r}")
    return json.loads(body)


def elapsed_since(moment: float) -> float:
    """Seconds since a moment of the monotonic clock, which all processes of a machine share on Linux."""
    return time.monotonic() - moment
