"""python-socketio: an event emitted to all, over the WebSocket transport."""

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], ping_interval=600)
app = socketio.ASGIApp(server)


@server.event  # type: ignore[untyped-decorator]  # the library has no annotations
async def message(sid: str, data: dict[str, Any]) -> None:
    await server.emit("message", data)
