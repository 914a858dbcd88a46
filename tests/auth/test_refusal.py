from typing import Any

import pytest
from fastapi import HTTPException, WebSocketException

from fastapi_rooms.auth.refusal import refuse
from fastapi_rooms.errors import ExpiredToken, InsufficientScope, InvalidToken, MissingToken
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY

from .requests import FakeWebSocket, http

DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


async def test_an_http_request_gets_the_status_and_a_challenge() -> None:
    with pytest.raises(HTTPException) as refusal:
        await refuse(http(), MissingToken("no token"), reject="close")
    assert (refusal.value.status_code, refusal.value.detail) == (401, "no token")
    assert refusal.value.headers == {"WWW-Authenticate": "Bearer"}


async def test_the_challenge_names_what_is_wrong_with_the_token() -> None:
    with pytest.raises(HTTPException) as invalid:
        await refuse(http(), InvalidToken('a "detail"\r\nX-Header: no'), reject="http", challenge="APIKey")
    assert invalid.value.headers == {"WWW-Authenticate": 'APIKey error="invalid_token"'}
    with pytest.raises(HTTPException) as scope:
        await refuse(http(), InsufficientScope("missing scope: a"), reject="http")
    assert scope.value.status_code == 403
    assert scope.value.headers == {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}


async def test_a_websocket_is_refused_with_a_status_where_the_server_can() -> None:
    websocket = FakeWebSocket(extra=DENIAL)
    with pytest.raises(HTTPException) as refusal:
        await refuse(websocket, ExpiredToken("too late"), reject="http")
    assert refusal.value.status_code == 401
    assert websocket.sent == []


@pytest.mark.parametrize("extra", [{}, {"extensions": None}, {"extensions": {}}])
async def test_a_websocket_is_refused_barely_where_the_server_cannot(extra: dict[str, object]) -> None:
    websocket = FakeWebSocket(extra=extra)
    with pytest.raises(WebSocketException) as refusal:
        await refuse(websocket, ExpiredToken("too late"), reject="http")
    assert refusal.value.code == 4001
    assert websocket.sent == []


async def test_a_websocket_is_accepted_and_closed_where_codes_are_wanted() -> None:
    websocket = FakeWebSocket(extra={SUBPROTOCOL_SCOPE_KEY: "access_token", **DENIAL})
    with pytest.raises(WebSocketException) as refusal:
        await refuse(websocket, InvalidToken("é" * 100), reject="close")
    assert [(message["type"], message["subprotocol"]) for message in websocket.sent] == [
        ("websocket.accept", "access_token")
    ]
    assert (refusal.value.code, refusal.value.reason) == (4500, "é" * 61)


@pytest.mark.parametrize("reject", ["http", "close"])
async def test_a_websocket_that_is_accepted_already_is_closed(reject: str) -> None:
    websocket = FakeWebSocket(extra=DENIAL)
    await websocket.accept()
    with pytest.raises(WebSocketException) as refusal:
        await refuse(websocket, InvalidToken("no"), reject="http" if reject == "http" else "close")
    assert refusal.value.code == 4500
    assert len(websocket.sent) == 1


async def test_a_bare_connection_of_a_websocket_can_only_be_closed() -> None:
    connection = http(extra={"type": "websocket", **DENIAL})
    with pytest.raises(WebSocketException):
        await refuse(connection, InvalidToken("no"), reject="close")
