import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketException
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from fastapi_rooms.testing import Client, LifespanFailed, ProtocolViolation, Refused, SocketClosed


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, list[object]]]:
    yield {"log": ["started"]}


app = FastAPI(lifespan=lifespan)
sockets: set[WebSocket] = set()


@app.websocket("/rooms/{room}")
async def tutorial(websocket: WebSocket, room: str, name: str = "nobody") -> None:
    """As in the tutorials: nothing is caught."""
    await websocket.accept()
    sockets.add(websocket)
    try:
        while True:
            await websocket.send_text(f"{room}: {name}: {await websocket.receive_text()}")
    finally:
        sockets.discard(websocket)


def refuse_http() -> None:
    raise HTTPException(401, "no token", headers={"www-authenticate": "Bearer"})


@app.websocket("/http", dependencies=[Depends(refuse_http)])
async def refused_with_http(websocket: WebSocket) -> None:
    raise AssertionError("never called")  # pragma: no cover


@app.websocket("/bare")
async def refused_barely(websocket: WebSocket) -> None:
    raise WebSocketException(1008)


@app.websocket("/late")
async def closed_by_exception(websocket: WebSocket) -> None:
    await websocket.accept()
    raise WebSocketException(4001, "expired")


@app.websocket("/sends")
async def sends(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    try:
        while True:
            await websocket.send_text("x")
            await asyncio.sleep(0)
    except WebSocketDisconnect as disconnect:
        websocket.state.log.append(disconnect.code)


@app.post("/say")
async def say(message: dict[str, str]) -> int:
    for websocket in sockets:
        await websocket.send_json(message)
    return len(sockets)


@app.get("/sync")
def sync() -> str:
    return "from a thread"


@app.get("/stream")
def stream() -> StreamingResponse:
    return StreamingResponse(iter(["a", "b"]))


@app.get("/boom")
def boom() -> None:
    raise LookupError("boom")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(app) as client:
        yield client


async def test_two_sockets_of_a_fastapi_app_and_a_post_share_one_loop(client: Client) -> None:
    async with client.websocket("/rooms/a?name=ann") as ann, client.websocket("/rooms/b") as bob:
        await ann.send_text("hi")
        assert await ann.receive_text() == "a: ann: hi"
        response = await client.post("/say", json={"text": "all"})
        assert (response.status, response.json()) == (200, 2)
        assert await ann.receive_json() == await bob.receive_json() == {"text": "all"}
    assert not sockets


async def test_a_tutorial_endpoint_that_lets_the_disconnect_escape_is_no_error(client: Client) -> None:
    async with client.websocket("/rooms/a") as ws:
        await ws.close()


async def test_the_lifespans_state_is_seen(client: Client) -> None:
    assert client.state == {"log": ["started"]}


async def test_an_http_exception_before_accept_is_a_denial_response(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        async with client.websocket("/http"):
            pass  # pragma: no cover - never entered
    assert caught.value.status == 401
    assert caught.value.headers["www-authenticate"] == "Bearer"
    assert caught.value.json() == {"detail": "no token"}


async def test_an_http_exception_before_accept_needs_the_extension() -> None:
    async with Client(app, denial_response=False) as client:
        with pytest.raises(ProtocolViolation):
            async with client.websocket("/http"):
                pass  # pragma: no cover - never entered


@pytest.mark.parametrize("path", ["/bare", "/no/such/path"])
async def test_a_refusal_without_a_response_is_403(client: Client, path: str) -> None:
    with pytest.raises(Refused) as caught:
        async with client.websocket(path):
            pass  # pragma: no cover - never entered
    assert caught.value.status == 403


async def test_a_websocket_exception_after_accept_is_a_close_code(client: Client) -> None:
    async with client.websocket("/late") as ws:
        with pytest.raises(SocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "expired")


async def test_sends_to_a_client_that_is_gone_raise_what_starlette_makes_of_it(client: Client) -> None:
    async with client.websocket("/sends") as ws:
        await ws.send_text("go")
        await ws.receive()
        await ws.vanish()
        await ws.wait_app_done()
    assert client.state["log"] == ["started", 1006]


async def test_plain_functions_run_in_their_thread_and_streams_are_collected(client: Client) -> None:
    assert (await client.get("/sync")).json() == "from a thread"
    assert (await client.get("/stream")).text == "ab"


async def test_a_route_that_raises_is_500_where_exceptions_are_not_raised() -> None:
    async with Client(app, raise_app_exceptions=False) as client:
        response = await client.get("/boom")
        assert (response.status, response.text) == (500, "Internal Server Error")


async def test_a_route_that_raises_is_raised(client: Client) -> None:
    with pytest.raises(LookupError, match="boom"):
        await client.get("/boom")


async def test_a_lifespan_that_raises_at_shutdown_is_reported() -> None:
    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        yield
        raise LookupError("at shutdown")

    with pytest.raises(LifespanFailed, match="at shutdown"):
        async with Client(FastAPI(lifespan=broken)):
            pass
