"""Rooms with a history: who comes back gets what it missed, once, in order; or is told why not."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from fastapi_rooms import (
    BrokerUnavailable,
    ConfigurationError,
    Connection,
    MessageTooLarge,
    NoHistory,
    Publisher,
    QueueLimits,
    RoomManager,
)
from fastapi_rooms.brokers import Broker
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.options import History
from fastapi_rooms.position import Position
from fastapi_rooms.testing import Client, WebSocketSession, eventually

from .engines import Engine
from .workers import SOON

_PREFIXES = itertools.count()

KEPT = 20


class Remembering(RoomManager[Any, Any]):
    """Clients get each message with its position, and what became of their own."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker=broker, history=self.kept)
        self.lost: list[str] = []
        self.encoded = 0

    def kept(self, room: str) -> History | None:
        return None if room.startswith("plain") else History(messages=KEPT, seconds=60.0)

    def encode(self, message: str | bytes, position: Position) -> object:
        self.encoded += 1
        return {"message": message, "position": str(position)}

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        joined = self.joined(connection, room)
        assert joined is not None
        await connection.send(
            {
                "recovered": joined.recovered,
                "reason": joined.reason,
                "position": None if joined.position is None else str(joined.position),
            }
        )

    async def on_continuity_lost(self, room: str) -> None:
        self.lost.append(room)


class Page:
    """A client of one room, which remembers where it is."""

    def __init__(self, socket: WebSocketSession) -> None:
        self.socket = socket
        self.messages: list[str] = []
        self.position: str | None = None
        self.joined: dict[str, Any] | None = None

    async def read(self) -> None:
        """One message more."""
        message = json.loads(await self.socket.receive_text())
        self.position = message["position"]
        if "message" in message:
            self.messages.append(message["message"])
        else:
            self.joined = message

    async def until(self, text: str) -> list[str]:
        """All messages, up to this one."""
        while text not in self.messages:
            await self.read()
        return self.messages


class Process:
    """What one process has."""

    def __init__(self, broker: Broker) -> None:
        self.manager = Remembering(broker)
        app = Starlette(lifespan=self.manager.lifespan, routes=[WebSocketRoute("/{room}", self._endpoint)])
        self.client = Client(app, timeout=SOON)

    @asynccontextmanager
    async def page(self, room: str, since: str | None = None) -> AsyncIterator[Page]:
        """A client that enters a room, and is in it."""
        query = "" if since is None else f"?since={since}"
        async with self.client.websocket(f"/{room}{query}") as socket:
            page = Page(socket)
            while page.joined is None:
                await page.read()
            yield page

    async def _endpoint(self, websocket: WebSocket) -> None:
        room, since = websocket.path_params["room"], websocket.query_params.get("since")
        await self.manager.serve(websocket, room=room, since=since)


@asynccontextmanager
async def several(engine: Engine, count: int) -> AsyncIterator[list[Process]]:
    prefix = f"history{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        processes = [Process(engine.broker(prefix=prefix)) for _ in range(count)]
        for process in processes:
            await stack.enter_async_context(process.client)
        yield processes


@pytest.fixture
async def two(engine: Engine) -> AsyncIterator[list[Process]]:
    async with several(engine, 2) as two:
        yield two


async def say(process: Process, *texts: str, room: str = "red") -> list[int]:
    deliveries = [await process.manager.broadcast(text, room=room) for text in texts]
    assert {delivery.scope for delivery in deliveries} == {"cluster"}
    return [delivery.offset or 0 for delivery in deliveries]


