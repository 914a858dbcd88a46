"""One dependency on HTTP routes and WebSocket routes of one FastAPI application."""

import logging
import time
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Request, Security, WebSocket
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient, WebSocketDenialResponse

from fastapi_rooms.auth import (
    Cookie,
    Identity,
    JWTAuth,
    Query,
    SessionCookie,
    Tickets,
    TokenAuth,
)
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY

from .keys import OTHER_SECRET, SECRET

by_status = JWTAuth(key=SECRET, algorithms=["HS256"])
by_code = JWTAuth(key=SECRET, algorithms=["HS256"], reject="close", scheme_name="ByCode")
from_session = TokenAuth(lambda token: Identity(subject=token), sources=[SessionCookie()], scheme_name="Session")
from_query = TokenAuth(lambda token: Identity(subject=token), sources=[Query()], scheme_name="Query")


async def greet(websocket: WebSocket, identity: Identity) -> None:
    await websocket.accept(subprotocol=websocket.scope.get(SUBPROTOCOL_SCOPE_KEY))
    await websocket.send_text(identity.subject)
    await websocket.close()


def make_app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="not secret")

    @app.get("/me")
    async def me(identity: Annotated[Identity, Depends(by_status)]) -> str:
        return identity.subject

    @app.get("/write")
    async def write(identity: Annotated[Identity, Depends(by_status.requires("chat:write"))]) -> str:
        return identity.subject

    @app.get("/admin")
    async def admin(identity: Annotated[Identity, Security(by_code, scopes=["admin"])]) -> str:
        return identity.subject

    @app.get("/session")
    async def session(identity: Annotated[Identity, Depends(from_session)]) -> str:
        return identity.subject

    @app.get("/query")
    async def query(identity: Annotated[Identity, Depends(from_query)]) -> str:
        return identity.subject

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, identity: Annotated[Identity, Depends(by_status)]) -> None:
        await greet(websocket, identity)

    @app.websocket("/ws/write")
    async def ws_write(
        websocket: WebSocket, identity: Annotated[Identity, Depends(by_status.requires("chat:write"))]
    ) -> None:
        await greet(websocket, identity)

    @app.websocket("/ws/code")
    async def ws_code(
        websocket: WebSocket, identity: Annotated[Identity, Security(by_code, scopes=["chat:write"])]
    ) -> None:
        await greet(websocket, identity)

    @app.websocket("/ws/session")
    async def ws_session(websocket: WebSocket, identity: Annotated[Identity, Depends(from_session)]) -> None:
        await greet(websocket, identity)

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token(*scopes: str, expires_in: float = 3600) -> str:
    return by_status.issue("ann", expires_in=expires_in, scopes=scopes)


FORGED = JWTAuth(key=OTHER_SECRET, algorithms=["HS256"]).issue("ann", expires_in=3600)


def test_one_dependency_lets_the_same_token_into_http_routes_and_websockets(client: TestClient) -> None:
    headers = bearer(token("chat:write"))
    assert client.get("/me", headers=headers).json() == "ann"
    assert client.get("/write", headers=headers).json() == "ann"
    for path in ("/ws", "/ws/write", "/ws/code"):
        with client.websocket_connect(path, headers=headers) as websocket:
            assert websocket.receive_text() == "ann"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/me", {}, 401),
        ("/me", bearer("nonsense"), 401),
        ("/me", bearer(FORGED), 401),
        ("/me", bearer(token(expires_in=-60)), 401),
        ("/write", bearer(token("chat:read")), 403),
        ("/admin", bearer(token()), 403),
    ],
)
def test_http_requests_are_refused_with_a_status(
    client: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    response = client.get(path, headers=headers)
    assert response.status_code == status
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert set(response.json()) == {"detail"}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws", {}, 401),
        ("/ws", bearer("nonsense"), 401),
        ("/ws", bearer(FORGED), 401),
        ("/ws", bearer(token(expires_in=-60)), 401),
        ("/ws/write", bearer(token("chat:read")), 403),
    ],
)
def test_websockets_are_refused_before_accept_with_a_status(
    client: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(WebSocketDenialResponse) as denial, client.websocket_connect(path, headers=headers):
        pass
    assert denial.value.status_code == status
    assert denial.value.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("headers", "code", "reason"),
    [
        ({}, 4500, "no token was given"),
        (bearer("nonsense"), 4500, "the token is malformed"),
        (bearer(FORGED), 4500, "the token's signature is wrong"),
        (bearer(token(expires_in=-60)), 4001, "the token has expired"),
        (bearer(token("chat:read")), 4507, "missing scope: chat:write"),
    ],
)
def test_websockets_can_be_refused_by_a_close_code(
    client: TestClient, headers: dict[str, str], code: int, reason: str
) -> None:
    with client.websocket_connect("/ws/code", headers=headers) as websocket:
        assert websocket.receive() == {"type": "websocket.close", "code": code, "reason": reason}


