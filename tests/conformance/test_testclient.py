"""Case 11: Starlette's `TestClient`, which gives each socket its own event loop outside `with`."""

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient

from fastapi_rooms import RoomManager, RoomsError


def _chat() -> tuple[FastAPI, RoomManager]:
    rooms = RoomManager()
    app = FastAPI(lifespan=rooms.lifespan)

    @app.websocket("/{room}")
    async def endpoint(websocket: WebSocket, room: str) -> None:
        async with rooms.connect(websocket, room=room) as connection:
            await connection.send("hello")
            async for message in connection:
                await rooms.broadcast(message, room=room)

    return app, rooms


def test_two_sockets_of_one_test_client_talk_inside_with() -> None:
    app, rooms = _chat()
    with (
        TestClient(app) as client,
        client.websocket_connect("/lobby") as ada,
        client.websocket_connect("/lobby") as bob,
    ):
        assert ada.receive_text() == bob.receive_text() == "hello"
        ada.send_text("hi bob")
        assert ada.receive_text() == bob.receive_text() == "hi bob"
        assert len(rooms) == 2
    assert len(rooms) == 0


def test_a_second_socket_outside_with_raises_the_error_that_says_what_to_do() -> None:
    app, rooms = _chat()
    client = TestClient(app)
    with client.websocket_connect("/lobby") as ada:
        assert ada.receive_text() == "hello"
        with pytest.raises(RoomsError, match="with TestClient"), client.websocket_connect("/lobby") as bob:
            bob.receive_text()
        ada.send_text("still here")
        assert ada.receive_text() == "still here"
    assert len(rooms) == 0


def test_one_socket_after_the_other_works_without_with() -> None:
    app, rooms = _chat()
    client = TestClient(app)
    for _ in range(2):
        with client.websocket_connect("/lobby") as ada:
            assert ada.receive_text() == "hello"
            ada.send_text("alone")
            assert ada.receive_text() == "alone"
    assert len(rooms) == 0
