"""Hooks that raise, hang, or end their connection: that connection only."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocket

from fastapi_rooms import (
    Connection,
    ConnectionClosed,
    ConnectionManager,
    Disconnect,
    DisconnectReason,
    Dropped,
    HookTimeout,
    InvalidMessage,
    Limits,
    Overflow,
    QueueLimits,
)
from fastapi_rooms.hooks import expected_end
from fastapi_rooms.testing import Closed
from unit.apps import BRIEF, Noting, client_of, room_of, staying

INTERNAL_ERROR = Closed(1011, "internal error")
WHY = LookupError("why")


@pytest.mark.logged_errors
@pytest.mark.parametrize("hook", ["connect", "join"])
async def test_a_hook_of_arriving_that_raises_closes_its_connection_with_1011(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Noting()
    manager.errors[hook] = WHY
    async with client_of(staying(manager)) as client:
        async with client.websocket("/red") as ws:
            assert await ws.wait_closed() == INTERNAL_ERROR
        manager.errors.clear()
        async with client.websocket("/red") as ws:
            await ws.send_text("the next one is fine")
            await ws.receive_text()
    assert manager.reported == [WHY]
    assert "disconnect hook_error 1011" in manager.log
    assert any(message.startswith(f"on_{hook} failed for connection") for message in caplog.messages)


@pytest.mark.logged_errors
@pytest.mark.parametrize("hook", ["leave", "disconnect"])
async def test_a_hook_of_leaving_that_raises_disturbs_nobody(hook: str) -> None:
    manager = Noting()
    manager.errors[hook] = WHY
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        await ws.close()
    assert manager.log[3:] in (
        ["leave red", "error", "disconnect client 1000"],
        ["leave red", "disconnect client 1000", "error"],
    )
    assert (len(manager), manager.reported) == (0, [WHY])


@pytest.mark.logged_errors
@pytest.mark.parametrize("hook", ["connect", "join"])
async def test_a_hook_of_arriving_that_hangs_is_given_up(hook: str) -> None:
    manager = Noting(limits=BRIEF)
    manager.hold(hook)
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == INTERNAL_ERROR
    (error,) = manager.reported
    assert isinstance(error, HookTimeout)
    assert (error.hook, error.timeout) == (f"on_{hook}", BRIEF.hook_timeout)
    assert manager.log[-1] == "disconnect hook_error 1011"


@pytest.mark.logged_errors
@pytest.mark.parametrize("hook", ["leave", "disconnect"])
async def test_a_hook_of_leaving_that_hangs_is_given_up(hook: str) -> None:
    manager = Noting(limits=BRIEF)
    manager.hold(hook)
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        await ws.close()
    assert [type(error) for error in manager.reported] == [HookTimeout]
    assert "disconnect client 1000" in manager.log


@pytest.mark.logged_errors
async def test_a_hook_that_raises_a_timeout_of_its_own_has_raised() -> None:
    manager = Noting(limits=Limits(hook_timeout=None))
    manager.errors["connect"] = TimeoutError("the database")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == INTERNAL_ERROR
    assert [str(error) for error in manager.reported] == ["the database"]


@pytest.mark.logged_errors
async def test_an_on_error_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    manager = Noting()
    manager.errors["connect"], manager.errors["error"] = WHY, ValueError("again")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == INTERNAL_ERROR
    assert any(message.startswith("on_error failed for connection") for message in caplog.messages)


@pytest.mark.logged_errors
async def test_an_on_error_that_hangs_is_given_up() -> None:
    manager = Noting(limits=BRIEF)
    manager.errors["connect"] = WHY
    manager.hold("error")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == INTERNAL_ERROR
    assert manager.log[-1] == "disconnect hook_error 1011"


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        (WebSocketException(4400, "not you"), Closed(4400, "not you")),
        (HTTPException(403, "not you"), Closed(4507, "not you")),
    ],
)
async def test_a_hook_may_close_with_a_code_of_its_choice(error: Exception, closed: Closed) -> None:
    manager = Noting()
    manager.errors["connect"] = error
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == closed
    assert (manager.reported, manager.log[-1]) == ([], f"disconnect closed {closed.code}")


async def test_a_hook_that_finds_its_own_connection_closed_is_no_error() -> None:
    class Greeting(Noting):
        async def on_connect(self, connection: Connection[Any]) -> None:
            await connection.close(4000)
            await connection.send("hello")

    manager = Greeting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == Closed(4000)
    assert manager.reported == []


@pytest.mark.logged_errors
async def test_a_hook_that_finds_another_connection_closed_has_raised() -> None:
    manager = Noting()
    error = ConnectionClosed(connection_id="other", disconnect=Disconnect(DisconnectReason.CLIENT, 1006))
    manager.errors["connect"] = error
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        assert await ws.wait_closed() == INTERNAL_ERROR
    assert manager.reported == [error]


async def test_a_plain_manager_has_hooks_that_do_nothing() -> None:
    manager: ConnectionManager[str, Any] = ConnectionManager()

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket, user="ann")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_json({"a": 1})
        await ws.send_text("{")
        assert (await ws.wait_closed()).code == 1007


async def test_serve_passes_messages_on_in_order_one_at_a_time() -> None:
    class Slow(Noting):
        async def on_message(self, connection: Connection[Any], message: Any) -> None:
            self.log.append(f"begin {message}")
            await asyncio.sleep(0.001 * (3 - message))
            self.log.append(f"end {message}")

    manager = Slow()

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket, room=room_of(websocket))

    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        for number in range(3):
            await ws.send_json(number)
        await manager.noted("end 2")
    assert manager.log[3:9] == ["begin 0", "end 0", "begin 1", "end 1", "begin 2", "end 2"]


@pytest.mark.logged_errors
async def test_an_on_message_that_raises_closes_with_1011_and_serve_returns() -> None:
    manager = Noting()
    manager.errors["message"] = WHY

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_json(1)
        await ws.send_json(2)
        assert await ws.wait_closed() == INTERNAL_ERROR
        await ws.wait_app_done()
        assert ws.app_task.exception() is None
    assert manager.log == ["connect", "message 1", "error", "disconnect handler_error 1011"]


async def test_serve_validates_with_the_message_model() -> None:
    class Numbers(Noting):
        message_model = list[int]

    manager = Numbers()

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_json([1, 2])
        await ws.send_json([1, "x"])
        closed = await ws.wait_closed()
        assert (closed.code, closed.reason.split(":")[0]) == (1007, "1")
    assert manager.log == ["connect", "message [1, 2]", "invalid", "disconnect invalid_message 1007"]


@pytest.mark.parametrize(
    ("message", "code", "reason"), [("{", 1007, "invalid_message"), (b"1", 1003, "unsupported_data")]
)
async def test_what_is_not_json_closes_by_default(message: str | bytes, code: int, reason: str) -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send(message)
        assert (await ws.wait_closed()).code == code
    assert manager.log[-1] == f"disconnect {reason} {code}"


async def test_an_on_invalid_message_may_forgive() -> None:
    class Forgiving(Noting):
        async def on_invalid_message(self, connection: Connection[Any], error: InvalidMessage) -> None:
            await connection.send_json({"error": error.detail})

    manager = Forgiving()

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_bytes(b"1")
        assert await ws.receive_json() == {"error": "text expected, binary received"}
        await ws.send_json(1)
        await manager.noted("message 1")


@pytest.mark.logged_errors
async def test_an_on_invalid_message_that_raises_closes_with_1011() -> None:
    manager = Noting()
    manager.errors["invalid"] = WHY

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text("{")
        assert await ws.wait_closed() == INTERNAL_ERROR
    assert manager.reported == [WHY]


async def test_a_handler_that_hangs_in_on_message_is_cancelled_after_the_grace() -> None:
    manager = Noting(limits=BRIEF)
    manager.hold("message")

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_json(1)
        await manager.noted("message 1")
        await ws.close()
        await ws.wait_app_done()
        assert not ws.app_task.cancelled()
    assert manager.log == ["connect", "message 1", "disconnect client 1000"]


async def test_on_overflow_runs_once_per_episode_with_counts() -> None:
    manager = Noting(queue=QueueLimits(messages=4), overflow=Overflow.DROP_OLDEST)
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        ws.stall()
        deliveries = [await manager.broadcast(str(number)) for number in range(20)]
        assert all(one.queued == 1 for one in deliveries)
        ws.resume()
        await manager.noted("overflow")
        ws.stall()
        for number in range(20):
            await manager.broadcast(str(number))
        ws.resume()
        await manager.noted("overflow", times=2)
    dropped = manager.statistics().total.dropped
    assert sum(one.oldest for one in manager.dropped) == dropped.oldest > 0
    assert len(manager.dropped) == 2


async def test_episodes_that_end_while_on_overflow_runs_are_reported_together_after_it() -> None:
    manager = Noting(queue=QueueLimits(messages=4), overflow=Overflow.DROP_OLDEST)
    hold = manager.hold("overflow")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        link = manager.connections[0].link
        for episode in range(3):
            ws.stall()
            for number in range(20):
                await manager.broadcast(str(number))
            ws.resume()
            await link.writer.join()
            assert len(manager.dropped) <= 1, episode
        await manager.noted("overflow")
        hold.set()
        await manager.noted("overflow", times=2)
    total = manager.statistics().total.dropped.oldest
    assert len(manager.dropped) == 2
    assert sum(one.oldest for one in manager.dropped) == total


async def test_an_episode_that_the_end_cuts_off_is_reported_before_on_disconnect() -> None:
    manager = Noting(queue=QueueLimits(messages=2, close_timeout=0.02), overflow=Overflow.DROP_NEWEST)
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        ws.stall()
        for number in range(20):
            await manager.broadcast(str(number))
        await ws.vanish()
    assert manager.log[3:] == ["overflow", "leave red", "disconnect client 1006"]
    assert manager.dropped == [Dropped(newest=10, bytes=20)]


@pytest.mark.logged_errors
async def test_an_on_overflow_that_raises_closes_its_connection() -> None:
    manager = Noting(queue=QueueLimits(messages=4), overflow=Overflow.DROP_OLDEST)
    manager.errors["overflow"] = WHY
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        ws.stall()
        for number in range(20):
            await manager.broadcast(str(number))
        ws.resume()
        assert await ws.wait_closed() == INTERNAL_ERROR


def test_an_ordinary_exception_asks_for_no_close_code() -> None:
    assert expected_end(WHY) is None
