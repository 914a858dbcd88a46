"""Refused before accept: nothing is registered, nothing was accepted, and the client sees why."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocket

from fastapi_rooms import Connection, ConnectionRefused, HookTimeout, Limits
from fastapi_rooms.testing import Client, Closed, Refused, eventually
from unit.apps import BRIEF, Noting, client_of, room_of, staying


async def refusal_of(client: Client, path: str = "/red") -> Refused:
    with pytest.raises(Refused) as caught:
        async with client.websocket(path):
            pass  # pragma: no cover - never entered
    return caught.value


async def test_a_room_that_authorize_refuses_is_a_403_and_no_hook_ran() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client:
        refused = await refusal_of(client, "/secret")
    assert (refused.status, refused.body.decode()) == (403, "not allowed in this room")
    assert (manager.log, len(manager), manager._host.sessions) == (["authorize secret"], 0, {})
    assert manager.statistics().accepted == 0


async def test_a_server_without_denial_responses_gets_a_bare_403() -> None:
    manager = Noting()
    async with client_of(staying(manager), denial_response=False) as client:
        assert (await refusal_of(client, "/secret")).status == 403


@pytest.mark.parametrize(
    ("error", "status"), [(HTTPException(404, "no such room"), 404), (WebSocketException(4000), 403)]
)
async def test_authorize_may_refuse_in_its_own_words(error: Exception, status: int) -> None:
    manager = Noting()
    manager.errors["authorize"] = error
    async with client_of(staying(manager)) as client:
        assert (await refusal_of(client)).status == status
    assert (manager.reported, len(manager)) == ([], 0)


@pytest.mark.logged_errors
async def test_an_authorize_that_raises_refuses_and_is_reported() -> None:
    manager = Noting()
    manager.errors["authorize"] = LookupError("database")
    async with client_of(staying(manager)) as client:
        assert (await refusal_of(client)).status == 403
    assert ([str(error) for error in manager.reported], len(manager)) == (["database"], 0)


@pytest.mark.logged_errors
async def test_an_authorize_that_hangs_refuses_and_is_reported() -> None:
    manager = Noting(limits=BRIEF)
    manager.hold("authorize")
    async with client_of(staying(manager)) as client:
        assert (await refusal_of(client)).status == 403
    assert [type(error) for error in manager.reported] == [HookTimeout]
    assert len(manager) == 0


@pytest.mark.parametrize(
    ("limits", "room"),
    [(Limits(room_name_bytes=3), "grün"), (Limits(room_name_bytes=3), "long"), (Limits(), "x" * 256)],
)
async def test_a_room_name_that_is_too_long_is_refused_without_asking(limits: Limits, room: str) -> None:
    manager = Noting(limits=limits)
    async with client_of(staying(manager)) as client:
        assert (await refusal_of(client, f"/{room}")).status == 403
    assert manager.log == []


async def test_one_connection_too_many_is_a_503() -> None:
    manager = Noting(limits=Limits(connections=2))
    async with client_of(staying(manager)) as client:
        async with client.websocket("/red"), client.websocket("/red"):
            refused = await refusal_of(client)
            assert (refused.status, refused.body.decode(), len(manager)) == (503, "too many connections", 2)
        await manager.emptied()
        async with client.websocket("/red"):
            pass


async def test_one_connection_too_many_of_a_user_is_a_429() -> None:
    manager = Noting(limits=Limits(connections_per_user=1))

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, user_id=room_of(websocket)) as connection:
            await connection.receive()

    async with client_of(endpoint) as client:
        async with client.websocket("/ann"), client.websocket("/bob"):
            refused = await refusal_of(client, "/ann")
            assert (refused.status, refused.body.decode()) == (429, "too many connections of this user")
            assert len(manager) == 2
        await manager.emptied()
        async with client.websocket("/ann"):
            pass


async def test_a_connection_whose_handshake_goes_on_counts() -> None:
    manager = Noting(limits=Limits(connections=1))
    hold = manager.hold("authorize")
    async with client_of(staying(manager)) as client:
        first = asyncio.create_task(_visit(client))
        await manager.noted("authorize red")
        assert (await refusal_of(client)).status == 503
        hold.set()
        await first


async def _visit(client: Client) -> None:
    async with client.websocket("/red") as ws:
        await ws.send_text("a")
        await ws.receive_text()


async def test_a_manager_that_drains_refuses_with_503() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client:
        assert await manager.drain(timeout=0.01)
        refused = await refusal_of(client)
    assert (refused.status, refused.body.decode()) == (503, "the server is going away")


async def test_a_connection_that_ends_while_it_is_authorized_is_refused_with_503() -> None:
    manager = Noting()
    hold = manager.hold("authorize")
    async with client_of(staying(manager)) as client:
        first = asyncio.create_task(refusal_of(client))
        await manager.noted("authorize red")
        draining = asyncio.create_task(manager.drain(timeout=0.01))
        await eventually(lambda: not manager.connections)
        hold.set()
        assert (await first).status == 503
        await draining
    assert (manager.log, len(manager)) == (["authorize red"], 0)


async def test_an_endpoint_that_is_cancelled_while_it_is_authorized_leaves_nothing() -> None:
    manager = Noting()
    manager.hold("authorize")
    raised: list[BaseException] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room="red"):
            pass  # pragma: no cover - never entered

    async def send(message: Any) -> None:
        raise AssertionError(message)  # pragma: no cover - nothing is sent

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    task = asyncio.create_task(endpoint(WebSocket({"type": "websocket"}, receive, send)))
    await manager.noted("authorize red")
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), len(manager), manager._host.sessions, raised) == (True, 0, {}, [])


async def test_a_refusal_can_be_caught_and_the_socket_closed_otherwise() -> None:
    manager = Noting(limits=Limits(connections=1))
    caught: list[ConnectionRefused] = []

    async def endpoint(websocket: WebSocket) -> None:
        try:
            async with manager.connect(websocket) as connection:
                await connection.receive()
        except ConnectionRefused as error:
            caught.append(error)
            await websocket.accept()
            await websocket.close(1013, error.detail)

    async with client_of(endpoint) as client, client.websocket("/x"), client.websocket("/x") as ws:
        assert await ws.wait_closed() == Closed(1013, "too many connections")
    assert [error.status_code for error in caught] == [503]


async def test_a_room_that_is_no_string_is_an_error_of_the_endpoint() -> None:
    manager = Noting()
    raised: list[str] = []

    async def endpoint(websocket: WebSocket) -> None:
        with pytest.raises(TypeError, match="a room's name is a str, not int") as caught:
            async with manager.connect(websocket, room=7):  # type: ignore[arg-type]  # on purpose
                pass  # pragma: no cover - never entered
        raised.append(str(caught.value))
        await websocket.close()

    async with client_of(endpoint) as client:
        await refusal_of(client)
    assert (len(raised), len(manager)) == (1, 0)


async def test_the_state_is_looked_at_again_after_authorize() -> None:
    class Kicking(Noting):
        async def authorize(self, connection: Connection[Any], room: str) -> bool:
            await connection.close(4000)
            return True

    manager = Kicking()
    async with client_of(staying(manager)) as client:
        assert (await refusal_of(client)).status == 503
    assert manager.log == []
