"""A manager belongs to one event loop, and says what to do where that goes wrong."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from fastapi_rooms import WrongEventLoop
from unit.apps import Noting, app_of, client_of, staying


def test_it_binds_anew_when_it_is_empty() -> None:
    manager = Noting()
    for _ in range(2):
        asyncio.run(_visit(manager))
    assert manager.log.count("join red") == 2


async def _visit(manager: Noting) -> None:
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await ws.send_text("a")
        assert await ws.receive_text() == "a"


def test_connections_of_a_loop_that_is_closed_are_forgotten() -> None:
    manager = Noting()
    sockets: list[WebSocket] = []

    async def leave_one_behind() -> None:
        async def receive() -> dict[str, object]:
            if sockets:
                await asyncio.Event().wait()
            sockets.append(websocket)
            return {"type": "websocket.connect"}

        async def send(message: object) -> None: ...

        websocket = WebSocket({"type": "websocket", "headers": []}, receive, send)
        session = manager.connect(websocket, user="ann", room="red")
        await session.__aenter__()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_one_behind())
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    assert (len(manager), manager.broadcast_from_thread("x").queued) == (1, 0)
    asyncio.run(_visit(manager))
    assert (len(manager), manager.users, manager.rooms, manager._host.sessions) == (0, frozenset(), (), {})


def in_another_loop(call: Callable[[], object]) -> BaseException | None:
    """What a call raises on an event loop of its own, in a thread of its own."""
    errors: list[BaseException | None] = []

    async def run() -> None:
        result = call()
        if asyncio.iscoroutine(result):
            await result

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            errors.append(error)
        else:
            errors.append(None)

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    return errors[0]


async def test_a_broadcast_from_another_loop_says_what_to_do() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        for call in (
            lambda: manager.broadcast("x"),
            lambda: manager.broadcast("x", room="red"),
            lambda: manager.send_to_user("ann", "x"),
        ):
            error = in_another_loop(call)
            assert isinstance(error, WrongEventLoop)
            assert "broadcast_from_thread" in str(error)
            assert "with TestClient(app) as client" in str(error)
        assert ws.take_received() == []


async def test_a_connection_from_another_loop_says_what_to_do() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        error = in_another_loop(lambda: manager.lifespan().__aenter__())
        assert isinstance(error, WrongEventLoop)
        assert "1 connection(s) on another event loop" in str(error)
        assert "with TestClient(app) as client" in str(error)


def test_two_sockets_of_a_testclient_inside_with_share_a_loop() -> None:
    manager = Noting()
    with TestClient(app_of(staying(manager), manager)) as client:
        stack = ExitStack()
        one, other = (stack.enter_context(client.websocket_connect("/red")) for _ in range(2))
        with stack:
            for ws in (one, other):
                ws.send_text("a")
                assert ws.receive_text() == "a"
            assert manager.broadcast_from_thread("both", room="red").queued == 2
            assert one.receive_text() == other.receive_text() == "both"


def test_two_sockets_of_a_testclient_outside_with_say_what_to_do() -> None:
    manager = Noting()
    client = TestClient(app_of(staying(manager)))
    with client.websocket_connect("/red") as one:
        one.send_text("a")
        assert one.receive_text() == "a"
        with pytest.raises(WrongEventLoop, match="with TestClient"), client.websocket_connect("/red"):
            pass  # pragma: no cover - never entered
