"""A room manager among other processes, one of which does not behave: the test plays it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from starlette.websockets import WebSocket

from fastapi_rooms import ConfigurationError, MessageTooLarge, Overflow, QueueLimits, RoomManager, RoomPolicy
from fastapi_rooms.brokers import BrokerTimings, MemoryBroker
from fastapi_rooms.cluster.health import BrokerHealth
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.envelope import Header, Kind, seal, unseal
from fastapi_rooms.testing import WebSocketSession, eventually
from unit.apps import Noting, client_of
from unit.fakes import SHORT, SOON

TIMINGS = BrokerTimings(
    publish=0.2, probe_interval=0.5, probe_timeout=0.3, answer=0.2, linger=0.05, first_delay=0.01
)


class Peer:
    """Another process at the same broker, without a manager."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def open(self, *channels: str) -> None:
        self._connection = await self._broker.connect()
        await self._connection.subscribe(channels)

    async def says(self, channel: str, header: Header, body: bytes = b"") -> None:
        await self._connection.publish([(channel, seal(header, body))])

    async def hears(self, kind: Kind) -> Header:
        while (header := unseal((await self._connection.receive())[1])[0]).kind is not kind:
            pass
        return header

    async def close(self) -> None:
        await self._connection.close()


@asynccontextmanager
async def people(manager: Noting, *paths: str) -> AsyncIterator[dict[str, WebSocketSession]]:
    """Open a socket for each `user@room`, in the manager's lifespan; all of them have joined."""

    async def endpoint(websocket: WebSocket) -> None:
        user, _, room = websocket.path_params["room"].partition("@")
        async with manager.connect(websocket, user=user, room=room) as connection:
            await connection.send("joined")
            async for _ in connection:
                pass

    async with client_of(endpoint, manager) as client, AsyncExitStack() as stack:
        sockets = {path: await stack.enter_async_context(client.websocket(f"/{path}")) for path in paths}
        for socket in sockets.values():
            assert await socket.receive_text() == "joined"
        yield sockets


def health(manager: Noting) -> BrokerHealth:
    found = manager.health()
    assert found is not None
    return found


@asynccontextmanager
async def peer(broker: MemoryBroker, *channels: str) -> AsyncIterator[Peer]:
    one = Peer(broker)
    await one.open(*channels)
    try:
        yield one
    finally:
        await one.close()


def header(kind: Kind = Kind.MESSAGE, **fields: Any) -> Header:
    return Header(kind=kind, process="peer", number=1, **fields)


async def test_answers_that_make_no_sense_count_as_none() -> None:
    broker = MemoryBroker(timings=TIMINGS)
    manager = Noting(broker=broker)
    async with people(manager, "ann@red"), peer(broker, "rooms.all") as other:
        await other.says("rooms.all", header(Kind.ALIVE))
        await eventually(lambda: health(manager).peers == 1)

        async def answer(body: bytes) -> None:
            asked = await other.hears(Kind.ASK)
            to = header(Kind.ANSWER, user=asked.process, question=asked.number)
            await other.says(f"rooms.process.{asked.process}", to, body)

        for body in (b"-5", b"{", b'"x"', b"\xff"):
            count, _ = await asyncio.gather(manager.count("red"), answer(body))
            assert (count, count.missing) == (1, frozenset())
        for body in (b'[["x"]]', b"[1]", b"{", b'[["x", 1]]'):
            members, _ = await asyncio.gather(manager.members("red"), answer(body))
            assert (len(members), members.missing) == (1, frozenset())


async def test_a_message_larger_than_this_apps_queues_is_foreign() -> None:
    broker = MemoryBroker(timings=TIMINGS)
    manager = Noting(broker=broker, queue=QueueLimits(bytes=100))
    async with people(manager, "ann@red") as sockets, peer(broker) as other:
        await other.says("rooms.room.red", header(room="red"), b"x" * 101)
        await other.says("rooms.room.red", header(room="red"), b"x" * 100)
        assert await sockets["ann@red"].receive_text() == "x" * 100
        assert health(manager).foreign == 1


@pytest.mark.parametrize("code", [999, 1005, 1006, 5000])
async def test_a_close_code_that_may_not_be_sent_is_foreign(code: int) -> None:
    broker = MemoryBroker(timings=TIMINGS)
    manager = Noting(broker=broker)
    async with people(manager, "ann@red") as sockets, peer(broker) as other:
        await other.says("rooms.room.red", header(Kind.CLOSE_ROOM, room="red", code=code))
        await eventually(lambda: health(manager).foreign == 1)
        assert sockets["ann@red"].closed is None


async def test_what_the_broker_cannot_take_reaches_nobody() -> None:
    broker = MemoryBroker(timings=TIMINGS)
    broker.message_bytes = 200
    manager = Noting(broker=broker)
    async with people(manager, "ann@red") as sockets:
        with pytest.raises(MessageTooLarge) as refused:
            await manager.broadcast("x" * 200, room="red")
        assert (refused.value.size, refused.value.broker) == (200, str(broker))
        longest = "x" * refused.value.limit
        await manager.broadcast(longest, room="red")
        assert await sockets["ann@red"].receive_text() == longest
        with pytest.raises(MessageTooLarge):
            await manager.broadcast(longest + "x", room="red")


async def test_the_rooms_policy_holds_for_messages_of_others() -> None:
    class Dropping(Noting):
        def room_policy(self, room: str) -> RoomPolicy:
            return RoomPolicy(overflow=Overflow.DROP_NEWEST)

    broker = MemoryBroker(timings=TIMINGS)
    manager = Dropping(broker=broker, queue=QueueLimits(messages=2, send_timeout=SOON))
    async with people(manager, "ann@red") as sockets, peer(broker) as other:
        sockets["ann@red"].stall()
        for _ in range(20):
            await other.says("rooms.room.red", header(room="red"), b"x")
        await eventually(lambda: manager.statistics().total.dropped.newest > 0)
        sockets["ann@red"].resume()


async def test_the_plain_manager_tells_of_no_broker() -> None:
    manager = RoomManager[Any, Any]()
    assert manager.health() is None
    count, members = await manager.count("red"), await manager.members("red")
    assert (count, count.missing, members, members.missing) == (0, frozenset(), (), frozenset())


async def test_several_workers_without_a_broker_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.workers.several_workers", lambda: "uvicorn runs 4 workers")
    for manager in (RoomManager[Any, Any](), RoomManager[Any, Any](broker=MemoryBroker())):
        with pytest.raises(ConfigurationError, match="uvicorn runs 4 workers, and this"):
            async with manager.lifespan():
                pass
    async with RoomManager[Any, Any](broker=MemoryBroker(per_process=True)).lifespan():
        pass


async def test_a_control_that_does_not_come_back_is_done_here_all_the_same() -> None:
    broker = MemoryBroker(timings=BrokerTimings(publish=SHORT * 5, linger=0.05, first_delay=0.01))
    manager = Noting(broker=broker)
    async with people(manager, "ann@red"):
        assert isinstance(manager._across, Clustered)
        cluster = manager._across.cluster
        received = cluster.received
        late: list[tuple[str, bytes]] = []

        async def swallow(channel: str, data: bytes) -> None:
            if b"close_room" in data:
                late.append((channel, data))
            else:
                await received(channel, data)

        cluster.received = swallow  # type: ignore[method-assign]
        assert await manager.close_room("red") == 1
        await manager.noted("leave red")
        ann = next(iter(manager.connections))
        await manager.join(ann, "red")
        await received(*late[0])  # it is not done a second time
        assert "red" in ann.rooms
