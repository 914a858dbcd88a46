"""The latest on entry, at any process: the last messages of a chat, the last of each key of a dashboard."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import Connection, History, Position, RoomManager
from fastapi_rooms.brokers import Broker
from fastapi_rooms.testing import Client, WebSocketSession

from .engines import Engine
from .workers import SOON

_PREFIXES = itertools.count()

KEPT, LAST = 20, 5


class Page:
    """A client in a room.

    Attributes:
        messages: What it got.
        on_entry: What of it came before `on_join`.
        told: What that said.
        position: Where it is.
    """

    def __init__(self, socket: WebSocketSession) -> None:
        self.messages: list[str] = []
        self.on_entry: list[str] = []
        self.told: tuple[bool | None, str | None] | None = None
        self.position = ""
        self._socket = socket

    async def read(self) -> None:
        """One message more."""
        message = await self._socket.receive_json()
        if "message" in message:
            self.messages.append(message["message"])
        else:
            self.told = message["recovered"], message["reason"]
            self.on_entry = list(self.messages)
        self.position = message["position"]

    async def until(self, text: str) -> list[str]:
        """All messages, up to this one."""
        while text not in self.messages:
            await self.read()
        return self.messages


class Process(RoomManager[Any, Any]):
    """Rooms are chats, and a dashboard; who enters is told where it is, after what it gets."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker=broker, history=self.kept)
        app = Starlette(lifespan=self.lifespan, routes=[WebSocketRoute("/{room}", self._endpoint)])
        self.client = Client(app, timeout=SOON)

    def kept(self, room: str) -> History:
        return History(messages=KEPT, seconds=60.0, on_join="keys" if room == "dashboard" else LAST)

    def encode(self, message: str | bytes, position: Position) -> object:
        return {"message": message, "position": str(position)}

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        joined = self.joined(connection, room)
        assert joined is not None
        position = str(joined.position)
        await connection.send({"recovered": joined.recovered, "reason": joined.reason, "position": position})

    async def say(self, room: str, *texts: str, key: str | None = None) -> None:
        for text in texts:
            await self.broadcast(text, room=room, key=key)

    @asynccontextmanager
    async def page(self, room: str, *, since: str = "", user: str = "") -> AsyncIterator[Page]:
        """A client that has entered."""
        async with self.client.websocket(f"/{room}?since={since}&user={user}") as socket:
            page = Page(socket)
            while page.told is None:
                await page.read()
            yield page

    async def _endpoint(self, websocket: WebSocket) -> None:
        query, room = websocket.query_params, websocket.path_params["room"]
        await self.serve(websocket, room=room, since=query["since"] or None, user_id=query["user"] or None)


@pytest.fixture
async def two(engine: Engine) -> AsyncIterator[list[Process]]:
    prefix = f"entry{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        processes = [Process(engine.broker(prefix=prefix)) for _ in range(2)]
        for process in processes:
            await stack.enter_async_context(process.client)
        yield processes


def numbers(count: int) -> list[str]:
    return [f"{number}" for number in range(count)]


async def test_who_enters_a_chat_gets_its_last_messages_then_live_ones(two: list[Process]) -> None:
    near, far = two
    for count in (0, 2, LAST + 3):
        room = f"chat-{count}"
        await near.say(room, *numbers(count))
        async with far.page(room) as page, near.page(room) as other:
            assert page.told == other.told == (None, None)
            assert page.on_entry == other.on_entry == numbers(count)[-LAST:]
            assert page.position == str(await near.position(room))
            await near.say(room, "live")
            assert await page.until("live") == await other.until("live") == [*page.on_entry, "live"]


async def test_who_comes_back_in_time_gets_what_it_missed_and_who_does_not_gets_the_last_ones(
    two: list[Process],
) -> None:
    near, far = two
    await near.say("chat", "0")
    async with near.page("chat") as page:
        position = page.position
    await near.say("chat", *numbers(LAST + 2)[1:])
    async with far.page("chat", since=position) as page:
        assert (page.told, page.on_entry) == ((True, None), numbers(LAST + 2)[1:])
    await near.say("chat", *numbers(KEPT + 5))
    async with far.page("chat", since=position) as page:
        assert page.told is not None
        assert page.told[0] is False
        assert len(page.on_entry) == LAST  # the newest may be still on their way to this process
        await near.say("chat", "live")
        messages = await page.until("live")
        assert messages == [*numbers(KEPT + 5), "live"][-len(messages) :]
    async with far.page("chat", since="forged") as page:
        assert (page.told, page.on_entry[-1]) == ((False, "epoch_changed"), "live")
        assert len(page.on_entry) == LAST


async def test_who_enters_a_dashboard_gets_the_last_of_each_key_that_is_kept(two: list[Process]) -> None:
    near, far = two
    await near.say("dashboard", "too old", key="old")
    for number in numbers(KEPT // 4):
        await near.say("dashboard", f"cpu {number}", key="cpu")
        await far.say("dashboard", f"disk {number}", key="disk")
        await near.say("dashboard", "a note", "another note")
    async with far.page("dashboard") as page:
        assert page.on_entry == ["cpu 4", "disk 4"]
        await far.say("dashboard", "cpu 5", key="cpu")
        assert await page.until("cpu 5") == ["cpu 4", "disk 4", "cpu 5"]
        async with near.page("dashboard") as other:
            assert other.on_entry == ["disk 4", "cpu 5"]


async def test_excluded_users_get_what_was_before(two: list[Process]) -> None:
    near, far = two
    await near.broadcast("for all", room="dashboard", key="k")
    await near.broadcast("for others", room="dashboard", key="k", exclude_users=["ann"])
    async with far.page("dashboard", user="ann") as ann, far.page("dashboard", user="bob") as bob:
        assert (ann.on_entry, bob.on_entry) == (["for all"], ["for others"])


async def test_entries_amid_a_flood_have_no_gap_and_nothing_twice(two: list[Process]) -> None:
    near, far = two
    texts = numbers(200)
    entered = asyncio.Event()

    async def enter() -> tuple[list[str], int]:
        async with far.page("chat") as page:
            entered.set()
            return list(await page.until(texts[-1])), len(page.on_entry)

    await near.say("chat", *texts[:LAST])
    async with asyncio.TaskGroup() as group:
        entering = []
        for number, text in enumerate(texts[LAST:]):
            if number % 9 == 0:
                entering.append(group.create_task(enter()))
            if number == len(texts) // 2:
                await entered.wait()  # some enter early, though the machine may be late
            await near.say("chat", text)
            await asyncio.sleep(0)
    for messages, on_entry in (one.result() for one in entering):
        assert messages == texts[-len(messages) :]
        assert on_entry >= LAST
    assert len({len(one.result()[0]) for one in entering}) > 1
