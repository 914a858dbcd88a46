"""An in-memory client for any ASGI app: many WebSockets on one event loop, no network, no threads.

    async with Client(app) as client:
        async with client.websocket("/rooms/lobby") as alice, client.websocket("/rooms/lobby") as bob:
            await alice.send_json({"text": "hello"})
            assert await bob.receive_json(timeout=1) == {"text": "hello"}

It behaves as uvicorn does where servers differ. Protocol pings are below ASGI, and not modelled.
"""

from fastapi_rooms.testing.client import Client
from fastapi_rooms.testing.errors import (
    AppHung,
    ClientGone,
    Closed,
    LifespanFailed,
    ProtocolViolation,
    Refused,
    SocketClosed,
    UnexpectedMessage,
    WaitTimeout,
)
from fastapi_rooms.testing.http import Response
from fastapi_rooms.testing.pipe import Buffer
from fastapi_rooms.testing.waiting import eventually
from fastapi_rooms.testing.websocket import WebSocketSession

__all__ = [
    "AppHung",
    "Buffer",
    "Client",
    "ClientGone",
    "Closed",
    "LifespanFailed",
    "ProtocolViolation",
    "Refused",
    "Response",
    "SocketClosed",
    "UnexpectedMessage",
    "WaitTimeout",
    "WebSocketSession",
    "eventually",
]
