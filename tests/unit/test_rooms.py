"""Joining, leaving, and the handle."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from fastapi_rooms import (
    Connection,
    ConnectionClosed,
    Disconnect,
    HookTimeout,
    Joined,
    JoinRefused,
    Limits,
    Member,
    RoomManager,
    RoomPolicy,
)
from fastapi_rooms.testing import Closed, eventually
from unit.apps import BRIEF, Noting, client_of, staying


async def test_several_rooms_are_joined_and_left_in_order() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room="a") as connection:
            assert await manager.join(connection, "b") == Joined(room="b", new=True)
            assert await manager.join(connection, "b") == Joined(room="b", new=False)
            assert await manager.join(connection, "c") == Joined(room="c", new=True)
            assert connection.rooms == {"a", "b", "c"}
            assert manager.rooms == ("a", "b", "c")
            assert await manager.leave(connection, "b")
            assert not await manager.leave(connection, "b")
            assert "b" not in manager.rooms

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.wait_closed() == Closed(1000)
    arriving = ["authorize a", "connect", "join a", "authorize b", "join b", "authorize c", "join c", "leave b"]
    assert manager.log == [*arriving, "leave a", "leave c", "disconnect finished 1000"]


async def test_at_every_hook_the_registry_says_already_what_the_hook_is_told() -> None:
    class Checking(Noting):
        async def on_connect(self, connection: Connection[Any]) -> None:
            assert connection in self.connections
            await super().on_connect(connection)

        async def on_join(self, connection: Connection[Any], room: str) -> None:
            assert connection in self.room(room).connections
            await super().on_join(connection, room)

        async def on_leave(self, connection: Connection[Any], room: str) -> None:
            assert self.count_here(room) == len(connection.rooms) == 0
            await super().on_leave(connection, room)

        async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
            assert (connection.status, len(self)) == ("disconnected", 0)
            await super().on_disconnect(connection, disconnect)

    manager = Checking()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        await ws.close()
    assert manager.log == ["authorize red", "connect", "join red", "leave red", "disconnect client 1000"]


async def test_a_broadcast_in_on_connect_reaches_the_room_given_to_connect() -> None:
    class Greeting(Noting):
        async def on_connect(self, connection: Connection[Any]) -> None:
            assert (await self.broadcast("hello", room="red")).queued == 1

    async with client_of(staying(Greeting())) as client, client.websocket("/red") as ws:
        assert await ws.receive_text() == "hello"


async def test_an_on_connect_that_leaves_the_room_given_to_connect_is_respected() -> None:
    class Leaving(Noting):
        async def on_connect(self, connection: Connection[Any]) -> None:
            assert await self.leave(connection, "red")

    manager = Leaving()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await ws.send_text("a")
        assert await ws.receive_text() == "a"
        assert manager.rooms == ()
    assert manager.log == ["authorize red", "disconnect client 1000"]


async def test_a_join_that_is_refused_raises_and_leaves_the_connection_alone() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        (connection,) = manager.connections
        with pytest.raises(JoinRefused) as caught:
            await manager.join(connection, "secret")
        refused = caught.value
        assert (refused.connection_id, refused.room, refused.reason) == (connection.id, "secret", "not allowed")
        await ws.send_text("still here")
        assert await ws.receive_text() == "still here"
        assert connection.rooms == {"red"}
    assert "leave secret" not in manager.log


async def test_authorize_may_refuse_a_later_join_in_its_own_words() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        manager.errors["authorize"] = HTTPException(404, "no such room")
        with pytest.raises(HTTPException, match="no such room"):
            await manager.join(connection, "blue")
        manager.errors["authorize"] = JoinRefused(connection_id=connection.id, room="blue", reason="full")
        with pytest.raises(JoinRefused, match="full"):
            await manager.join(connection, "blue")
        assert connection.rooms == {"red"}


@pytest.mark.logged_errors
async def test_an_authorize_that_raises_or_hangs_refuses_a_later_join() -> None:
    manager = Noting(limits=BRIEF)
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        manager.errors["authorize"] = LookupError("database")
        with pytest.raises(JoinRefused):
            await manager.join(connection, "blue")
        del manager.errors["authorize"]
        manager.hold("authorize")
        with pytest.raises(JoinRefused):
            await manager.join(connection, "blue")
        assert connection.status == "connected"
    assert [type(error) for error in manager.reported] == [LookupError, HookTimeout]


async def test_the_limits_of_rooms_and_names_refuse_without_asking() -> None:
    manager = Noting(limits=Limits(rooms_per_connection=2, room_name_bytes=4))
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        with pytest.raises(JoinRefused, match="at most 4 bytes"):
            await manager.join(connection, "\ud800\ud800")
        await manager.join(connection, "blue")
        with pytest.raises(JoinRefused, match="may be in 2 rooms"):
            await manager.join(connection, "pink")
        assert await manager.join(connection, "blue") == Joined(room="blue", new=False)
        await manager.leave(connection, "red")
        await manager.join(connection, "pink")
        with pytest.raises(TypeError, match="a room's name is a str, not NoneType"):
            await manager.join(connection, None)  # type: ignore[arg-type]  # on purpose


async def test_joins_at_the_same_time_stay_within_the_limit() -> None:
    manager = Noting(limits=Limits(rooms_per_connection=3))
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        hold = manager.hold("authorize")
        joins = [asyncio.create_task(manager.join(connection, str(number))) for number in range(5)]
        await manager.noted("authorize 4")
        hold.set()
        results = await asyncio.gather(*joins, return_exceptions=True)
        assert [isinstance(one, JoinRefused) for one in results] == [False, False, True, True, True]
        assert connection.rooms == {"red", "0", "1"}


async def test_none_switches_the_limits_of_rooms_off() -> None:
    manager = Noting(limits=Limits(rooms_per_connection=None, room_name_bytes=None))
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        for number in range(200):
            await manager.join(connection, f"{number}" * 300)
        assert len(connection.rooms) == 201


async def test_two_joins_of_one_room_at_once_run_on_join_once() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        hold = manager.hold("authorize")
        joins = [asyncio.create_task(manager.join(connection, "blue")) for _ in range(2)]
        await manager.noted("authorize blue", times=2)
        hold.set()
        assert sorted(one.new for one in await asyncio.gather(*joins)) == [False, True]
    assert manager.log.count("join blue") == manager.log.count("leave blue") == 1


async def test_a_connection_that_ends_while_it_is_authorized_does_not_join() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        (connection,) = manager.connections
        hold = manager.hold("authorize")
        joining = asyncio.create_task(manager.join(connection, "blue"))
        await manager.noted("authorize blue")
        await ws.close()
        await eventually(lambda: not manager.connections)
        hold.set()
        with pytest.raises(ConnectionClosed):
            await joining
        with pytest.raises(ConnectionClosed):
            await manager.join(connection, "green")
        assert not await manager.leave(connection, "red")
    assert "join blue" not in manager.log
    assert manager.rooms == ()


async def test_a_connection_that_ends_in_on_join_has_left_when_on_join_ends() -> None:
    manager = Noting()
    hold = manager.hold("join")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        await ws.close()
        await eventually(lambda: not manager.connections)
        assert manager.log[-1] == "join red"
        hold.set()
    assert manager.log[3:] == ["leave red", "disconnect client 1000"]


async def test_a_leave_during_on_join_waits_for_it_and_the_join_is_refused() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        hold = manager.hold("join")
        joining = asyncio.create_task(manager.join(connection, "blue"))
        await manager.noted("join blue")
        leaving = asyncio.create_task(manager.leave(connection, "blue"))
        await eventually(lambda: "blue" not in manager.rooms)
        assert manager.log[-1] == "join blue"
        hold.set()
        assert await leaving
        with pytest.raises(JoinRefused, match="left the room while it joined"):
            await joining
        assert manager.log[-1] == "leave blue"


async def test_a_join_that_is_cancelled_leaves_again() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        manager.hold("join")
        joining = asyncio.create_task(manager.join(connection, "blue"))
        await manager.noted("join blue")
        joining.cancel()
        await asyncio.wait((joining,))
        assert joining.cancelled()
        assert manager.log[-1] == "leave blue"
        assert connection.rooms == {"red"}
        del manager.holds["join"]
        assert (await manager.join(connection, "blue")).new


async def test_a_cancelled_join_of_a_room_that_was_left_meanwhile_leaves_nothing() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        manager.hold("join")
        joining = asyncio.create_task(manager.join(connection, "blue"))
        await manager.noted("join blue")
        leaving = asyncio.create_task(manager.leave(connection, "blue"))
        await eventually(lambda: "blue" not in manager.rooms)
        joining.cancel()
        assert await leaving
        await asyncio.wait((joining,))
    assert manager.log.count("leave blue") == 1


async def test_a_leave_goes_on_if_its_caller_is_cancelled() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        hold = manager.hold("leave")
        leaving = asyncio.create_task(manager.leave(connection, "red"))
        await manager.noted("leave red")
        leaving.cancel()
        await asyncio.wait((leaving,))
        hold.set()
    assert manager.log[3:] == ["leave red", "disconnect client 1000"]


async def test_a_hook_may_leave_the_room_that_is_being_joined() -> None:
    class Bouncing(Noting):
        async def on_join(self, connection: Connection[Any], room: str) -> None:
            await super().on_join(connection, room)
            assert await self.leave(connection, room)

    manager = Bouncing(limits=BRIEF)

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            with pytest.raises(JoinRefused):
                await manager.join(connection, "red")
            assert connection.rooms == frozenset()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.wait_app_done()
    assert manager.log == ["connect", "authorize red", "join red", "leave red", "disconnect finished 1000"]


async def test_a_hook_may_close_the_room_that_is_being_joined() -> None:
    class Closing(Noting):
        async def on_join(self, connection: Connection[Any], room: str) -> None:
            await super().on_join(connection, room)
            assert await self.close_room(room) == 1

    manager = Closing(limits=BRIEF)

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            with pytest.raises(JoinRefused):
                await manager.join(connection, "red")

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await ws.wait_app_done()
    assert manager.log == ["connect", "authorize red", "join red", "leave red", "disconnect finished 1000"]


async def test_an_on_leave_that_joins_and_leaves_again_is_no_trouble() -> None:
    class Restless(Noting):
        async def on_leave(self, connection: Connection[Any], room: str) -> None:
            await super().on_leave(connection, room)
            if self.log.count("leave blue") == 1:
                await self.join(connection, room)
                assert await self.leave(connection, room)

    manager = Restless()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        await manager.join(connection, "blue")
        await manager.leave(connection, "blue")
        await manager.noted("leave blue", times=2)
    assert manager.log[3:8] == ["authorize blue", "join blue", "leave blue", "authorize blue", "join blue"]
    assert manager._memberships._leaving == {}


async def test_closing_a_room_ends_its_memberships_and_nothing_else() -> None:
    manager = Noting()
    async with (
        client_of(staying(manager)) as client,
        client.websocket("/red") as one,
        client.websocket("/red"),
        client.websocket("/blue"),
    ):
        await manager.noted("join red", times=2)
        await manager.noted("join blue")
        assert await manager.close_room("red") == 2
        assert await manager.close_room("red") == 0
        assert (manager.log.count("leave red"), manager.rooms, len(manager)) == (2, ("blue",), 3)
        await one.send_text("still here")
        assert await one.receive_text() == "still here"


async def test_closing_a_room_can_close_the_connections_too() -> None:
    manager = Noting()
    async with (
        client_of(staying(manager)) as client,
        client.websocket("/red") as one,
        client.websocket("/blue") as other,
    ):
        await manager.noted("join red")
        await manager.noted("join blue")
        assert await manager.room("red").close(code=4400, reason="over") == 1
        assert await one.wait_closed() == Closed(4400, "over")
        await other.send_text("still here")
        assert await other.receive_text() == "still here"
    assert "disconnect closed 4400" in manager.log


async def test_a_handle_does_what_the_manager_does() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, user="ann") as connection:
            room = manager.room("red")
            assert (room.name, repr(room)) == ("red", "<Room 'red': 0 connections here>")
            assert (await room.members(), await room.count(), room.connections) == ((), 0, ())
            assert await room.join(connection) == Joined(room="red", new=True)
            assert await room.members() == (Member(connection_id=connection.id, user_id="ann"),)
            assert (await room.count(), room.connections) == (1, (connection,))
            assert (await room.broadcast("hi")).queued == 1
            assert (await room.broadcast("no", exclude=connection)).queued == 0
            assert (await room.broadcast("no", exclude_users="ann")).queued == 0
            assert await room.leave(connection)
            assert await room.close() == 0

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        assert await ws.receive_text() == "hi"
        await ws.wait_app_done()


async def test_a_manager_without_rooms_hooks_lets_everybody_in() -> None:
    manager: RoomManager[Any, Any] = RoomManager()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await ws.send_text("a")
        assert await ws.receive_text() == "a"
        assert manager.rooms == ("red",)
        assert manager._memberships._activities == {}


async def test_a_full_room_takes_nobody_more_until_somebody_leaves() -> None:
    class Small(Noting):
        def room_policy(self, room: str) -> RoomPolicy | None:
            return RoomPolicy(members=1) if room == "red" else None

    manager = Small()
    async with client_of(staying(manager)) as client, client.websocket("/red") as first:
        await manager.noted("join red")
        async with client.websocket("/blue") as second:
            await manager.noted("join blue")
            newcomer = manager.members_here("blue")[0]
            with pytest.raises(JoinRefused, match="full"):
                await manager.join(newcomer, "red")
            await first.close()
            await manager.noted("leave red")
            assert (await manager.join(newcomer, "red")).new
            await second.close()
