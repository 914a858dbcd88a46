"""What the user's functions can do to a room with a history, and what they cannot."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import History, Position, QueueLimits, RoomManager
from fastapi_rooms.testing import Client


class Wrapping(RoomManager[Any, Any]):
    """Its clients get more than was sent."""

    def encode(self, message: str | bytes, position: Position) -> object:
        return f"{message!s} {'x' * 60}" if len(message) > 4 else message


def client_of(manager: RoomManager[Any, Any]) -> Client:
    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            async for text in connection.iter_text():
                try:
                    await manager.join(connection, text)
                except ZeroDivisionError:
                    await connection.send("refused")
                else:
                    await connection.send(f"in {','.join(sorted(connection.rooms))}")

    return Client(Starlette(lifespan=manager.lifespan, routes=[WebSocketRoute("/", endpoint)]))


async def test_a_history_function_that_raises_makes_nobody_a_member() -> None:
    def history(room: str) -> History | None:
        return History() if room != "bad" else History(messages=1 // 0)

    manager: RoomManager[Any, Any] = RoomManager(history=history)
    async with client_of(manager) as client, client.websocket("/") as socket:
        await socket.send_text("bad")
        assert await socket.receive_text() == "refused"
        assert manager.rooms == ()
        await socket.send_text("good")
        assert await socket.receive_text() == "in good"


@pytest.mark.logged_errors
async def test_what_encode_makes_too_large_goes_out_as_it_is() -> None:
    manager = Wrapping(history=History(), queue=QueueLimits(bytes=50))
    async with client_of(manager) as client, client.websocket("/") as socket:
        await socket.send_text("red")
        assert await socket.receive_text() == "in red"
        await manager.broadcast("longer", room="red")
        await manager.broadcast("end", room="red")
        assert [await socket.receive_text(), await socket.receive_text()] == ["longer", "end"]
