"""What a hook does to its own connection, and what it must never do to another."""

import asyncio
import sys
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocket

from fastapi_rooms import (
    CloseCode,
    ConfigurationError,
    Connection,
    ConnectionManager,
    Delivery,
    Disconnect,
    NotConnected,
    RoomManager,
    RoomsError,
)
from fastapi_rooms.auth import Identity
from fastapi_rooms.testing import Client, Closed, Refused, eventually
from unit.apps import BRIEF, Noting, app_of, client_of, for_ever, staying


class Producing(Noting):
    """Starts a task when active, and stops it the way that lets its `CancelledError` out."""

    producer: "asyncio.Task[None] | None" = None

    async def on_active(self) -> None:
        await self._note("active")
        self.producer = asyncio.create_task(for_ever())

    async def on_idle(self) -> None:
        await self._note("idle")
        assert self.producer is not None
        self.producer.cancel()
        await self.producer


@pytest.mark.logged_errors
async def test_a_hook_that_lets_a_foreign_cancellation_out_skips_no_later_hook() -> None:
    class Cancelling(Producing):
        async def on_leave(self, connection: Connection[Any], room: str) -> None:
            await super().on_leave(connection, room)
            task = asyncio.create_task(for_ever())
            await asyncio.sleep(0)
            task.cancel()
            await task

    manager = Cancelling()
    async with client_of(staying(manager)) as client:
        for times in (1, 2):
            async with client.websocket("/red") as ws:
                await manager.noted("join red", times=times)
                await ws.close()
            await manager.emptied()
    once = [
        "active",
        "authorize red",
        "connect",
        "join red",
        "leave red",
        "error",
        "disconnect client 1000",
        "idle",
        "error",
    ]
    assert sorted(manager.log) == sorted(once * 2)
    assert all(isinstance(error, RoomsError) for error in manager.reported)


@pytest.mark.logged_errors
async def test_an_on_message_that_lets_a_foreign_cancellation_out_has_failed() -> None:
    class Cancelling(Noting):
        async def on_message(self, connection: Connection[Any], message: Any) -> None:
            task = asyncio.create_task(for_ever())
            await asyncio.sleep(0)
            task.cancel()
            await task

    manager = Cancelling()
    async with client_of(manager.serve) as client, client.websocket("/x") as ws:
        await ws.send_text("{}")
        assert (await ws.wait_closed()).code == CloseCode.INTERNAL_ERROR
    assert len(manager.reported) == 1


async def test_a_room_that_is_closed_while_a_member_joins_leaves_it_connected() -> None:
    manager = Noting()
    joining = manager.hold("join")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        closing = asyncio.create_task(manager.close_room("red"))
        await eventually(lambda: manager.count_here("red") == 0)
        joining.set()
        assert await closing == 1
        await ws.send_text("still here")
        assert await ws.receive_text() == "still here"
    assert manager.log[:4] == ["authorize red", "connect", "join red", "leave red"]


async def test_a_hook_may_leave_its_room_even_from_a_task_of_its_own() -> None:
    class Leaving(Noting):
        async def on_join(self, connection: Connection[Any], room: str) -> None:
            await super().on_join(connection, room)
            assert await asyncio.wait_for(self.leave(connection, room), 1)
            self.log.append("joined")

    manager = Leaving()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("leave red")
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"
    assert manager.log[2:5] == ["join red", "joined", "leave red"]


async def test_a_room_can_be_closed_by_the_hook_that_opens_it() -> None:
    class Closing(Noting):
        async def on_room_active(self, room: str) -> None:
            await self.close_room(room)

    manager = Closing()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"
    assert "join red" not in manager.log


