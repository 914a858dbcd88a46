"""A chat client on a plain socket that joins, and never reads another byte; and one that is served beside it."""

import base64
import http.client
import json
import os
import socket
import threading
import time
from types import TracebackType
from typing import Self

from websockets.sync.client import connect


def sign_in(port: int, name: str) -> str:
    """A token from the chat's own sign-in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = json.dumps({"name": name})
        connection.request("POST", "/chat/token", body=body, headers={"Content-Type": "application/json"})
        return str(json.loads(connection.getresponse().read())["token"])
    finally:
        connection.close()


class Awake:
    """Asks the echo again and again, and so counts the seconds in which the server answers somebody.

    A pause of the machine, in which it answers nobody, counts for half a second at most.
    """

    def __init__(self, port: int) -> None:
        self.seconds = 0.0
        self._url = f"ws://127.0.0.1:{port}/echo/ws"
        self._over = threading.Event()
        self._asking = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with connect(self._url, open_timeout=30) as echo:
            last = time.monotonic()
            while not self._over.wait(0.05):  # the echo takes 50 messages a second
                echo.send("?")
                echo.recv()
                now = time.monotonic()
                self.seconds += min(now - last, 0.5)
                last = now

    def __enter__(self) -> Self:
        self._asking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._asking.join()


class StalledClient:
    def __init__(self, port: int, *, room: str, name: str) -> None:
        self._address = ("127.0.0.1", port)
        self._room = room
        self._name = name

    def __enter__(self) -> Self:
        token = sign_in(self._address[1], self._name)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)  # of a network, not of one machine:
        # by it the server's kernel decides what it takes before anybody reads, which else is megabytes
        self._socket.settimeout(30)
        self._socket.connect(self._address)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /chat/{self._room} HTTP/1.1",
            f"Host: 127.0.0.1:{self._address[1]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: access_token, {token}",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert self._socket.recv(12) == b"HTTP/1.1 101"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
