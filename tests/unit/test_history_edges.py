"""What happens at the edges of histories: nobody knows where a room is, or who has one."""

from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import History, RoomManager
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.testing import Client, eventually
from unit.history_world import Member, World


async def test_who_entered_while_nothing_could_be_read_is_told_once_it_can() -> None:
    world = World()
    world.down = True
    one = Member("one")
    world.enter(one)
    await world.resume(one)
    live = world.say("a", "b")  # "a" is not heard here
    world.down = False
    await world.hear(live[1])
    world.histories.restored()
    await world.idle()
    assert world.lost == [[one]]


async def test_a_history_function_that_raises_does_not_end_the_broker_connection() -> None:
    bad = False

    def history(room: str) -> History | None:
        if bad:
            raise RuntimeError(room)
        return History()

    manager: RoomManager[Any, Any] = RoomManager(history=history)

    async def endpoint(websocket: WebSocket) -> None:
        await manager.serve(websocket, room="red")

    routes = [WebSocketRoute("/", endpoint)]
    async with (
        Client(Starlette(lifespan=manager.lifespan, routes=routes)) as client,
        client.websocket("/"),
    ):
        await eventually(lambda: manager.count_here("red") == 1)
        clustered = manager._across
        assert isinstance(clustered, Clustered)
        clustered.broker_lost(RuntimeError())
        bad = True
        clustered.broker_restored()
        bad = False


async def test_a_manager_without_a_history_gets_what_one_with_it_says() -> None:
    """As in a deploy that turns it on, while old and new workers run at once."""
    broker = MemoryBroker()
    new: RoomManager[Any, Any] = RoomManager(broker=broker, history=History())
    old: RoomManager[Any, Any] = RoomManager(broker=broker)

    async def endpoint(websocket: WebSocket) -> None:
        async with old.connect(websocket, room="red") as connection:
            await connection.send("in")
            async for _ in connection:
                pass

    routes = [WebSocketRoute("/", endpoint)]
    async with (
        new.lifespan(),
        Client(Starlette(lifespan=old.lifespan, routes=routes)) as client,
        client.websocket("/") as socket,
    ):
        assert await socket.receive_text() == "in"
        await new.broadcast("hello", room="red")
        assert await socket.receive_text() == "hello"
