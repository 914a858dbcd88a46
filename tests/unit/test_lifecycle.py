"""From `connect` to the last hook."""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import pytest
from starlette.websockets import WebSocket

from fastapi_rooms import Connection, ConnectionClosed, Disconnect, DisconnectReason, Limits, RoomsError
from fastapi_rooms.testing import Client, Closed, SocketClosed
from unit.apps import BRIEF, Noting, client_of, room_of, staying
from unit.fakes import SHORT


async def test_the_hooks_of_one_connection_run_once_each_and_in_order() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("connect")
        await ws.send_text("a")
        assert await ws.receive_text() == "a"
        await ws.close(1001)
    assert manager.log == ["authorize red", "connect", "join red", "leave red", "disconnect client 1001"]


async def test_a_connection_is_registered_before_anything_is_awaited() -> None:
    manager = Noting()
    seen: list[int] = []

    async def endpoint(websocket: WebSocket) -> None:
        coming = asyncio.create_task(_open(manager, websocket))
        await asyncio.sleep(0)
        seen.append(len(manager))
        await coming

    manager.hold("authorize").set()
    async with client_of(endpoint) as client, client.websocket("/red"):
        pass
    assert seen == [1]


async def _open(manager: Noting, websocket: WebSocket) -> None:
    async with manager.connect(websocket, room="red"):
        pass


async def test_leaving_the_block_closes_with_1000_after_what_was_sent() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            await connection.send("bye")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.receive_text() == "bye"
        assert await ws.wait_closed() == Closed(1000)
    assert manager.log == ["connect", "disconnect finished 1000"]


async def test_states_and_membership_are_seen_by_everyone() -> None:
    manager = Noting()
    connections: list[Connection[object]] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, user="ann", room="red") as connection:
            connections.append(connection)
            assert manager.connection(connection.id) is connection
            assert manager.connections == (connection,)
            assert manager.users == {"ann"}
            assert manager.rooms == ("red",)
            assert (len(manager), connection.status) == (1, "connected")
            assert connection.rooms == {"red"}
            await connection.receive()

    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await ws.send_text("go")
        await ws.wait_app_done()
    (connection,) = connections
    assert (connection.status, connection.rooms) == ("disconnected", frozenset())
    assert manager.connection(connection.id) is None
    assert (len(manager), manager.users, manager.rooms, bool(manager)) == (0, frozenset(), (), True)


@pytest.mark.parametrize("how", ["close", "reset", "return"])
async def test_the_plain_style_ends_with_disconnect(how: str) -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        connection = await manager.connect(websocket, room=room_of(websocket))
        try:
            while True:
                message = await connection.receive_text()
                if message == "return":
                    return
        except ConnectionClosed:
            pass
        finally:
            await manager.disconnect(connection)
            assert manager.log[-1].startswith("disconnect")

    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await manager.noted("connect")
        if how == "return":
            await ws.send_text("return")
            assert await ws.wait_closed() == Closed(1000)
        elif how == "close":
            await ws.close()
        else:
            await ws.vanish()
    assert manager.log[:4] == ["authorize red", "connect", "join red", "leave red"]
    assert len(manager.log) == 5


async def test_a_forgotten_disconnect_is_made_up_for_when_the_endpoint_ends() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        connection = await manager.connect(websocket)
        await connection.send(await connection.receive_text())

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text("a")
        assert await ws.receive_text() == "a"
        await ws.wait_app_done()
        await manager.emptied()
    assert manager.log == ["connect", "disconnect client 1006"]  # servers drop what an endpoint leaves open


@pytest.mark.parametrize(
    ("message", "end"),
    [("return", "finished 1000"), ("raise", "handler_error 1011"), ("cancel", "handler_cancelled 1012")],
)
async def test_it_is_made_up_for_too_when_only_the_task_that_connected_ends(message: str, end: str) -> None:
    manager = Noting()

    async def part(websocket: WebSocket) -> None:
        connection = await manager.connect(websocket)
        if await connection.receive_text() == "raise":
            raise LookupError("why")
        if message == "cancel":
            raise asyncio.CancelledError

    async def endpoint(websocket: WebSocket) -> None:
        await asyncio.wait((asyncio.create_task(part(websocket)),))
        await manager.emptied()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text(message)
        assert (await ws.wait_closed()).code == int(end[-4:])
    assert manager.log == ["connect", f"disconnect {end}"]


async def test_a_plain_endpoint_that_outlives_the_grace_is_cancelled() -> None:
    manager = Noting(limits=BRIEF)

    async def endpoint(websocket: WebSocket) -> None:
        await manager.connect(websocket)
        await asyncio.Event().wait()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done()
        assert ws.app_task.cancelled()
        await manager.emptied()
    assert manager.log == ["connect", "disconnect client 1000"]


async def test_a_plain_endpoint_that_is_cancelled_still_runs_its_hooks() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        connection = await manager.connect(websocket)
        try:
            await asyncio.Event().wait()
        finally:
            await manager.disconnect(connection)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        ws.app_task.cancel()
        await ws.wait_app_done()
        assert await ws.wait_closed() == Closed(1000)
    assert manager.log == ["connect", "disconnect closed 1000"]


async def test_disconnecting_somebody_else_closes_and_leaves_the_hooks_to_its_endpoint() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("connect")
        (connection,) = manager.connections
        await manager.disconnect(connection, code=4400, reason="out")
        assert await ws.wait_closed() == Closed(4400, "out")
        await manager.disconnect(connection)
    assert manager.log[-2:] == ["leave red", "disconnect closed 4400"]
    await manager.disconnect(connection)


