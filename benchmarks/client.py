"""The load in Python, for machines without a C compiler: the same work, arguments and output as `client.c`."""

import json
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

STALL_SECONDS = 15.0
_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def handshake(host: str, port: int, path: str) -> socket.socket:
    """A WebSocket on which nothing was received yet but the response (RFC 6455 §4)."""
    connection = socket.create_connection((host, port), timeout=STALL_SECONDS)
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


def frame(payload: bytes, *, masked: bool) -> bytes:
    """A text frame (RFC 6455 §5.2); a masking key of zeros leaves the payload as it is."""
    bit = 0x80 if masked else 0
    size = len(payload)
    header = bytes((0x81, size | bit)) if size < 126 else bytes((0x81, 126 | bit)) + size.to_bytes(2, "big")
    return header + bytes(4 if masked else 0) + payload


def message(number: int, size: int) -> bytes:
    start = f'{{"type":"message","room":"general","from":"ada","id":{number:012},"text":"'
    return (start.ljust(size - 2, "x") + '"}').encode()


@dataclass
class Load:
    """The closed loop: what was sent, who still lacks it, and how long it took."""

    sockets: list[socket.socket]
    outstanding: int
    size: int
    sent: int = 0
    done: int = 0
    frames: dict[int, bytes] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    sent_at: deque[float] = field(default_factory=deque)
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.position = [0] * len(self.sockets)
        self.frame_size = len(frame(message(0, self.size), masked=False))

    def send_next(self) -> None:
        payload = message(self.sent, self.size)
        self.frames[self.sent] = frame(payload, masked=False)
        self.left[self.sent] = len(self.sockets)
        self.sent_at.append(time.perf_counter())
        self.sent += 1
        self.sockets[0].sendall(frame(payload, masked=True))

    def check(self, index: int, data: bytes) -> None:
        """Compare what came with what must come."""
        while data:
            number, offset = divmod(self.position[index], self.frame_size)
            expected = self.frames.get(number, b"")[offset:]
            part = data[: len(expected)]
            if not part or not expected.startswith(part):
                raise RuntimeError(f"connection {index}: message {number} differs from what was sent")
            self.position[index] += len(part)
            data = data[len(part) :]
            if len(part) == len(expected):
                self.left[number] -= 1

    def finished(self) -> float | None:
        """Seconds that the oldest message took to reach all, if it has."""
        if self.done == self.sent or self.left[self.done]:
            return None
        del self.left[self.done], self.frames[self.done]
        self.done += 1
        return time.perf_counter() - self.sent_at.popleft()

    def run(self, warm_up: float, seconds: float) -> float:
        """The measured seconds; what was measured is in `times`."""
        selector = selectors.DefaultSelector()
        for index, connection in enumerate(self.sockets):
            connection.settimeout(0)
            selector.register(connection, selectors.EVENT_READ, index)
        start, begin, end = time.perf_counter(), 0.0, 0.0
        for _ in range(self.outstanding):
            self.send_next()
        while self.done < self.sent:
            self._read(selector)
            while (took := self.finished()) is not None:
                at = time.perf_counter()
                if begin and not end:
                    self.times.append(took)
                if not begin and at - start >= warm_up:
                    begin = at
                    print("measuring", flush=True)
                if begin and not end and at - begin >= seconds and self.times:
                    end = at
                    print("measured", flush=True)
                if not end:
                    self.send_next()
        return end - begin

    def _read(self, selector: selectors.BaseSelector) -> None:
        ready = selector.select(STALL_SECONDS)
        if not ready:
            raise RuntimeError(f"stalled: message {self.done} is missing on {self.left[self.done]} connections")
        for key, _ in ready:
            data = self.sockets[key.data].recv(1 << 18)
            if not data:
                raise RuntimeError("the server hung up")
            self.check(key.data, data)


def main() -> None:
    host, port, path, connections, outstanding, size, warm_up, seconds = sys.argv[1:]
    load = Load([handshake(host, int(port), path) for _ in range(int(connections))], int(outstanding), int(size))
    elapsed = load.run(float(warm_up), float(seconds))
    times = sorted(load.times)
    result = {
        "client": "python",
        "broadcasts": len(times),
        "deliveries": len(times) * len(load.sockets),
        "seconds": elapsed,
        "p50_ms": times[len(times) // 2] * 1e3,
        "p99_ms": times[len(times) * 99 // 100] * 1e3,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
