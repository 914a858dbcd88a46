"""Litestar's channels: a subscription that runs in the background, as in "Consuming the event stream"."""

from typing import Any

from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.exceptions import WebSocketDisconnect


@websocket("/ws")
async def endpoint(socket: WebSocket[Any, Any, Any], channels: ChannelsPlugin) -> None:
    await socket.accept()
    try:
        async with (
            channels.start_subscription(["general"]) as subscriber,
            subscriber.run_in_background(socket.send_text),
        ):
            while True:
                channels.publish(await socket.receive_text(), "general")
    except WebSocketDisconnect:
        pass


app = Litestar([endpoint], plugins=[ChannelsPlugin(MemoryChannelsBackend(), channels=["general"])])
