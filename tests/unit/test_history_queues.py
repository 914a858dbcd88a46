"""A slow consumer in a room with a history: what is queued stays queued, and what is dropped comes later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import CloseCode, Connection, History, Overflow, QueueLimits, RoomManager, RoomPolicy
from fastapi_rooms.send_queue import Dropped
from fastapi_rooms.testing import Buffer, Client, WebSocketSession, eventually
from unit.fakes import SOON

DROPS = pytest.mark.parametrize("overflow", [Overflow.DROP_OLDEST, Overflow.DROP_NEWEST])

KEPT = 30

FULL = 4
"""Messages in a queue."""


class Rooms(RoomManager[Any, Any]):
    """Rooms whose names begin with "plain" have no history; "own" ones have a policy of their own."""

    def __init__(self, overflow: Overflow, *, own: Overflow | None = None) -> None:
        queue = QueueLimits(messages=FULL, send_timeout=SOON)
        super().__init__(overflow=overflow, queue=queue, history=self.kept)
        self.own = own
        self.overflows: list[Dropped] = []
        self.entered = 0

    def kept(self, room: str) -> History | None:
        return None if room.startswith("plain") else History(messages=KEPT)

    def room_policy(self, room: str) -> RoomPolicy | None:
        return RoomPolicy(overflow=self.own) if room.startswith("own") else None

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        self.entered += 1

    async def on_overflow(self, connection: Connection[Any], dropped: Dropped) -> None:
        self.overflows.append(dropped)

    @asynccontextmanager
    async def stalled(self, *rooms: str) -> AsyncIterator[WebSocketSession]:
        """A client in these rooms that reads no more."""

        async def endpoint(websocket: WebSocket) -> None:
            async with self.connect(websocket, user_id="ann") as connection:
                for room in rooms:
                    await self.join(connection, room)
                async for _ in connection:
                    pass

        app = Starlette(lifespan=self.lifespan, routes=[WebSocketRoute("/", endpoint)])
        async with Client(app) as client, client.websocket("/") as socket:
            await eventually(lambda: self.entered == len(rooms))
            socket.stall()
            yield socket

    async def say(self, room: str, *texts: str) -> None:
        for text in texts:
            await self.broadcast(text, room=room)


async def heard(socket: WebSocketSession, last: str) -> list[str]:
    """What the client gets from now on, up to this."""
    socket.resume()
    texts: list[str] = []
    while last not in texts:
        texts.append(await socket.receive_text())
    return texts


def numbers(count: int, *, start: int = 0) -> list[str]:
    return [f"{number}" for number in range(start, start + count)]


@DROPS
async def test_who_stalls_gets_everything_afterwards_and_the_drop_is_reported_once(overflow: Overflow) -> None:
    manager = Rooms(overflow)
    async with manager.stalled("red") as socket:
        await manager.say("red", *numbers(20))
        await eventually(lambda: manager.statistics().total.dropped.newest == 1)
        assert await heard(socket, "19") == numbers(20)
        await manager.say("red", *numbers(3, start=20))
        assert await heard(socket, "22") == ["20", "21", "22"]
        await eventually(lambda: bool(manager.overflows))
        assert sum(dropped.messages for dropped in manager.overflows) == manager.statistics().total.dropped.newest
        assert manager.statistics().total.dropped.oldest == 0


@DROPS
async def test_who_stalls_for_longer_than_is_kept_is_closed_with_4010(overflow: Overflow) -> None:
    manager = Rooms(overflow)
    async with manager.stalled("red") as socket:
        await manager.say("red", *numbers(KEPT + 20))
        socket.resume()
        closed = await socket.wait_closed()
        assert (closed.code, closed.reason) == (CloseCode.POSITION_LOST, "messages were missed")


@DROPS
async def test_a_rooms_own_policy_holds(overflow: Overflow) -> None:
    manager = Rooms(Overflow.CLOSE, own=overflow)
    async with manager.stalled("own") as socket:
        await manager.say("own", *numbers(20))
        assert await heard(socket, "19") == numbers(20)


@pytest.mark.parametrize("own", [Overflow.CLOSE, Overflow.CONFLATE])
async def test_policies_that_close_close(own: Overflow) -> None:
    manager = Rooms(Overflow.DROP_OLDEST, own=own)
    async with manager.stalled("own") as socket:
        await manager.say("own", *numbers(20))
        socket.resume()
        assert (await socket.wait_closed()).code == CloseCode.SLOW_CONSUMER


async def test_no_other_message_evicts_what_is_of_a_history() -> None:
    manager = Rooms(Overflow.DROP_OLDEST, own=Overflow.DROP_OLDEST)
    async with manager.stalled("own red", "red", "plain") as socket:
        said = Buffer().messages or 0
        await manager.say("red", *numbers(said + FULL - 1))  # the last of which wait in the queue
        await socket.wait_blocked()
        await manager.say("own red", "own 0", "own 1")  # the second one is dropped
        for number in range(20):
            await manager.send_to_user("ann", f"user {number}")
            await manager.broadcast(f"everyone {number}")
            await manager.say("plain", f"plain {number}")
        await manager.say("red", "end")
        texts = await heard(socket, "end")
        while "own 1" not in texts:
            texts += await heard(socket, "own 1")
        assert [text for text in texts if text.isdigit()] == numbers(said + FULL - 1)
        assert [text for text in texts if text.startswith("own")] == ["own 0", "own 1"]
        assert manager.statistics().total.dropped.oldest == 0


async def test_what_is_of_a_history_evicts_no_other_message() -> None:
    manager = Rooms(Overflow.DROP_OLDEST)
    async with manager.stalled("red", "plain") as socket:
        await manager.say("plain", *(f"plain {number}" for number in range(30)))
        await eventually(lambda: manager.statistics().total.dropped.oldest > 0)
        await socket.wait_blocked()
        dropped = manager.statistics().total.dropped.oldest
        await manager.say("red", *numbers(3))
        await eventually(lambda: manager.statistics().total.dropped.newest > 0)
        assert manager.statistics().total.dropped.oldest == dropped
        assert [text for text in await heard(socket, "2") if text.isdigit()] == numbers(3)


async def test_a_client_that_never_reads_again_is_closed_by_its_deadline() -> None:
    manager = Rooms(Overflow.DROP_OLDEST)
    manager.queue = manager._host.queue = QueueLimits(messages=FULL, send_timeout=0.1, close_timeout=0.1)
    async with manager.stalled("red"):
        await manager.say("red", *numbers(20))
        await eventually(lambda: manager.statistics().disconnected == {"send_timeout": 1})
