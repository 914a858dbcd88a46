"""A chat client on a plain socket that signs in, joins, and never reads another byte."""

import base64
import http.client
import json
import os
import socket
from types import TracebackType
from typing import Self


def sign_in(port: int, name: str) -> str:
    """A token from the chat's own sign-in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        body = json.dumps({"name": name})
        connection.request("POST", "/chat/token", body=body, headers={"Content-Type": "application/json"})
        return str(json.loads(connection.getresponse().read())["token"])
    finally:
        connection.close()


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
        self._socket.settimeout(10)
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