@pytest.mark.logged_errors
async def test_a_hook_that_hangs_costs_no_other_connection_its_own_hook_time() -> None:
    manager = Noting(limits=BRIEF)
    kicked: list[Connection[Any]] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room="red") as connection:
            kicked.append(connection)
            async for _ in connection:
                pass

    class Moderating(RoomManager[Any, Any]):
        async def on_connect(self, connection: Connection[Any]) -> None:
            await manager.leave(kicked[0], "red")

    moderators = Moderating(limits=BRIEF)
    manager.hold("leave")
    members, others = client_of(endpoint), client_of(staying(moderators))
    async with members, others, members.websocket("/x") as member:
        await manager.noted("join red")
        async with others.websocket("/x") as moderator:
            await moderator.send_text("unharmed")
            assert await moderator.receive_text() == "unharmed"
        assert (await member.wait_closed()).code == CloseCode.INTERNAL_ERROR


@pytest.mark.logged_errors
@pytest.mark.usefixtures("time_by_turns")
async def test_all_on_leaves_of_one_connection_share_one_hook_timeout() -> None:
    manager = Noting(limits=BRIEF)
    manager.hold("leave")

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            for number in range(20):
                await manager.join(connection, f"room {number}")

    loop = asyncio.get_running_loop()
    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("join room 19")
        began = loop.time()
        await ws.wait_app_done()
    assert manager.log[-1] == "disconnect finished 1000"
    assert sum(entry.startswith("leave") for entry in manager.log) == 20
    assert BRIEF.hook_timeout is not None
    assert loop.time() - began < BRIEF.hook_timeout * 5


async def test_another_on_join_waits_for_the_on_leave_before_it() -> None:
    manager = Noting()
    here: list[Connection[Any]] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room="red") as connection:
            here.append(connection)
            async for _ in connection:
                pass

    leaving = manager.hold("leave")
    async with client_of(endpoint) as client, client.websocket("/x"):
        await eventually(lambda: bool(here))
        left = asyncio.create_task(manager.leave(here[0], "red"))
        await manager.noted("leave red")
        joined = asyncio.create_task(manager.join(here[0], "red"))
        await manager.noted("authorize red", times=2)
        assert manager.log.count("join red") == 1
        leaving.set()
        assert await left
        assert (await joined).new
    assert manager.log[:6] == ["authorize red", "connect", "join red", "leave red", "authorize red", "join red"]


async def test_a_join_from_elsewhere_waits_for_on_connect() -> None:
    manager = Noting()
    connecting = manager.hold("connect")
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("connect")
        joining = asyncio.create_task(manager.join(manager.connections[0], "blue"))
        await asyncio.sleep(0)
        assert not joining.done()
        connecting.set()
        assert (await joining).room == "blue"
    assert manager.log.index("connect") < manager.log.index("authorize blue")


async def test_a_connection_that_is_not_accepted_yet_takes_no_message() -> None:
    manager = Noting()
    authorizing = manager.hold("authorize")
    async with client_of(staying(manager)) as client:
        opening = asyncio.create_task(client.websocket("/red").__aenter__())
        await manager.noted("authorize red")
        with pytest.raises(NotConnected, match="handshake"):
            await manager.connections[0].send("too early")
        assert await manager.broadcast("too early") == Delivery()
        authorizing.set()
        ws = await opening
        await ws.close()
        await ws.wait_app_done()


async def test_a_connection_joins_rooms_of_its_own_manager_only() -> None:
    manager, other = Noting(), Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            with pytest.raises(ConfigurationError, match="another manager"):
                await other.join(connection, "red")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.wait_closed() == Closed(1000)


@pytest.mark.parametrize("style", ["async with", "await"])
async def test_one_connect_serves_one_websocket(style: str) -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        session = manager.connect(websocket)
        async with session:
            with pytest.raises(ConfigurationError, match="twice"):
                await (session if style == "await" else session.__aenter__())

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.wait_closed() == Closed(1000)


async def test_a_plain_connect_under_a_timeout_lives_as_long_as_its_endpoint() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        connection = await asyncio.wait_for(manager.connect(websocket), 1)
        async for message in connection:
            await connection.send(message)
        await manager.disconnect(connection)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"


