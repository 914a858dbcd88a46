"""`listen`: a task of the server hears a room, and is nowhere to be seen."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import (
    ConfigurationError,
    ConnectionClosed,
    History,
    Listener,
    Overflow,
    Presence,
    Publisher,
    QueueLimits,
    RoomManager,
    RoomPolicy,
)
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.testing import Client, eventually

Make = Callable[..., RoomManager[Any, Any]]


@pytest.fixture(params=["alone", "broker", "history"])
def make(request: pytest.FixtureRequest) -> Make:
    """A manager with nothing behind it, with a broker, and with a history: the same is true of all."""

    def make(kind: type[RoomManager[Any, Any]] = RoomManager, **options: Any) -> RoomManager[Any, Any]:
        if request.param != "alone":
            options.setdefault("broker", MemoryBroker())
        if request.param == "history":
            options.setdefault("history", History(on_join=0))
        return kind(**options)

    return make


async def heard(messages: Listener, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [(await anext(messages)).data for _ in range(count)]


def channels_of(manager: RoomManager[Any, Any]) -> int:
    health = manager.health()
    assert health is not None
    return health.channels


async def rest(messages: Listener) -> list[Any]:
    async with asyncio.timeout(5):
        return [message.data async for message in messages]


async def test_it_hears_what_is_said_in_its_room_in_order_and_nothing_else(make: Make) -> None:
    manager = make()
    async with manager.lifespan(), manager.listen("red") as messages:
        await manager.broadcast("one", room="red")
        await manager.broadcast("elsewhere", room="blue")
        await manager.broadcast("for everyone")
        await manager.broadcast(b"\x02", room="red")
        await manager.broadcast({"three": 3}, room="red")
        assert await heard(messages, 3) == ["one", b"\x02", '{"three":3}']


async def test_several_listen_in_one_room_and_each_hears_all(make: Make) -> None:
    manager = make()
    async with manager.lifespan(), manager.listen("red") as one, manager.listen("red") as other:
        for number in range(50):
            await manager.broadcast(str(number), room="red")
        assert await heard(one, 50) == await heard(other, 50) == [str(number) for number in range(50)]


async def test_it_hears_members_as_they_hear_each_other_and_is_no_member_itself(make: Make) -> None:
    class Watched(RoomManager[Any, Any]):
        """Notes when somebody comes or goes."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.log: list[str] = []

        async def on_join(self, connection: Any, room: str) -> None:
            self.log.append("join")

        async def on_leave(self, connection: Any, room: str) -> None:
            self.log.append("leave")

        async def on_room_active(self, room: str) -> None:
            self.log.append("active")

        async def on_room_idle(self, room: str) -> None:
            self.log.append("idle")

        def room_policy(self, room: str) -> RoomPolicy:
            return RoomPolicy(members=1)

    manager = make(Watched)
    assert isinstance(manager, Watched)

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket, room="red") as connection:
            async for text in connection.iter_text():
                await manager.broadcast(text, room="red")

    app = Starlette(lifespan=manager.lifespan, routes=[WebSocketRoute("/", endpoint)])
    async with Client(app) as client, manager.listen("red") as messages:
        assert manager.rooms == ()
        assert manager.members_here("red") == manager.connections == ()
        assert await manager.members("red") == ()
        async with client.websocket("/") as socket:
            await socket.send_text("hello")
            assert await socket.receive_text() == "hello"
            assert await heard(messages, 1) == ["hello"]
            assert await manager.count("red") == len(manager) == 1
            assert manager.statistics().total.sent == 1
        await eventually(lambda: "idle" in manager.log)
        assert manager.log == ["active", "join", "leave", "idle"]


async def test_it_hears_other_processes_and_publishers() -> None:
    broker = MemoryBroker()
    here, there = RoomManager[Any, Any](broker=broker), RoomManager[Any, Any](broker=broker)
    async with here.lifespan(), there.lifespan(), Publisher(broker) as publisher, here.listen("red") as messages:
        await there.broadcast("from there", room="red")
        await publisher.publish("red", "from outside")
        await here.broadcast("from here", room="red")
        assert await heard(messages, 3) == ["from there", "from outside", "from here"]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_closing_the_room_ends_it_after_what_was_said(make: Make, elsewhere: bool) -> None:
    broker = MemoryBroker()
    async with AsyncExitStack() as stack:
        manager = make(broker=broker) if elsewhere else make()
        closer = RoomManager[Any, Any](broker=broker) if elsewhere else manager
        for one in {manager, closer}:
            await stack.enter_async_context(one.lifespan())
        messages = await stack.enter_async_context(manager.listen("red"))
        await manager.broadcast("last", room="red")
        assert await closer.close_room("red") == 0
        assert await rest(messages) == ["last"]
        assert not manager._host.listeners


async def test_the_end_of_the_managers_life_ends_it_after_what_was_said(make: Make) -> None:
    manager = make()

    async def listen() -> list[Any]:
        async with manager.listen("red") as messages:
            listening.set()
            return await rest(messages)

    listening = asyncio.Event()
    async with manager.lifespan():
        task = asyncio.create_task(listen())
        await listening.wait()
        await manager.broadcast("last", room="red")
    assert await task == ["last"]


