"""Rooms with a history over the wire: positions, coming back, and what a client is told where it cannot."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastapi_rooms import BrokerUnavailable, Connection, History, Position, Publisher, QueueLimits, Room
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.brokers.streams import Page
from fastapi_rooms.hub import Hub
from hub.talk import Frame, Talk, served, talking


def hub_of(broker: MemoryBroker | None = None, **options: Any) -> Hub[Any]:
    return Hub(broker=broker or MemoryBroker(), history=History(**{"messages": 5, **options}))


async def missed(hub: Hub[Any], since: str | None, *, room: str = "red") -> tuple[Frame, list[Any]]:
    """What a client that comes back is told, and the data of what it gets before."""
    async with served(hub) as client, talking(client) as talk:
        joined = await talk.join(room, since=since)
        assert all(frame["type"] == "message" for frame in talk.passed)
        return joined, [frame["data"] for frame in talk.passed]


@asynccontextmanager
async def two_processes(**options: Any) -> AsyncIterator[tuple[Talk, Hub[Any], Talk, Hub[Any]]]:
    """One client at each of two hubs that share a broker; the first is in the room."""
    broker = MemoryBroker()
    here, there = hub_of(broker, **options), hub_of(broker, **options)
    async with served(here) as one, served(there) as other, talking(one) as stays, talking(other) as comes:
        await stays.join("red")
        yield stays, here, comes, there


async def test_messages_of_a_history_have_positions_and_the_client_is_told_where_it_begins() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client) as talk:
        joined = await talk.join("red")
        assert joined.keys() == {"type", "id", "room", "position", "presence"}
        assert Position.parse(joined["position"], room="red") is not None
        positions = [joined["position"]]
        for number in range(3):
            await hub.broadcast(number, room="red", event="count")
            message = await talk.hear()
            assert (message["event"], message["data"]) == ("count", number)
            positions.append(message["position"])
        parsed = [Position.parse(position, room="red") for position in positions]
        assert [position.offset for position in parsed if position] == [0, 1, 2, 3]
        assert all(len(position) < 100 for position in positions)
        assert positions[-1] == str(await hub.position("red"))


async def test_rooms_without_a_history_have_no_positions() -> None:
    hub: Hub[Any] = Hub(history=lambda room: History() if room == "red" else None)
    async with served(hub) as client, talking(client) as talk:
        assert "position" in await talk.join("red")
        assert (await talk.join("blue", since="1.abcdefgh.x")).keys() == {"type", "id", "room", "presence"}
        await hub.broadcast("hi", room="blue")
        assert "position" not in await talk.hear()


async def test_who_comes_back_gets_what_it_missed_and_then_what_is_live() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client) as stays:
        await stays.join("red")
        async with talking(client) as talk:
            await talk.join("red")
            await hub.broadcast("before", room="red")
            position = (await talk.hear())["position"]
        for text in ("one", "two"):
            await hub.broadcast(text, room="red")
        async with talking(client) as talk:
            joined = await talk.join("red", since=position)
            assert joined["recovered"] is True
            assert "reason" not in joined
            assert [frame["data"] for frame in talk.passed] == ["one", "two"]
            assert joined["position"] == talk.passed[-1]["position"]
            await hub.broadcast("live", room="red")
            assert (await talk.hear())["data"] == "live"
            await talk.nothing_more()


async def test_who_has_missed_nothing_is_told_so() -> None:
    async with two_processes() as (stays, here, comes, _there):
        await here.broadcast("one", room="red")
        position = (await stays.hear())["position"]
        joined = await comes.join("red", since=position)
        assert (joined["recovered"], joined["position"]) == (True, position)
        assert comes.passed == []


async def test_leaving_and_coming_back_on_one_connection_misses_nothing() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client) as talk:
        position = (await talk.join("red"))["position"]
        await talk.ask("leave", room="red")
        await hub.broadcast("meanwhile", room="red")
        assert (await talk.join("red", since=position))["recovered"] is True
        assert [frame["data"] for frame in talk.passed] == ["meanwhile"]


@pytest.mark.parametrize(
    "since",
    [
        "",
        "hello",
        "1",
        "-1.abcdefgh.epoch",
        "1." + "x" * 200,
        "9" * 25 + ".abcdefgh.epoch",
        "1.abcdefgh.another-epoch",
        "\x00",
        "x" * 10_000,
    ],
)
async def test_a_position_that_is_none_of_the_room_is_one_of_another_epoch(since: str) -> None:
    joined, messages = await missed(hub_of(), since)
    assert (joined["recovered"], joined["reason"]) == (False, "epoch_changed")
    assert "position" in joined
    assert messages == []


async def test_a_position_of_another_room_is_none_of_this_one() -> None:
    hub = hub_of()
    async with served(hub) as client, talking(client) as talk:
        blue = (await talk.join("blue"))["position"]
        joined = await talk.join("red", since=blue)
        assert (joined["recovered"], joined["reason"]) == (False, "epoch_changed")


async def test_who_missed_more_than_is_kept_is_told_so() -> None:
    async with two_processes(messages=2) as (stays, here, comes, _there):
        await here.broadcast("0", room="red")
        position = (await stays.hear())["position"]
        for text in "123":
            await here.broadcast(text, room="red")
        joined = await comes.join("red", since=position)
        assert (joined["recovered"], joined["reason"]) == (False, "too_many")
        assert joined["position"] == (await stays.until("message", data="3"))["position"]
        assert comes.passed == []


async def test_who_missed_what_was_too_long_ago_is_told_so() -> None:
    broker = MemoryBroker()
    late = 0.0
    broker._streams._clock = lambda: time.monotonic() + late
    here, there = hub_of(broker, seconds=60), hub_of(broker, seconds=60)
    async with served(here) as one, served(there) as other, talking(one) as stays, talking(other) as comes:
        position = (await stays.join("red"))["position"]
        await here.broadcast("old", room="red")
        late = 61.0
        joined = await comes.join("red", since=position)
        assert (joined["recovered"], joined["reason"]) == (False, "expired")


class Unreadable(MemoryBroker):
    """Its histories cannot be read, while it says so."""

    out_of_reach = True

    async def connect(self) -> Any:
        connection = await super().connect()
        read = connection.read

        async def perhaps(channel: str, *, after: int, most: int) -> Page:
            if self.out_of_reach:
                raise BrokerUnavailable("not now")
            return await read(channel, after=after, most=most)

        connection.read = perhaps  # type: ignore[method-assign]
        return connection


@pytest.mark.parametrize("since", [None, "1.abcdefgh.epoch"])
async def test_who_comes_while_the_history_cannot_be_read_is_told_so(since: str | None) -> None:
    joined, _ = await missed(hub_of(Unreadable()), since)
    assert joined["reason"] == "unavailable"
    assert "position" not in joined
    assert joined.get("recovered") is (None if since is None else False)


async def test_who_joins_first_gets_the_last_messages_where_the_history_says_so() -> None:
    hub = hub_of(on_join=2)
    async with served(hub) as client, talking(client) as stays:
        await stays.join("red")
        for text in "123":
            await hub.broadcast(text, room="red")
        async with talking(client) as talk:
            joined = await talk.join("red")
            assert [frame["data"] for frame in talk.passed] == ["2", "3"]
            assert "recovered" not in joined
            assert joined["position"] == talk.passed[-1]["position"]
        async with talking(client) as talk:
            joined = await talk.join("red", since="lost")
            assert joined["recovered"] is False
            assert [frame["data"] for frame in talk.passed] == ["2", "3"]


async def test_who_joins_first_gets_the_last_of_each_key() -> None:
    hub = hub_of(on_join="keys")
    async with served(hub) as client, talking(client) as stays:
        await stays.join("red")
        for key, number in (("a", 1), ("b", 1), ("a", 2)):
            await hub.broadcast({key: number}, room="red", key=key)
        async with talking(client) as talk:
            await talk.join("red")
            assert [frame["data"] for frame in talk.passed] == [{"b": 1}, {"a": 2}]


async def test_a_handler_may_say_something_once_only() -> None:
    hub = hub_of()

    @hub.on("say")
    async def say(room: Room[Any], text: str) -> bool:
        delivery = await hub.room(room.name).broadcast(text, event="said", idempotency_key=text)
        return delivery.published

    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        assert await talk.reply("say", "hi", room="red") is True
        assert await talk.reply("say", "hi", room="red") is False
        assert [frame["event"] for frame in talk.passed] == ["said"]
        await talk.nothing_more()


async def test_who_is_spared_is_spared_when_it_comes_back_too() -> None:
    hub: Hub[Any] = Hub(history=History())

    @hub.on("say")
    async def say(connection: Connection[Any], room: Room[Any], text: str) -> None:
        await room.broadcast(text, exclude=connection)

    async with served(hub) as client, talking(client) as talk, talking(client) as other:
        position = (await talk.join("red"))["position"]
        await other.join("red")
        await talk.reply("say", "to the others", room="red")
        assert (await other.hear())["data"] == "to the others"
        await talk.ask("leave", room="red")
        assert (await talk.join("red", since=position))["recovered"] is True
        assert talk.passed == []


async def test_messages_that_were_said_before_anybody_came_are_there_for_who_knows_the_position() -> None:
    hub = hub_of()
    async with served(hub) as client:
        position = str(await hub.position("red"))
        await hub.broadcast("early", room="red")
        assert [remembered.message for remembered in await hub.past("red", last=5)] == [
            '{"event":"message","data":"early"}'
        ]
        async with talking(client) as talk:
            assert (await talk.join("red", since=position))["recovered"] is True
            assert [frame["data"] for frame in talk.passed] == ["early"]


@pytest.mark.parametrize("what", [b"\x00", "x" * 950])
async def test_what_no_client_can_take_is_said_to_nobody_not_even_to_who_comes_back(what: Any) -> None:
    broker, history = MemoryBroker(), History()
    hub: Hub[Any] = Hub(broker=broker, history=history, queue=QueueLimits(bytes=1000))
    async with served(hub) as client, talking(client) as stays:
        position = (await stays.join("red"))["position"]
        async with Publisher(broker, history=history) as publisher:
            await publisher.publish("red", what)
            await publisher.publish("red", "fits")
        assert (await stays.hear())["data"] == "fits"
        async with talking(client) as talk:
            assert (await talk.join("red", since=position))["recovered"] is True
            assert [frame["data"] for frame in talk.passed] == ["fits"]
