"""What the client sees, and the hooks, when an endpoint ends in one way or another."""

import asyncio

import pytest
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocket

from fastapi_rooms import ConnectionClosed, Disconnect, DisconnectReason, InvalidMessage, JoinRefused, QueueLimits
from fastapi_rooms.testing import Closed, eventually
from unit.apps import BRIEF, Noting, client_of
from unit.fakes import SHORT

OTHERS_END = ConnectionClosed(connection_id="other", disconnect=Disconnect(DisconnectReason.CLIENT, 1006))


async def ended_by(error: BaseException, *, raised: bool) -> tuple[Closed, str]:
    """How a connection ends whose endpoint raises this; whether it leaves the endpoint is checked."""
    manager = Noting()
    left: list[BaseException] = []

    async def endpoint(websocket: WebSocket) -> None:
        try:
            async with manager.connect(websocket) as connection:
                await connection.receive()
                raise error
        except BaseException as seen:
            left.append(seen)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text("go")
        closed = await ws.wait_closed()
    assert left == [error] * raised
    return closed, manager.log[-1]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (HTTPException(401, "who?"), 4500, "who?"),
        (HTTPException(403), 4507, "Forbidden"),
        (HTTPException(404), 1008, "Not Found"),
        (HTTPException(413), 1009, "Content Too Large"),
        (HTTPException(429), 4013, "Too Many Requests"),
        (HTTPException(500, "oh"), 1011, "oh"),
        (HTTPException(503, "full"), 1013, "full"),
        (WebSocketException(4400, "ours"), 4400, "ours"),
        (WebSocketException(1008), 1008, ""),
    ],
)
async def test_a_late_http_or_websocket_exception_becomes_a_close_code(
    error: Exception, code: int, text: str
) -> None:
    closed, log = await ended_by(error, raised=False)
    assert (closed.code, log) == (code, f"disconnect closed {code}")
    assert closed.reason == text or code == 1009  # the phrase for 413 depends on the version of Python


async def test_an_invalid_message_that_nobody_caught_closes_with_1007() -> None:
    closed, log = await ended_by(InvalidMessage(detail="missing", field="user.name"), raised=False)
    assert (closed, log) == (Closed(1007, "user.name: missing"), "disconnect invalid_message 1007")


async def test_a_refused_join_that_nobody_caught_closes_with_4507() -> None:
    error = JoinRefused(connection_id="c", room="red", reason="not allowed")
    assert await ended_by(error, raised=False) == (Closed(4507, "not allowed"), "disconnect forbidden 4507")


@pytest.mark.parametrize(
    "error", [LookupError("why"), BaseExceptionGroup("several", [ValueError()]), SystemExit(1)]
)
async def test_any_other_exception_closes_with_1011_and_is_raised(error: BaseException) -> None:
    assert await ended_by(error, raised=True) == (
        Closed(1011, "internal error"),
        "disconnect handler_error 1011",
    )


@pytest.mark.logged_errors
async def test_another_connections_end_is_an_exception_like_any_other_and_logged_since_servers_do_not() -> None:
    assert await ended_by(OTHERS_END, raised=True) == (
        Closed(1011, "internal error"),
        "disconnect handler_error 1011",
    )


async def test_a_cancellation_from_outside_closes_with_1012_and_is_raised() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            await asyncio.Event().wait()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        ws.app_task.cancel()
        assert await ws.wait_closed() == Closed(1012)
        await ws.wait_app_done()
        assert ws.app_task.cancelled()
    assert manager.log[-1] == "disconnect handler_cancelled 1012"


async def test_a_cancellation_from_outside_is_raised_even_if_the_grace_is_over_too() -> None:
    manager = Noting(limits=BRIEF)

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ws.app_task.cancel()
                await asyncio.sleep(0)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done()
        assert ws.app_task.cancelled()
        await manager.emptied()
    assert manager.log[-1] == "disconnect client 1000"


async def test_its_own_connection_closed_is_swallowed_at_the_end_of_the_block() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            while True:
                await connection.receive_text()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done()
        assert ws.app_task.exception() is None


async def test_so_is_a_group_of_nothing_else_as_a_task_group_raises_it() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection, asyncio.TaskGroup() as group:

            async def receive() -> None:
                while True:
                    await connection.receive()

            async def send() -> None:
                while True:
                    await connection.send("tick")
                    await asyncio.sleep(0.001)

            group.create_task(receive())
            group.create_task(send())

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.receive_text() == "tick"
        await ws.close()
        await ws.wait_app_done()
        assert ws.app_task.exception() is None
    assert manager.log[-1] == "disconnect client 1000"


async def test_a_group_with_anything_else_in_it_is_raised() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection, asyncio.TaskGroup() as group:

            async def fail() -> None:
                await connection.receive()
                raise LookupError("why")

            group.create_task(fail())

    async with client_of(endpoint, raise_app_exceptions=False) as client, client.websocket("/x") as ws:
        await ws.send_text("go")
        assert await ws.wait_closed() == Closed(1011, "internal error")
        await ws.wait_app_done()
        error = ws.app_task.exception()
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error.exceptions[0], LookupError)


async def test_a_task_group_that_outlives_the_grace_is_cancelled_with_its_tasks() -> None:
    manager = Noting(limits=BRIEF)
    cancelled: list[int] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket), asyncio.TaskGroup() as group:

            async def work(number: int) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.append(number)

            for number in range(3):
                group.create_task(work(number))

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done()
        assert not ws.app_task.cancelled()
    assert sorted(cancelled) == [0, 1, 2]


async def test_a_code_that_no_frame_can_hold_becomes_1011() -> None:
    assert await ended_by(WebSocketException(1006, "odd"), raised=False) == (
        Closed(1011, "odd"),
        "disconnect closed 1011",
    )


async def test_a_stalled_client_is_let_go_of_within_the_deadlines() -> None:
    manager = Noting(limits=BRIEF, queue=QueueLimits(messages=4, send_timeout=SHORT, close_timeout=SHORT))

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            await connection.receive()
            while True:
                await connection.send("x" * 1000)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        ws.stall()
        await ws.send_text("go")
        await eventually(lambda: len(manager) == 0 and manager.log[-1].endswith("4008"))
        await manager.emptied()
        await ws.wait_app_done()


async def test_a_handler_that_is_busy_when_the_client_leaves_may_end_within_the_grace() -> None:
    manager = Noting()
    done: list[str] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            message = await connection.receive_text()
            await asyncio.sleep(SHORT)
            done.append(message)
            with pytest.raises(ConnectionClosed):
                await connection.send("late")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text("work")
        await manager.noted("connect")
        await ws.close()
    assert done == ["work"]