async def test_what_was_listened_to_is_let_go_of_with_the_last_listener() -> None:
    manager = RoomManager[Any, Any](broker=MemoryBroker())
    async with manager.lifespan():
        async with manager.listen("red"):
            listening = channels_of(manager)
        await eventually(lambda: channels_of(manager) < listening)


async def test_one_that_falls_behind_ends_with_an_error_where_the_policy_closes() -> None:
    manager = RoomManager[Any, Any](queue=QueueLimits(messages=4))
    async with manager.lifespan(), manager.listen("red") as messages:
        for number in range(10):
            await manager.broadcast(str(number), room="red")
        with pytest.raises(ConnectionClosed, match="4008"):
            await rest(messages)
        await manager.broadcast("after", room="red")


@pytest.mark.parametrize(
    ("overflow", "last"), [(Overflow.DROP_OLDEST, "9"), (Overflow.DROP_NEWEST, "3"), (Overflow.CONFLATE, "9")]
)
async def test_what_it_misses_under_a_policy_that_drops_is_counted(overflow: Overflow, last: str) -> None:
    class Dropping(RoomManager[Any, Any]):
        def room_policy(self, room: str) -> RoomPolicy:
            return RoomPolicy(overflow=overflow)

    manager = Dropping(queue=QueueLimits(messages=4))
    async with manager.lifespan(), manager.listen("red") as messages:
        for number in range(10):
            await manager.broadcast(str(number), room="red", key="k")
        dropped = messages.statistics().dropped
        lost = dropped.oldest + dropped.newest + dropped.conflated
        assert lost >= 6
        assert (await heard(messages, 10 - lost))[-1] == last


async def test_one_that_falls_behind_in_a_history_is_brought_back_where_the_policy_drops() -> None:
    manager = RoomManager[Any, Any](
        history=History(on_join=0), queue=QueueLimits(messages=4), overflow=Overflow.DROP_OLDEST
    )
    async with manager.lifespan(), manager.listen("red") as messages:
        for number in range(50):
            await manager.broadcast(str(number), room="red")
        assert await heard(messages, 50) == [str(number) for number in range(50)]


async def test_a_slow_one_is_not_closed_for_its_time() -> None:
    manager = RoomManager[Any, Any](queue=QueueLimits(send_timeout=0.01))
    async with manager.lifespan(), manager.listen("red") as messages:
        await manager.broadcast("one", room="red")
        await manager.broadcast("two", room="red")
        await asyncio.sleep(0.05)  # longer than a client has
        assert await heard(messages, 2) == ["one", "two"]


async def test_since_a_position_it_hears_all_that_was_said_however_much_it_is() -> None:
    manager = RoomManager[Any, Any](history=History(messages=500, on_join=0), queue=QueueLimits(messages=4))
    async with manager.lifespan():
        await manager.broadcast("before", room="red")
        position = await manager.position("red")
        said = [str(number) for number in range(300)]
        for text in said:
            await manager.broadcast(text, room="red")
        async with manager.listen("red", since=position) as messages:
            assert (messages.joined.recovered, messages.joined.reason) == (True, None)
            await manager.broadcast("live", room="red")
            assert await heard(messages, 301) == [*said, "live"]
        async with manager.listen("red", since="1.abcdefgh.x") as messages:
            assert (messages.joined.recovered, messages.joined.reason) == (False, "epoch_changed")


async def test_without_a_position_it_begins_with_what_members_get_on_joining() -> None:
    manager = RoomManager[Any, Any](history=History(on_join=2))
    async with manager.lifespan():
        for text in ("one", "two", "three"):
            await manager.broadcast(text, room="red")
        async with manager.listen("red") as messages:
            assert await heard(messages, 2) == ["two", "three"]


async def test_nobody_present_is_told_of_it() -> None:
    manager = RoomManager[Any, Any](presence=Presence(grace=0))
    async with manager.lifespan(), manager.listen("red"):
        assert (await manager.who("red")).count == 0


async def test_a_manager_with_a_broker_must_run() -> None:
    manager = RoomManager[Any, Any](broker=MemoryBroker())
    with pytest.raises(ConfigurationError, match="lifespan"):
        manager.listen("red")


async def test_a_task_that_is_cancelled_leaves_nothing_behind(make: Make) -> None:
    manager = make()

    async def listen() -> None:
        async with manager.listen("red") as messages:
            listening.set()
            await rest(messages)

    listening = asyncio.Event()
    async with manager.lifespan():
        task = asyncio.create_task(listen())
        await listening.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not manager._host.listeners


async def test_once_the_managers_life_has_ended_it_hears_nothing_more() -> None:
    manager = RoomManager[Any, Any]()
    async with manager.lifespan():
        pass
    async with manager.listen("red") as messages:
        assert await rest(messages) == []
