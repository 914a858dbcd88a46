"""`listen` at a hub: the server hears events, as its clients do."""

import asyncio
from typing import Any

from pydantic import BaseModel

from fastapi_rooms import Connection, Event, Heard, History, Listener, Publisher, Room
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.hub import Hub
from hub.talk import served, talking


class Said(BaseModel):
    text: str


async def heard(messages: Listener) -> Heard:
    async with asyncio.timeout(5):
        return await anext(messages)


async def test_it_hears_events_by_their_names_from_clients_here_and_elsewhere() -> None:
    broker = MemoryBroker()
    here, there = Hub[Any](broker=broker), Hub[Any](broker=broker)

    @there.on("say")
    async def say(connection: Connection[Any], room: Room[Any], said: Said) -> None:
        await room.broadcast(said)

    async with served(here), served(there) as client, talking(client) as talk, here.listen("red") as messages:
        await talk.join("red")
        await talk.reply("say", {"text": "hello"}, room="red")
        assert await heard(messages) == Heard(event="said", data={"text": "hello"})
        await here.publish("red", [1, 2])
        assert await heard(messages) == Heard(event="message", data=[1, 2])
        async with Publisher(broker) as publisher:
            await publisher.publish("red", Event("fire", "alert"))
        assert await heard(messages) == Heard(event="alert", data="fire")


async def test_without_a_broker_too() -> None:
    hub = Hub[Any]()
    async with served(hub), hub.listen("red") as messages:
        await hub.broadcast({"a": 1}, room="red", event="told")
        assert await heard(messages) == Heard(event="told", data={"a": 1})


async def test_in_a_history_it_is_told_the_position_to_come_back_with() -> None:
    hub = Hub[Any](history=History(on_join=0))
    async with served(hub):
        async with hub.listen("red") as messages:
            await hub.broadcast("one", room="red")
            position = (await heard(messages)).position
        await hub.broadcast("two", room="red")
        async with hub.listen("red", since=position) as messages:
            assert messages.joined.recovered is True
            assert (await heard(messages)).data == "two"
