"""What a room manager promises across processes, on every engine."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from fastapi_rooms import ConfigurationError, Delivery
from fastapi_rooms.testing import WebSocketSession, eventually

from .engines import Engine
from .workers import SOON, Manager, Worker, workers

_PREFIXES = itertools.count()


@pytest.fixture
async def three(engine: Engine) -> AsyncIterator[list[Worker]]:
    """Three processes on one engine, alone under their prefix."""
    prefix = f"test{next(_PREFIXES)}"
    async with workers(3, lambda: Manager(engine.broker(prefix=prefix))) as three:
        for worker in three:
            await eventually(lambda worker=worker: worker.manager.health().peers == 2, timeout=SOON)  # type: ignore[misc]
        yield three


async def everything(socket: WebSocketSession) -> list[str]:
    """What has come so far, before the mark that the test sends last."""
    received: list[str] = []
    while (text := await socket.receive_text()) != "end":
        received.append(text)
    return received


async def test_a_broadcast_to_a_room_reaches_its_members_everywhere(three: list[Worker]) -> None:
    sockets = [await worker.join("ann", "red") for worker in three]
    other = await three[0].join("bob", "blue")
    delivery = await three[0].manager.broadcast("hello", room="red")
    assert delivery == Delivery(queued=None, dropped=None, closed=None, scope="cluster")
    assert [await socket.receive_text() for socket in sockets] == ["hello"] * 3
    await three[1].manager.broadcast("end", room="blue")
    assert await everything(other) == []


async def test_a_process_without_members_may_broadcast_too(three: list[Worker]) -> None:
    socket = await three[2].join("ann", "red")
    await three[0].manager.broadcast(b"\x00\xff", room="red")
    assert await socket.receive_bytes() == b"\x00\xff"


async def test_a_broadcast_without_a_room_reaches_every_connection(three: list[Worker]) -> None:
    sockets = [await worker.join("ann") for worker in three]
    await three[1].manager.broadcast({"to": "all"})
    assert [await socket.receive_json() for socket in sockets] == [{"to": "all"}] * 3


async def test_excluded_connections_and_users_do_not_get_it(three: list[Worker]) -> None:
    ann, bob, cat = [
        await worker.join(user, "red") for worker, user in zip(three, ("ann", "bob", "cat"), strict=True)
    ]
    (own,) = three[0].manager.connections
    await three[0].manager.broadcast("one", room="red", exclude=own)
    await three[0].manager.broadcast("two", room="red", exclude_users=["bob"])
    await three[0].manager.broadcast("end", room="red")
    assert [await everything(one) for one in (ann, bob, cat)] == [["two"], ["one"], ["one", "two"]]


async def test_what_is_for_a_user_reaches_all_connections_of_that_user(three: list[Worker]) -> None:
    sockets = [await three[0].join("ann"), await three[2].join("ann")]
    other = await three[1].join("bob")
    await three[1].manager.send_to_user("ann", "for ann")
    await three[1].manager.send_to_user("bob", "end")
    assert [await socket.receive_text() for socket in sockets] == ["for ann"] * 2
    assert await everything(other) == []


async def test_disconnecting_a_user_closes_the_connections_everywhere(three: list[Worker]) -> None:
    sockets = [await worker.join("ann") for worker in three]
    other = await three[1].join("bob")
    assert await three[0].manager.disconnect_user("ann", reason="out") == 1
    for socket in sockets:
        closed = await socket.wait_closed()
        assert (closed.code, closed.reason) == (4507, "out")
    await three[0].manager.send_to_user("bob", "end")
    assert await everything(other) == []


async def test_closing_a_room_comes_after_what_was_sent_to_it_before(three: list[Worker]) -> None:
    sockets = [await worker.join("ann", "red") for worker in three]
    await three[0].manager.broadcast("last words", room="red")
    assert await three[0].manager.close_room("red") == 1
    await three[0].manager.broadcast("too late", room="red")
    await three[0].manager.broadcast("end")
    assert [await everything(socket) for socket in sockets] == [["last words"]] * 3
    for worker in three:
        await eventually(lambda worker=worker: worker.manager.left == [("ann", "red")], timeout=SOON)  # type: ignore[misc]


async def test_closing_a_room_with_a_code_closes_its_connections(three: list[Worker]) -> None:
    sockets = [await worker.join("ann", "red") for worker in three]
    await three[2].manager.close_room("red", code=4321, reason="over")
    for socket in sockets:
        assert (await socket.wait_closed()).code == 4321


async def test_members_and_their_number_are_those_of_all_processes(three: list[Worker]) -> None:
    for worker, user in zip(three, ("ann", "bob", "cat"), strict=True):
        await worker.join(user, "red")
    room = three[1].manager.room("red")
    count, members = await room.count(), await room.members()
    assert (count, count.missing) == (3, frozenset())
    assert ({one.user_id for one in members}, members.missing) == ({"ann", "bob", "cat"}, frozenset())


async def test_messages_of_one_process_come_in_its_order_and_once(three: list[Worker]) -> None:
    sockets = [await worker.join("ann", "red") for worker in three]
    sent = [str(number) for number in range(300)]
    for text in sent:
        await three[0].manager.broadcast(text, room="red")
    await three[0].manager.broadcast("end", room="red")
    assert [await everything(socket) for socket in sockets] == [sent] * 3


async def test_a_message_is_received_only_where_the_room_has_members(three: list[Worker]) -> None:
    socket = await three[0].join("ann", "red")
    await three[0].manager.broadcast("x", room="red")
    assert await socket.receive_text() == "x"
    heard = [worker.hears_room("red") for worker in three]
    assert heard == [True, False, False]


async def test_a_room_that_is_empty_again_is_left_after_a_while(three: list[Worker]) -> None:
    manager = three[0].manager
    before = manager.health()
    assert before is not None
    socket = await three[0].join("ann", "red")
    health = manager.health()
    assert health is not None
    assert health.channels == before.channels + 2
    await socket.close()
    await eventually(lambda: manager.health().channels == before.channels, timeout=SOON)  # type: ignore[union-attr]


async def test_without_its_lifespan_a_manager_with_a_broker_says_what_to_do(engine: Engine) -> None:
    manager = Manager(engine.broker())
    with pytest.raises(ConfigurationError, match="lifespan"):
        await manager.broadcast("x", room="red")


ROOMS = ["", "a b", "a.b", "*", ">", "room.*", "a\nb", "é" * 127, "🎈", "'; DROP TABLE x; --", "%2A"]


async def test_any_name_is_a_room_of_its_own(three: list[Worker]) -> None:
    manager = three[0].manager
    for number, room in enumerate(ROOMS):
        await three[0].join(str(number), room)
    sockets = [await three[2].join("all", *ROOMS)]
    for number, room in enumerate(ROOMS):
        assert [one.user_id for one in manager.members_here(room)] == [str(number)]
        await three[1].manager.broadcast(str(number), room=room)
    await three[1].manager.broadcast("end")
    assert await everything(sockets[0]) == [str(number) for number in range(len(ROOMS))]


async def test_joins_and_leaves_that_race_miss_no_message(three: list[Worker]) -> None:
    near, far = three[0], three[1]
    await near.join("ann")
    (connection,) = near.manager.connections
    socket = await far.join("bob", "red")
    for number in range(100):
        await near.manager.join(connection, "red")
        leaving = asyncio.create_task(near.manager.leave(connection, "red"))
        await near.manager.broadcast(str(number), room="red")
        await leaving
    await near.manager.broadcast("end", room="red")
    assert await everything(socket) == [str(number) for number in range(100)]