async def test_what_the_client_sent_before_it_left_is_still_handled() -> None:
    manager = Noting()
    received: list[str | bytes] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            async for message in connection:
                await asyncio.sleep(0.001)
                received.append(message)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        for text in "abc":
            await ws.send_text(text)
        await ws.close()
    assert received == ["a", "b", "c"]


async def test_a_block_that_outlives_the_grace_is_cancelled_and_the_endpoint_goes_on() -> None:
    manager = Noting(limits=BRIEF)
    after: list[int] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        after.append(task.cancelling())

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done()
    assert after == [0]
    assert manager.log == ["connect", "disconnect client 1000"]


async def test_without_a_grace_a_block_ends_when_it_likes() -> None:
    manager = Noting(limits=Limits(handler_grace=None))
    go = asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            await go.wait()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await asyncio.sleep(SHORT)
        assert not ws.app_task.done()
        go.set()
        await ws.wait_app_done()


@pytest.mark.usefixtures("time_by_turns")
async def test_a_grace_of_zero_cancels_at_once() -> None:
    manager = Noting(limits=Limits(handler_grace=0))

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            await asyncio.Event().wait()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done(timeout=1)


async def test_a_block_that_swallows_the_cancellation_of_the_grace_ends_as_usual() -> None:
    manager = Noting(limits=BRIEF)
    left: list[int] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
    assert (manager.log, left) == (["connect", "disconnect client 1000"], [0])


async def test_a_block_that_asks_for_the_cancellation_again_loses_it_on_leaving() -> None:
    """As asyncio.TaskGroup does from Python 3.13 on, if a child failed in the turn in which the grace ended."""
    manager = Noting(limits=BRIEF)
    after: list[int] = []

    async def endpoint(websocket: WebSocket) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with manager.connect(websocket):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.uncancel()
                task.cancel()
        await asyncio.sleep(0)
        after.append(task.cancelling())

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
    assert (manager.log, after) == (["connect", "disconnect client 1000"], [0])


async def test_a_hook_of_leaving_is_shielded_from_the_cancellation_of_the_endpoint() -> None:
    manager = Noting()
    hold = manager.hold("disconnect")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("connect")
        await ws.close()
        await manager.noted("disconnect client 1000")
        ws.app_task.cancel()
        await ws.wait_app_done()
        assert ws.app_task.cancelled()
        assert manager._host.sessions
        hold.set()
        await manager.emptied()


async def test_reading_from_the_raw_socket_names_the_connections_methods() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            with pytest.raises(RoomsError, match=r"connection\.receive_text"):
                await websocket.receive_text()

    async with client_of(endpoint) as client, client.websocket("/x"):
        pass


async def test_closing_the_raw_socket_after_the_end_is_harmless() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            pass
        await websocket.close()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.wait_closed() == Closed(1000)


async def test_an_endpoint_may_have_accepted_already() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        async with manager.connect(websocket) as connection:
            await connection.send("hi")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.receive_text() == "hi"


async def test_subprotocol_and_headers_are_sent_on_accept() -> None:
    manager = Noting()
    endpoint = staying(manager, subprotocol="chat", headers=[(b"x-a", b"b")])
    async with client_of(endpoint) as client, client.websocket("/red", subprotocols=["chat", "other"]) as ws:
        assert (ws.accepted_subprotocol, ws.accepted_headers["x-a"]) == ("chat", "b")


async def test_the_marker_that_authentication_found_is_echoed() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        websocket.scope["fastapi_rooms.subprotocol"] = "token"
        async with manager.connect(websocket):
            pass

    async with client_of(endpoint) as client, client.websocket("/x", subprotocols=["token"]) as ws:
        assert ws.accepted_subprotocol == "token"


async def test_many_come_and_go_at_once_and_nothing_is_left() -> None:
    manager = Noting()
    async with client_of(staying(manager), manager) as client:
        await asyncio.gather(*(_visit(client, number) for number in range(100)))
        await manager.emptied()
        assert (len(manager), manager.rooms, len(manager._host.tasks)) == (0, (), 0)
    assert manager.log.count("connect") == 100
    statistics = manager.statistics()
    assert (statistics.accepted, sum(statistics.disconnected.values())) == (100, 100)


async def _visit(client: Client, number: int) -> None:
    async with client.websocket(f"/room-{number % 7}") as ws:
        await ws.send_text("a")
        assert await ws.receive_text() == "a"
        if number % 2:
            await ws.vanish()


@pytest.mark.parametrize(
    ("error", "warnings"), [(OSError("gone"), []), (ValueError("odd"), ["the handshake failed"])]
)
async def test_a_client_that_left_during_the_handshake_is_no_error(
    error: Exception, warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    manager = Noting()

    async def send(message: MutableMapping[str, Any]) -> None:
        raise error

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    websocket = WebSocket({"type": "websocket", "path_params": {}}, receive, send)
    with pytest.raises(ConnectionClosed) as caught:
        await manager.connect(websocket, room="red").__aenter__()
    assert caught.value.disconnect == Disconnect(
        DisconnectReason.CLIENT, 1006, f"the handshake was not completed: {type(error).__name__}"
    )
    assert (len(manager), manager.log, caplog.messages) == (0, ["authorize red"], warnings)


async def test_a_socket_that_closes_in_on_connect_never_enters_the_block() -> None:
    entered: list[int] = []

    class Refusing(Noting):
        async def on_connect(self, connection: Connection[object]) -> None:
            await super().on_connect(connection)
            await connection.close(4000, "no")

    manager = Refusing()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room="red"):
            entered.append(1)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        with pytest.raises(SocketClosed):
            await ws.receive()
        assert ws.closed == Closed(4000, "no")
    assert (entered, manager.log) == ([], ["authorize red", "connect", "disconnect closed 4000"])