def test_the_marker_of_the_subprotocols_is_echoed_and_never_the_token(client: TestClient) -> None:
    with client.websocket_connect("/ws", subprotocols=["access_token", token()]) as websocket:
        assert websocket.accepted_subprotocol == "access_token"
        assert websocket.receive_text() == "ann"
    with client.websocket_connect("/ws/code", subprotocols=["access_token", "nonsense"]) as websocket:
        assert websocket.accepted_subprotocol == "access_token"
        assert websocket.receive()["code"] == 4500


def test_a_session_of_starlette_signs_in_from_the_same_host_only() -> None:
    app = make_app()

    @app.post("/login")
    async def login(request: Request) -> None:
        request.session["user_id"] = 7

    with TestClient(app) as client:
        assert client.get("/session").status_code == 401
        client.post("/login")
        assert client.get("/session").json() == "7"
        same, foreign = {"Origin": "http://testserver"}, {"Origin": "http://evil.example"}
        with client.websocket_connect("/ws/session", headers=same) as websocket:
            assert websocket.receive_text() == "7"
        with (
            pytest.raises(WebSocketDenialResponse) as denial,
            client.websocket_connect("/ws/session", headers=foreign),
        ):
            pass
        assert denial.value.status_code == 403


def test_openapi_shows_the_schemes_and_the_scopes(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "JWTAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "ByCode": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "Session": {"type": "apiKey", "in": "cookie", "name": "session"},
        "Query": {"type": "apiKey", "in": "query", "name": "token"},
    }
    security = {path: item["get"]["security"] for path, item in document["paths"].items()}
    assert security == {
        "/me": [{"JWTAuth": []}],
        "/write": [{"JWTAuth": ["chat:write"]}],
        "/admin": [{"ByCode": ["admin"]}],
        "/session": [{"Session": []}],
        "/query": [{"Query": []}],
    }


def test_the_description_and_the_default_names_show_in_openapi() -> None:
    app = FastAPI()
    cookie = TokenAuth(lambda token: Identity(subject=token), sources=[Cookie("sid")], description="Ours.")

    @app.get("/")
    async def read(_: Annotated[Identity, Depends(cookie)], __: Annotated[Identity, Depends(Tickets())]) -> None:
        pass

    schemes = app.openapi()["components"]["securitySchemes"]
    assert schemes["TokenAuth"] == {"type": "apiKey", "in": "cookie", "name": "sid", "description": "Ours."}
    assert schemes["Tickets"] == {"type": "apiKey", "in": "query", "name": "ticket"}


def test_overriding_the_dependency_overrides_what_requires_scopes_too() -> None:
    app = make_app()
    app.dependency_overrides[by_status] = lambda: Identity(subject="test")
    with TestClient(app) as client:
        assert client.get("/me").json() == "test"
        assert client.get("/write").json() == "test"
        with client.websocket_connect("/ws/write") as websocket:
            assert websocket.receive_text() == "test"


def test_no_token_reaches_a_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = f"{token()}x{time.time()}"
    client.get("/me", headers=bearer(secret))
    with client.websocket_connect("/ws/code", headers=bearer(secret)) as websocket:
        websocket.receive()
    assert secret not in caplog.text
