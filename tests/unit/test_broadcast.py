"""Who gets what: broadcasts, users, rooms, policies, threads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.websockets import WebSocket

from fastapi_rooms import (
    ConfigurationError,
    Connection,
    ConnectionManager,
    Delivery,
    Drops,
    Heartbeat,
    Limits,
    MessageTooLarge,
    Overflow,
    QueueLimits,
    RateLimit,
    RoomManager,
    RoomPolicy,
    UnencodableMessage,
    WrongEventLoop,
)
from fastapi_rooms.testing import Client, Closed, WebSocketSession, eventually
from unit.apps import Noting, client_of
from unit.fakes import SHORT

Sockets = dict[str, WebSocketSession]


class Message(BaseModel):
    text: str


@asynccontextmanager
async def people(manager: RoomManager[Any, Any], *paths: str) -> AsyncIterator[tuple[Client, Sockets]]:
    """Open a socket for each `user@room`; all of them have joined."""

    async def endpoint(websocket: WebSocket) -> None:
        user, _, room = websocket.path_params["room"].partition("@")
        async with manager.connect(websocket, user=user, room=room) as connection:
            await connection.send("joined")
            async for message in connection:
                await connection.send(message)

    async with client_of(endpoint) as client, AsyncExitStack() as stack:
        sockets: Sockets = {}
        for path in paths:
            sockets[path] = await stack.enter_async_context(client.websocket(f"/{path}"))
            assert await sockets[path].receive_text() == "joined"
        yield client, sockets


def received(sockets: Sockets) -> dict[str, list[str | bytes]]:
    return {path: got for path, ws in sockets.items() if (got := ws.take_received())}


async def test_a_broadcast_reaches_everyone_and_a_rooms_only_its_members() -> None:
    manager = Noting()
    async with people(manager, "ann@red", "bob@red", "cid@blue") as (_, sockets):
        assert await manager.broadcast("all") == Delivery(queued=3)
        assert received(sockets) == {"ann@red": ["all"], "bob@red": ["all"], "cid@blue": ["all"]}
        assert await manager.broadcast({"a": 1}, room="red") == Delivery(queued=2)
        assert received(sockets) == {"ann@red": ['{"a":1}'], "bob@red": ['{"a":1}']}
        assert await manager.broadcast(Message(text="x"), room="none") == Delivery()


async def test_connections_and_users_can_be_left_out() -> None:
    manager = Noting()
    async with people(manager, "ann@red", "ann@blue", "bob@red") as (_, sockets):
        ann, _, bob = manager.connections
        await manager.broadcast("1", exclude=ann)
        await manager.broadcast("2", exclude=[ann, bob])
        await manager.broadcast("3", exclude_users="ann")
        await manager.broadcast("4", exclude_users={"ann", "bob"})
        await manager.broadcast("5", room="red", exclude=bob, exclude_users=["nobody"])
        assert received(sockets) == {"ann@red": ["5"], "ann@blue": ["1", "2"], "bob@red": ["1", "3"]}


async def test_a_user_is_reached_on_every_connection() -> None:
    manager = Noting()
    async with people(manager, "7@red", "7@blue", "8@red") as (_, sockets):
        assert await manager.send_to_user("7", b"hi") == Delivery(queued=2)
        assert await manager.send_to_user(8, "eight") == Delivery(queued=1)  # type: ignore[arg-type]  # forgiven
        assert await manager.send_to_user("9", "nobody") == Delivery()
        assert received(sockets) == {"7@red": [b"hi"], "7@blue": [b"hi"], "8@red": ["eight"]}


async def test_a_user_is_disconnected_on_every_connection() -> None:
    manager = Noting()
    async with people(manager, "ann@red", "ann@blue", "bob@red") as (_, sockets):
        assert await manager.disconnect_user("ann") == 2
        assert sockets["ann@red"].closed == sockets["ann@blue"].closed == Closed(4507, "signed out")
        assert await manager.disconnect_user("ann") == 0
        assert manager.users == {"bob"}
        assert await manager.disconnect_user("bob", code=4400, reason="bye") == 1
        assert sockets["bob@red"].closed == Closed(4400, "bye")
    assert manager.log.count("disconnect closed 4507") == 2


async def test_a_code_that_may_not_be_sent_closes_nobody() -> None:
    manager = Noting()
    async with people(manager, "ann@red") as (_, sockets):
        (connection,) = manager.connections
        for call in (
            manager.disconnect(connection, code=1006),
            manager.disconnect_user("ann", code=999),
            manager.close_room("red", code=5000),
        ):
            with pytest.raises(ConfigurationError, match="may not be sent"):
                await call
        await sockets["ann@red"].send_text("still here")
        assert await sockets["ann@red"].receive_text() == "still here"


@pytest.mark.parametrize("room", [None, 7, b"red"])
async def test_a_room_that_is_no_string_is_a_type_error_and_reaches_nobody(room: Any) -> None:
    manager = Noting()
    async with people(manager, "ann@red") as (_, sockets):
        with pytest.raises(TypeError, match="omit room to reach everyone"):
            await manager.broadcast("oops", room=room)
        assert received(sockets) == {}


async def test_what_cannot_be_sent_reaches_nobody() -> None:
    manager = Noting(queue=QueueLimits(bytes=10))
    async with people(manager, "ann@red") as (_, sockets):
        with pytest.raises(MessageTooLarge):
            await manager.broadcast("x" * 11)
        with pytest.raises(UnencodableMessage):
            await manager.broadcast(object(), room="red")
        assert received(sockets) == {}


async def test_a_slow_consumer_is_closed_and_the_others_never_notice() -> None:
    manager = Noting(queue=QueueLimits(messages=2, close_timeout=SHORT))
    async with people(manager, "slow@red", "ann@red") as (_, sockets):
        sockets["slow@red"].stall()
        deliveries = [await manager.broadcast(str(number)) for number in range(20)]
        assert sum(one.closed or 0 for one in deliveries) == 1
        assert sum(one.queued or 0 for one in deliveries if one.closed == 0) == 10 * 2 + 9
        assert received(sockets)["ann@red"] == [str(number) for number in range(20)]
        await manager.noted("disconnect slow_consumer 4008")


async def test_a_broadcast_that_crowds_a_queue_lets_the_writers_run() -> None:
    manager = Noting(queue=QueueLimits(messages=4), overflow=Overflow.DROP_OLDEST)
    async with people(manager, "ann@red") as (_, sockets):
        sockets["ann@red"].stall()
        turns: list[int] = []
        ticking = asyncio.create_task(_tick(turns))
        for number in range(40):
            await manager.broadcast(str(number))
        ticking.cancel()
        assert len(turns) >= 20


async def _tick(turns: list[int]) -> None:
    while True:
        turns.append(1)
        await asyncio.sleep(0)


async def test_five_thousand_broadcasts_without_a_pause_all_arrive() -> None:
    manager = Noting(queue=QueueLimits(messages=16))
    async with people(manager, "ann@red", "bob@red") as (_, sockets):
        for number in range(5000):
            assert (await manager.broadcast(str(number), room="red")).queued == 2
        assert received(sockets)["bob@red"] == [str(number) for number in range(5000)]


class Dashboard(Noting):
    def room_policy(self, room: str) -> RoomPolicy | None:
        policies = {
            "figures": RoomPolicy(overflow=Overflow.CONFLATE),
            "log": RoomPolicy(overflow=Overflow.DROP_OLDEST),
            "plain": RoomPolicy(),
        }
        return policies.get(room)


async def test_a_room_has_the_policy_that_its_manager_names() -> None:
    manager = Dashboard(queue=QueueLimits(messages=6))
    async with people(manager, "ann@figures") as (_, sockets):
        (connection,) = manager.connections
        for room in ("log", "plain", "other"):
            await manager.join(connection, room)
        ws = sockets["ann@figures"]
        ws.stall()
        for number in range(9):
            await manager.broadcast(f"fill {number}")
        for number in range(3):
            await manager.broadcast(f"cpu {number}", room="figures", key="cpu")
            assert (await manager.broadcast(f"log {number}", room="log")).queued == 1
        assert await manager.broadcast("plain", room="plain") == Delivery(queued=1)
        assert (await manager.broadcast("log 3", room="log")).queued == 1
        ws.resume()
        await eventually(lambda: connection.statistics().queued == 0)
        got = [text for text in ws.take_received() if not str(text).startswith("fill")]
        assert connection.statistics().dropped == Drops(conflated=2, oldest=1)
    assert got == ["cpu 2", "log 1", "log 2", "plain", "log 3"]


async def test_without_a_policy_of_its_own_a_room_closes_as_its_manager_does() -> None:
    manager = Dashboard(queue=QueueLimits(messages=1, close_timeout=SHORT))
    async with people(manager, "ann@plain") as (_, sockets):
        sockets["ann@plain"].stall()
        for _ in range(9):
            await manager.broadcast("x")
        assert (await manager.broadcast("x", room="plain")).closed == 1


async def test_nobody_is_no_trouble() -> None:
    manager = Noting()
    assert await manager.broadcast("x") == Delivery()
    assert manager.broadcast_from_thread("x") == Delivery()
    assert manager.statistics().connections == 0


class Configured(ConnectionManager[Any, Any]):
    queue = QueueLimits(messages=3)
    overflow = Overflow.DROP_NEWEST
    limits = Limits(connections=7)
    rate_limit = RateLimit(rate=5)
    heartbeat = Heartbeat(interval=9)


def test_options_can_be_class_attributes_and_arguments_count_more() -> None:
    manager = Configured()
    assert (manager.queue, manager.overflow) == (QueueLimits(messages=3), Overflow.DROP_NEWEST)
    assert (manager.limits.connections, manager.rate_limit, manager.heartbeat) == (
        7,
        RateLimit(rate=5),
        Heartbeat(interval=9),
    )
    other = Configured(queue=QueueLimits(messages=4), overflow=Overflow.CLOSE, rate_limit=None, heartbeat=None)
    assert (other.queue.messages, other.overflow) == (4, Overflow.CLOSE)
    assert other.rate_limit is None
    assert other.heartbeat is None
    assert (other.limits.connections, ConnectionManager().limits, bool(other)) == (7, Limits(), True)


def test_a_heartbeat_that_cannot_be_encoded_is_refused_where_the_manager_is_made() -> None:
    with pytest.raises(UnencodableMessage):
        ConnectionManager(heartbeat=Heartbeat(message=object()))


class Beating(Noting):
    heartbeat = Heartbeat(interval=SHORT, timeout=SHORT, message={"type": "beat"})


@pytest.mark.usefixtures("time_by_turns")
async def test_a_managers_heartbeat_finds_the_dead() -> None:
    manager = Beating()
    async with people(manager, "ann@red") as (_, sockets):
        assert await sockets["ann@red"].receive_json() == {"type": "beat"}
        assert await sockets["ann@red"].wait_closed() == Closed(4012, "no sign of life")
    assert manager.log[-1] == "disconnect heartbeat_timeout 4012"


@pytest.mark.usefixtures("time_by_turns")
async def test_a_managers_limits_close_who_breaks_them() -> None:
    manager = Noting(rate_limit=RateLimit(rate=1, burst=2), limits=Limits(message_bytes=5, idle_timeout=0.2))
    async with people(manager, "fast@red", "long@red", "idle@red") as (_, sockets):
        for _ in range(3):
            await sockets["fast@red"].send_text("x")
        await sockets["long@red"].send_text("x" * 6)
        ends = {path: (await ws.wait_closed()).code for path, ws in sockets.items()}
    assert ends == {"fast@red": 4013, "long@red": 1009, "idle@red": 4012}


async def test_statistics_add_up_over_live_and_ended_connections() -> None:
    manager = Noting()
    async with people(manager, "ann@red", "ann@blue", "bob@red") as (_, sockets):
        await manager.broadcast("xx")
        await sockets["bob@red"].send_text("echo")
        await eventually(lambda: manager.statistics().total.received == 1)
        assert received(sockets)
        await sockets["bob@red"].close()
        await eventually(lambda: len(manager._host.sessions) == 2)
        figures = manager.statistics()
        assert (figures.connections, figures.users, figures.rooms) == (2, 1, 2)
        assert (figures.accepted, figures.disconnected) == (3, {"client": 1})
        assert (figures.total.sent, figures.total.sent_bytes) == (7, 28)
        assert (figures.total.received, figures.total.received_bytes) == (1, 4)
    assert manager.statistics().disconnected == {"client": 3}
    assert manager.statistics().total.sent == 7


def board() -> tuple[FastAPI, Noting]:
    manager = Noting()
    app = FastAPI(lifespan=manager.lifespan)

    @app.websocket("/{room}")
    async def endpoint(websocket: WebSocket, room: str) -> None:
        async with manager.connect(websocket, room=room) as connection:
            await connection.receive()

    @app.post("/say/{room}")
    def say(room: str) -> Delivery:
        return manager.broadcast_from_thread({"say": "hi"}, room=room)

    @app.post("/all")
    def everyone() -> Delivery:
        return manager.broadcast_from_thread("all", exclude=manager.connections[0])

    @app.post("/wrong")
    async def wrong() -> str:
        with pytest.raises(WrongEventLoop, match=r"use `await broadcast\(\.\.\.\)`"):
            manager.broadcast_from_thread("never")
        return "right"

    return app, manager


async def test_a_def_endpoint_in_the_thread_pool_can_broadcast() -> None:
    app, manager = board()
    async with Client(app) as client, client.websocket("/red") as one, client.websocket("/blue") as other:
        await eventually(lambda: len(manager.rooms) == 2)
        response = await client.post("/say/red")
        assert (response.status, response.json()) == (
            200,
            {"queued": 1, "dropped": 0, "closed": 0, "scope": "local", "offset": None, "published": True},
        )
        assert await one.receive_json() == {"say": "hi"}
        await client.post("/all")
        assert await other.receive_text() == "all"
        assert one.take_received() == []
        assert (await client.post("/wrong")).json() == "right"


async def test_a_thread_waits_no_longer_than_its_timeout() -> None:
    class Busy(ConnectionManager[Any, Any]):
        async def broadcast(self, message: object, **options: Any) -> Delivery:
            await go.wait()
            return await super().broadcast(message, **options)

    manager = Busy()
    go = asyncio.Event()
    async with manager.lifespan():
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(manager.broadcast_from_thread, "x", timeout=SHORT)
        go.set()
        await asyncio.sleep(0.01)


async def test_connections_of_one_manager_are_strangers_to_another() -> None:
    one, other = Noting(), Noting()
    seen: list[Connection[Any] | None] = []
    async with people(one, "ann@red") as (_, sockets):
        seen.append(other.connection(one.connections[0].id))
        await other.disconnect(one.connections[0])
        assert await other.broadcast("x") == Delivery()
        assert received(sockets) == {}
    assert seen == [None]