async def test_a_plain_endpoint_that_outlived_its_grace_ends_quietly() -> None:
    manager = Noting(limits=BRIEF)

    async def endpoint(websocket: WebSocket) -> None:
        connection = await manager.connect(websocket)
        try:
            await for_ever()
        finally:
            await manager.disconnect(connection)

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        await ws.close()
        await ws.wait_app_done()
        assert not ws.app_task.cancelled()
    assert manager.log == ["connect", "disconnect client 1000"]


@pytest.mark.logged_errors
async def test_the_end_of_another_connection_that_leaves_an_endpoint_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = Noting()
    first: list[Connection[Any]] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            if not first:
                first.append(connection)
            else:
                await first[0].close()
                await first[0].send("hello?")
            async for _ in connection:
                pass

    async with client_of(endpoint) as client, client.websocket("/x") as one:
        await manager.noted("connect")
        async with client.websocket("/x") as other:
            assert (await other.wait_closed()).code == CloseCode.INTERNAL_ERROR
        assert (await one.wait_closed()).code == CloseCode.NORMAL
    assert any("another connection's end" in message for message in caplog.messages)


async def test_a_user_banned_while_authorize_runs_is_refused_with_403() -> None:
    manager = Noting()
    authorizing = manager.hold("authorize")
    async with client_of(staying(manager, user="ada")) as client:
        opening = asyncio.create_task(client.websocket("/red").__aenter__())
        await manager.noted("authorize red")
        assert await manager.disconnect_user("ada", reason="banned") == 1
        authorizing.set()
        with pytest.raises(Refused) as refused:
            await opening
    assert refused.value.status == 403


@pytest.mark.parametrize("user_id", ["7", 7])
async def test_a_user_is_found_by_number_as_well_as_by_text(user_id: Any) -> None:
    manager = Noting()
    endpoint = staying(manager, user={"name": "Ada"}, user_id=user_id)
    async with client_of(endpoint) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        assert (await manager.broadcast("to others", exclude_users=[user_id])).queued == 0
        assert (await manager.send_to_user(user_id, "to you")).queued == 1
        assert await ws.receive_text() == "to you"
        assert await manager.disconnect_user(user_id) == 1


async def test_a_connection_with_an_explicit_user_id_can_be_refreshed() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, user=Identity(subject="auth|42"), user_id="42") as connection:
            connection.refresh(Identity(subject="auth|42", scopes=frozenset({"fresh"})))
            assert (connection.user_id, connection.user.scopes) == ("42", {"fresh"})
            with pytest.raises(ConfigurationError, match=r"auth\|43"):
                connection.refresh(Identity(subject="auth|43"))

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.wait_closed() == Closed(1000)


async def test_totals_never_go_back() -> None:
    class Summing(Noting):
        async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
            assert self.statistics().total.sent == 1
            await super().on_disconnect(connection, disconnect)

    manager = Summing()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await ws.send_text("hello")
        assert await ws.receive_text() == "hello"
    await manager.emptied()
    assert manager.statistics().total.sent == 1
    assert not manager.reported


async def test_statistics_can_be_asked_for_from_a_thread() -> None:
    manager = Noting()
    app = FastAPI()

    @app.get("/statistics")
    def statistics() -> int:
        return manager.statistics().total.queued

    app.mount("/live", app_of(staying(manager)))
    async with Client(app) as client, client.websocket("/live/red") as ws:
        await manager.noted("join red")
        ws.stall()
        while not manager.statistics().total.queued:
            await manager.broadcast("x")
        assert (await client.get("/statistics")).json() > 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_eager_tasks_deliver_every_message() -> None:
    manager = ConnectionManager[Any, Any]()

    class Wrapping:
        """A middleware that is not known, so that each send gets a task."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def wrapped(message: Any) -> None:
                await send(message)

            await self.app(scope, receive, wrapped)

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            async for message in connection:
                await connection.send(message)

    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - 3.11 has none
    try:
        async with Client(Wrapping(app_of(endpoint))) as client, client.websocket("/x") as ws:
            for number in range(3):
                await ws.send_text(str(number))
                assert await ws.receive_text() == str(number)
    finally:
        loop.set_task_factory(factory)
