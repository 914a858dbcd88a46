"""Managers on `SharedFramesProtocol`, in memory: what users see of them, and what the options do."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from fastapi_rooms import Delivery, Dropped, Heartbeat, Limits, Overflow, QueueLimits
from fastapi_rooms.testing import eventually
from unit.apps import Noting, app_of, client_of, staying
from unit.fakes import SHORT, SOON
from unit.frame_fakes import CLOSE, PING, TEXT, OnWire, turns
from unit.frame_sessions import Session

Join = Callable[..., Awaitable[Session]]

PINGS = Heartbeat(interval=SHORT, timeout=SOON, message=None)


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """Opens connections that echo, and leaves nothing of them."""
    sessions: list[Session] = []

    async def join(manager: Noting, room: str = "red", **options: Any) -> Session:
        before = manager.log.count(f"join {room}")
        sessions.append(Session(app_of(staying(manager)), path=f"/{room}", **options))
        await sessions[-1].open()
        await manager.noted(f"join {room}", times=before + 1)
        await turns()
        return sessions[-1]

    yield join
    for one in sessions:
        await one.finish()


def opcodes(one: Session) -> list[int]:
    return [frame.opcode for frame in one.frames]


async def test_broadcasts_rooms_and_replies_reach_who_they_are_for(join: Join) -> None:
    manager = Noting()
    ann, bob, cid = await join(manager), await join(manager), await join(manager, "blue")
    assert await manager.broadcast("all") == Delivery(queued=3)
    assert await manager.broadcast({"a": 1}, room="red") == Delivery(queued=2)
    ann.client.send_text(b"echo")
    ann.transmit()
    await eventually(lambda: len(ann.frames) == 3)
    assert (ann.read(), bob.read(), cid.read()) == (["all", '{"a":1}', "echo"], ["all", '{"a":1}'], ["all"])


async def test_the_broadcasts_of_a_turn_are_one_write_for_each_client(join: Join) -> None:
    manager = Noting()
    ann, bob = await join(manager), await join(manager)
    before = [len(one.wire.writes) for one in (ann, bob)]
    for number in range(10):
        await manager.broadcast(str(number))
    await turns(1)
    assert [len(one.wire.writes) for one in (ann, bob)] == [count + 1 for count in before]
    assert (ann.read(), bob.read()) == ([str(number) for number in range(10)],) * 2
    assert manager._host.gathering


async def test_clients_with_and_without_compression_share_a_room(join: Join) -> None:
    manager = Noting()
    plain, deflate = await join(manager), await join(manager, extensions=[ClientPerMessageDeflateFactory()])
    text = "hello " * 200
    await manager.broadcast(text)
    await turns(1)
    assert ([one.frames[0].compressed for one in (plain, deflate)]) == [False, True]
    assert plain.read() == deflate.read() == [text]


async def test_a_client_of_another_kind_of_server_shares_the_room(join: Join) -> None:
    manager = Noting()
    ann = await join(manager)
    async with client_of(staying(manager)) as client, client.websocket("/red") as bob:
        await manager.noted("join red", times=2)
        await manager.broadcast("a", room="red")
        assert await bob.receive_text() == "a"
    await turns(1)
    assert ann.read() == ["a"]


async def test_statistics_count_what_is_gathered_and_survive_the_connection(join: Join) -> None:
    manager = Noting()
    ann = await join(manager)
    await manager.broadcast("xx")
    total = manager.statistics().total
    assert (total.sent, total.sent_bytes, total.queued) == (1, 2, 0)
    await ann.finish()
    await manager.emptied()
    assert (manager.statistics().total.sent, manager.statistics().total.sent_bytes) == (1, 2)


async def test_a_figure_that_was_counted_is_not_taken_back_when_the_peer_vanishes(join: Join) -> None:
    manager = Noting()
    ann = await join(manager)
    ann.wire.reset()  # which the server is told only after this turn
    assert await manager.broadcast("xx") == Delivery(queued=1)
    assert manager.statistics().total.sent == 1
    await manager.emptied()
    total = manager.statistics().total
    assert total.sent + total.dropped.discarded == 1


@pytest.mark.parametrize(("queue_bytes", "limit"), [(1000, 250), (None, 64 * 1024)])
async def test_the_send_queues_bound_bounds_the_servers_buffer(
    join: Join, queue_bytes: int | None, limit: int
) -> None:
    ann = await join(Noting(queue=QueueLimits(bytes=queue_bytes)))
    assert ann.wire.limit == limit


async def test_what_was_dropped_is_told_when_the_client_reads_again(join: Join) -> None:
    manager = Noting(queue=QueueLimits(bytes=1000), overflow=Overflow.DROP_NEWEST)
    ann = await join(manager)
    ann.wire.stall()
    await manager.broadcast("x" * 300)
    await turns(1)
    assert await manager.broadcast("x" * 600) == Delivery(queued=1)
    assert await manager.broadcast("x" * 500) == Delivery(dropped=1)
    ann.wire.resume()
    await eventually(lambda: len(ann.frames) == 2)
    await turns()
    assert manager.dropped == [Dropped(newest=1, bytes=500)]


async def test_a_producer_without_a_pause_meets_the_clients_pace(join: Join) -> None:
    manager = Noting(queue=QueueLimits(messages=64))
    ann = await join(manager)
    texts = [f"{number} " + "x" * 2000 for number in range(2000)]

    async def peer() -> None:
        while True:
            await asyncio.sleep(0)
            ann.wire.stall()
            await asyncio.sleep(0)
            ann.wire.resume()

    reading = asyncio.create_task(peer())
    async with asyncio.timeout(SOON * 5):
        for text in texts:
            assert await manager.broadcast(text) == Delivery(queued=1)
    reading.cancel()
    await asyncio.wait((reading,))
    ann.wire.resume()
    await eventually(lambda: manager.statistics().total.queued == 0)
    await turns()
    assert ann.read() == texts


@pytest.mark.usefixtures("time_by_turns")
async def test_a_write_window_gathers_for_its_time(join: Join) -> None:
    manager = Noting(limits=Limits(write_window=SHORT * 5))
    ann = await join(manager)
    before = len(ann.wire.writes)
    for text in "ab":
        await manager.broadcast(text)
        await turns(20)
    assert len(ann.wire.writes) == before
    await eventually(lambda: len(ann.wire.writes) == before + 1)
    assert ann.read() == ["a", "b"]


async def test_what_a_window_gathers_still_goes_before_the_close_frame(join: Join) -> None:
    manager = Noting(limits=Limits(write_window=60.0))
    ann = await join(manager)
    await manager.broadcast("a")
    (connection,) = manager.connections
    await connection.close(4000, "why")
    assert ann.frames == [OnWire(TEXT, b"a"), OnWire(CLOSE, (4000).to_bytes(2) + b"why")]


async def test_a_heartbeat_without_a_message_is_a_ping(join: Join) -> None:
    manager = Noting(heartbeat=PINGS)
    ann = await join(manager)
    for pings in (1, 2, 3):
        await eventually(lambda pings=pings: opcodes(ann) == [PING] * pings)  # type: ignore[misc]  # bound at once
        ann.read()
        ann.transmit()
    assert (len(manager), ann.protocol.ping_timer) == (1, None)


async def test_a_client_that_answers_no_ping_is_closed(join: Join) -> None:
    manager = Noting(heartbeat=Heartbeat(interval=SHORT, timeout=SHORT, message=None))
    ann = await join(manager)
    await manager.noted("disconnect heartbeat_timeout 4012")
    await eventually(lambda: opcodes(ann) == [PING, CLOSE])


async def test_on_other_servers_a_heartbeat_without_a_message_is_the_servers_affair() -> None:
    manager = Noting(heartbeat=Heartbeat(interval=SHORT, timeout=SHORT, message=None))
    async with client_of(staying(manager)) as client, client.websocket("/red") as ann:
        await manager.noted("join red")
        await asyncio.sleep(SHORT * 6)
        assert (ann.take_received(), len(manager)) == ([], 1)


async def test_a_server_that_stops_sends_everyone_away_at_once(join: Join) -> None:
    manager = Noting()
    ann = await join(manager)
    await manager.broadcast("a")
    ann.protocol.shutdown()
    assert (opcodes(ann), ann.frames[1].data[:2]) == ([TEXT, CLOSE], (1012).to_bytes(2))
    await manager.noted("disconnect shutdown 1012")


async def test_a_spread_sends_each_away_in_its_own_time(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([60.0, 0.0, 60.0])
    monkeypatch.setattr(random, "uniform", lambda least, most: next(times))
    manager = Noting(limits=Limits(shutdown_spread=60.0))
    crowd = [await join(manager) for _ in range(3)]
    for one in crowd:
        one.protocol.shutdown()
    await manager.broadcast("still here")
    await manager.noted("disconnect shutdown 1012")
    await eventually(lambda: len(crowd[1].frames) == 2)  # the hook runs while the goodbye is said
    assert [opcodes(one) for one in crowd] == [[TEXT], [TEXT, CLOSE], [TEXT]]
    assert crowd[1].frames[-1].data[:2] == (1012).to_bytes(2)
    assert len(manager) == 2


async def test_a_middleware_that_looks_at_messages_costs_only_speed(join: Join) -> None:
    manager = Noting()
    seen: list[str] = []

    def counting(app: ASGIApp) -> ASGIApp:
        async def counted(scope: Any, receive: Any, send: Any) -> None:
            async def noting(message: Any) -> None:
                seen.append(message["type"])
                await send(message)

            await app(scope, receive, noting)

        return counted

    one = Session(counting(app_of(staying(manager))), path="/red")
    await one.open()
    await manager.noted("join red")
    await turns()
    await manager.broadcast("a")
    await eventually(lambda: len(one.frames) == 1)
    assert (one.read(), manager._host.gathering) == (["a"], False)
    assert seen == ["websocket.accept", "websocket.send"]
    await one.finish()
    await manager.emptied()


async def test_a_raw_socket_beside_a_manager_is_as_on_any_server() -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    one = Session(app_of(echo), path="/red", extensions=[ClientPerMessageDeflateFactory()])
    await one.open()
    one.client.send_text(b"hello" * 100)
    one.transmit()
    await eventually(lambda: len(one.frames) == 1)
    assert one.read() == ["hello" * 100]
    await one.finish()
    assert not one.state.tasks