async def test_all_members_get_each_message_with_its_position(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as one, far.page("red") as other:
        offsets = [*await say(near, "a"), *await say(far, "b"), *await say(near, "c")]
        assert offsets == sorted(set(offsets))
        assert await one.until("c") == await other.until("c") == ["a", "b", "c"]
        assert one.position == other.position
        assert one.position == str(await near.manager.position("red"))


async def test_who_comes_back_at_another_process_gets_what_it_missed(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as page:
        await say(near, "a", "b")
        await page.until("b")
        position = page.position
    await say(far, "c", "d")
    await say(near, "e")
    async with far.page("red", position) as again:
        assert again.messages == ["c", "d", "e"]
        assert again.joined is not None
        assert (again.joined["recovered"], again.joined["reason"]) == (True, None)
        await say(near, "f")
        assert await again.until("f") == ["c", "d", "e", "f"]


async def test_who_brings_the_newest_position_gets_nothing_twice(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as page:
        await say(near, "a")
        await page.until("a")
        position = page.position
    async with far.page("red", position) as again:
        assert again.joined is not None
        assert (again.messages, again.joined["recovered"], again.joined["position"]) == ([], True, position)
        await say(near, "b")
        assert await again.until("b") == ["b"]


async def test_a_position_from_before_the_first_message_is_good_for_all(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as page:
        assert page.joined is not None
        assert page.joined["recovered"] is None
        position = page.position
    await say(near, "a", "b")
    async with far.page("red", position) as again:
        assert again.messages == ["a", "b"]


async def test_who_was_away_for_too_long_is_told_and_goes_on_from_here(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as page:
        await say(near, "first")
        await page.until("first")
        position = page.position
    await say(near, *(f"{number}" for number in range(KEPT + 5)))
    async with far.page("red", position) as again:
        assert again.joined is not None
        assert (again.messages, again.joined["recovered"]) == ([], False)
        assert again.joined["reason"] in ("too_many", "expired")
        assert again.joined["position"] == str(await near.manager.position("red"))
        await say(near, "live")
        assert await again.until("live") == ["live"]


@pytest.mark.parametrize("forged", ["x", "1", "999999.AAAAAAAA.zzzz", "-1..", "%00", "9" * 300])
async def test_what_is_no_position_is_told_and_harmless(two: list[Process], forged: str) -> None:
    await say(two[0], "a")
    async with two[1].page("red", forged) as page:
        assert page.joined is not None
        assert (page.joined["recovered"], page.joined["reason"]) == (False, "epoch_changed")
        await say(two[0], "b")
        assert await page.until("b") == ["b"]


async def test_a_position_of_another_room_or_beyond_the_end_is_told(two: list[Process]) -> None:
    await say(two[0], "a", room="blue")
    blue = await two[0].manager.position("blue")
    await say(two[0], "a")
    here = await two[0].manager.position("red")
    for position in (blue, Position("red", here.epoch, here.offset + 1000), Position("red", "elsewhere", 1)):
        async with two[1].page("red", str(position)) as page:
            assert page.joined is not None
            assert (page.joined["recovered"], page.joined["reason"]) == (False, "epoch_changed")


async def test_resuming_many_reads_the_history_once(two: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = two
    await say(near, *(f"{number}" for number in range(10)))
    everything = await near.manager.past("red", last=10)
    reads = []
    async with far.page("red"):
        cluster = far.manager._across
        assert isinstance(cluster, Clustered)
        read = cluster._histories._read_one

        async def counted(room: str, *, after: int, most: int) -> Any:
            reads.append((room, after))
            return await read(room, after=after, most=most)

        monkeypatch.setattr(cluster._histories, "_read_one", counted)
        async with AsyncExitStack() as stack:
            pages = [await stack.enter_async_context(far.page("red", str(past.position))) for past in everything]
            assert [page.messages for page in pages] == [
                [f"{number}" for number in range(index + 1, 10)] for index in range(10)
            ]
    assert len(reads) == 1


async def test_joins_amid_a_flood_miss_nothing_and_get_nothing_twice(two: list[Process]) -> None:
    near, far = two
    start = str(await near.manager.position("red"))
    total = KEPT - 2

    async def flood() -> None:
        for number in range(total):
            await say(near, f"{number}")
            await asyncio.sleep(0)

    async def enter() -> list[str]:
        async with far.page("red", start) as page:
            return await page.until(f"{total - 1}")

    results = await asyncio.gather(flood(), *(enter() for _ in range(30)))
    assert all(got == [f"{number}" for number in range(total)] for got in results[1:])


async def test_the_same_idempotency_key_is_published_once(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as page:
        first = await near.manager.broadcast("once", room="red", idempotency_key="k")
        again = await far.manager.broadcast("once", room="red", idempotency_key="k")
        assert (first.published, again.published, first.offset) == (True, False, again.offset)
        await say(near, "end")
        assert await page.until("end") == ["once", "end"]


async def test_an_older_version_is_not_published(two: list[Process]) -> None:
    near, far = two
    async with near.page("red") as page:
        assert (await near.manager.broadcast("2", room="red", version=2)).published
        assert not (await far.manager.broadcast("1", room="red", version=1)).published
        assert (await far.manager.broadcast("3", room="red", version=3)).published
        assert await page.until("3") == ["2", "3"]


async def test_excluded_users_are_spared_in_a_replay_too(two: list[Process]) -> None:
    near, _ = two
    position = str(await near.manager.position("red"))
    await near.manager.broadcast("for all", room="red")
    await near.manager.broadcast("not for nobody", room="red", exclude_users=["nobody"])
    async with near.page("red", position) as page:
        assert page.messages == ["for all", "not for nobody"]


async def test_loading_after_asking_for_the_position_misses_nothing_and_the_other_way_round_does(
    two: list[Process],
) -> None:
    near, far = two
    database = ["a"]

    async def load_while_b_is_said() -> list[str]:
        loaded = list(database)
        database.append("b")
        await say(near, "b")
        return loaded

    position = await far.manager.position("red")
    loaded = await load_while_b_is_said()
    async with far.page("red", str(position)) as page:
        assert loaded + page.messages == ["a", "b"]

    database = ["a"]
    loaded = await load_while_b_is_said()
    position = await far.manager.position("red")
    async with far.page("red", str(position)) as page:
        assert loaded + page.messages == ["a"]


async def test_one_message_that_is_too_large_fails_alone(two: list[Process]) -> None:
    near, far = two
    broker = near.manager.broker
    assert broker is not None
    if broker.message_bytes is not None and broker.message_bytes <= 1024 * 1024:  # else it takes too much here
        near.manager.queue = near.manager._host.queue = QueueLimits(bytes=None)
        with pytest.raises(MessageTooLarge):
            await near.manager.broadcast("x" * (broker.message_bytes - 300), room="red")
    async with far.page("red") as page:
        await say(near, "small")
        assert await page.until("small") == ["small"]
    assert near.manager.health().outages == 0  # type: ignore[union-attr]


async def test_the_last_messages_can_be_read(two: list[Process]) -> None:
    near, far = two
    await say(near, "a", "b", "c")
    past = await far.manager.past("red", last=2)
    assert [one.message for one in past] == ["b", "c"]
    assert past[-1].position == await near.manager.position("red")


async def test_rooms_without_a_history_are_as_ever(two: list[Process]) -> None:
    near, far = two
    delivery = await near.manager.broadcast("x", room="plain")
    assert delivery.offset is None
    with pytest.raises(ConfigurationError, match="has no history"):
        await near.manager.broadcast("x", room="plain", idempotency_key="k")
    with pytest.raises(ConfigurationError, match="has no history"):
        await far.manager.position("plain")


async def test_a_room_that_was_left_for_a_while_is_forgotten(two: list[Process]) -> None:
    near, _ = two
    async with near.page("red"):
        pass
    clustered = near.manager._across
    assert isinstance(clustered, Clustered)
    await eventually(lambda: not clustered._histories._rooms, timeout=SOON)


async def test_what_a_publisher_sends_is_kept_too(engine: Engine) -> None:
    async with several(engine, 1) as (process,):
        assert process.manager.broker is not None
        broker = process.manager.broker
        position = str(await process.manager.position("red"))
        async with Publisher(broker, history=process.manager.kept) as publisher:
            for _ in range(2):
                await publisher.publish("red", "from elsewhere", idempotency_key="k")
            await publisher.publish("plain", "not kept")
            with pytest.raises(NoHistory):
                await publisher.publish("plain", "not kept", version=1)
        async with process.page("red", position) as page:
            assert page.messages == ["from elsewhere"]


async def test_publishing_without_a_broker_is_refused_in_time(faulty: Engine) -> None:
    async with several(faulty, 1) as (process,):
        faulty.kill()
        try:
            with pytest.raises(BrokerUnavailable):
                await process.manager.broadcast("lost", room="red")
        finally:
            faulty.start()
