"""Requests without a server."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Message
from starlette.websockets import WebSocket


def _scope(
    kind: str, headers: Iterable[tuple[str, str]], query: str, extra: dict[str, Any] | None
) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers]
    return {"type": kind, "path": "/", "query_string": query.encode(), "headers": raw, **(extra or {})}


def http(*headers: tuple[str, str], query: str = "", extra: dict[str, Any] | None = None) -> HTTPConnection:
    """An HTTP request."""
    return HTTPConnection(_scope("http", headers, query, extra))


class FakeWebSocket(WebSocket):
    """A handshake whose answers are kept in `sent`."""

    def __init__(self, *headers: tuple[str, str], extra: dict[str, Any] | None = None) -> None:
        self.sent: list[Message] = []
        super().__init__(_scope("websocket", headers, "", extra), receive=self._connect, send=self._keep)

    async def _connect(self) -> Message:
        return {"type": "websocket.connect"}

    async def _keep(self, message: Message) -> None:
        self.sent.append(message)
