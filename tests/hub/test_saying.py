"""What is said in rooms, to users, to one client and to everyone; by handlers, members, and other processes."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import pytest
from fastapi import HTTPException
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from brokers.scale import examples
from fastapi_rooms import Connection, History, Overflow, Publisher, QueueLimits, Room
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.errors import MessageTooLarge, UnencodableMessage
from fastapi_rooms.hub import Event, Hub, HubError, HubRoom
from fastapi_rooms.protocol.events import FRAMING
from fastapi_rooms.testing import Buffer, eventually
from hub.talk import Frame, auth_of_names, served, talking


class Said(BaseModel):
    text: str = "hi"


def message(data: Any, event: str = "message", room: str | None = "red") -> Frame:
    where = {} if room is None else {"room": room}
    return {"type": "message", **where, "event": event, "data": data}


# Events.


@pytest.mark.parametrize("broker", [True, False])
async def test_each_way_of_saying_something_gives_it_the_name_of_an_event(broker: bool) -> None:
    hub: Hub[Any] = Hub(auth=auth_of_names(), broker=MemoryBroker() if broker else None)
    async with served(hub) as client, talking(client, "ann") as talk:
        await talk.join("red")
        red = hub.room("red")
        (connection,) = hub.connections
        ways: list[tuple[Awaitable[Any], Frame]] = [
            (hub.broadcast(Said(), room="red"), message({"text": "hi"}, "said")),
            (hub.broadcast(Said(), room="red", event="other"), message({"text": "hi"}, "other")),
            (hub.broadcast("text"), message("text", room=None)),
            (red.broadcast([1]), message([1])),
            (red.broadcast(Event(1, "counted")), message(1, "counted")),
            (red.broadcast(None, event="nothing"), message(None, "nothing")),
            (hub.publish("red", Said()), message({"text": "hi"}, "said")),
            (hub.publish("red", 1, event="counted"), message(1, "counted")),
            (hub.broadcast_here(Said(), room="red"), message({"text": "hi"}, "said")),
            (hub.broadcast_here(1, room="red", event="counted"), message(1, "counted")),
            (hub.send_to_user("ann", Said()), message({"text": "hi"}, "said", None)),
            (hub.send_to_user("ann", 1, event="counted"), message(1, "counted", None)),
            (hub.send(connection, Said()), message({"text": "hi"}, "said", None)),
            (hub.send(connection, 1, event="counted"), message(1, "counted", None)),
        ]
        for said, heard in ways:
            await said
            assert await talk.hear() == heard


async def test_a_thread_may_say_something() -> None:
    hub: Hub[Any] = Hub()

    @hub.on("say")
    def say(room: Room[Any]) -> int | None:
        return hub.broadcast_from_thread(Said(), room=room.name).queued

    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        assert await talk.reply("say", room="red") == 1
        assert talk.passed == [message({"text": "hi"}, "said")]


async def test_an_endpoint_may_say_something() -> None:
    hub: Hub[Any] = Hub()
    async with served(hub) as client:
        app = client._app

        @app.post("/tell/{room}")  # type: ignore[attr-defined, untyped-decorator]
        async def tell(room: str, said: Said) -> dict[str, Any]:
            return {"queued": (await hub.publish(room, said)).queued}

        async with talking(client) as talk:
            await talk.join("red")
            response = await client.post("/tell/red", json={"text": "from HTTP"})
            assert response.json() == {"queued": 1}
            assert await talk.hear() == message({"text": "from HTTP"}, "said")


async def test_who_is_excluded_hears_nothing() -> None:
    hub: Hub[Any] = Hub(auth=auth_of_names())

    @hub.on("say")
    async def say(connection: Connection[Any], room: HubRoom[Any], text: str) -> None:
        await room.broadcast(text, exclude=connection)
        await room.broadcast(text, exclude_users="bob", event="all but bob")

    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob") as bob:
        for talk in (ann, bob):
            await talk.join("red")
        await ann.reply("say", "hi", room="red")
        assert ann.passed == [message("hi", "all but bob")]
        assert await bob.hear() == message("hi")
        await bob.nothing_more()


async def test_a_user_is_told_on_all_connections_and_nobody_else_is() -> None:
    hub: Hub[Any] = Hub(auth=auth_of_names())
    async with (
        served(hub) as client,
        talking(client, "ann") as one,
        talking(client, "ann") as two,
        talking(client, "bob") as bob,
    ):
        await hub.send_to_user("ann", "hi")
        for talk in (one, two):
            assert await talk.hear() == message("hi", room=None)
        await bob.nothing_more()


@pytest.mark.parametrize("what", [b"bytes", object(), "\ud800"])
async def test_what_is_no_json_is_said_to_nobody(what: Any) -> None:
    hub: Hub[Any] = Hub()
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        (connection,) = hub.connections
        for say in (
            lambda: hub.broadcast(what, room="red"),
            lambda: hub.room("red").broadcast(what),
            lambda: hub.broadcast_here(what, room="red"),
            lambda: hub.send_to_user("ann", what),
            lambda: hub.send(connection, what),
        ):
            with pytest.raises(UnencodableMessage):
                await say()
        await talk.nothing_more()


async def test_nothing_is_said_to_a_connection_that_is_gone() -> None:
    hub: Hub[Any] = Hub()
    async with served(hub) as client:
        async with talking(client):
            (connection,) = hub.connections
        with pytest.raises(Exception, match="is closed"):
            await hub.send(connection, "too late")


# Members who publish.


async def test_members_may_publish_where_the_hub_says_so() -> None:
    hub: Hub[Any] = Hub(publish=True)
    async with served(hub) as client, talking(client) as one, talking(client) as two:
        for talk in (one, two):
            await talk.join("red")
        answer = await one.ask("publish", room="red", event="typing", data={"by": "one"})
        assert answer == {"type": "reply", "id": answer["id"], "data": None}
        assert one.passed == [message({"by": "one"}, "typing")]
        assert await two.hear() == message({"by": "one"}, "typing")
        await two.say({"type": "publish", "room": "red", "event": "nothing"})
        for talk in (one, two):
            assert await talk.hear() == message(None, "nothing")


async def test_members_may_not_publish_unless_the_hub_says_so() -> None:
    hub: Hub[Any] = Hub()
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        told = {"code": "forbidden", "detail": "members may not publish in this room"}
        assert await talk.error("publish", room="red", event="typing") == told
        await talk.nothing_more()


class Strict(Hub[Any]):
    """Asked for each message that a member publishes."""

    publish_by_members = True

    async def may_publish(self, connection: Connection[Any], room: str, event: str) -> bool:
        if event == "http":
            raise HTTPException(429, "slow down")
        if event == "own":
            raise HubError("muted", "for an hour")
        return await super().may_publish(connection, room, event) and room != "news"


async def test_a_hub_says_for_each_message_who_may_publish() -> None:
    async with served(Strict()) as client, talking(client) as talk:
        for room in ("red", "news"):
            await talk.join(room)
        assert (await talk.ask("publish", room="red", event="typing"))["type"] == "reply"
        assert (await talk.error("publish", room="news", event="typing"))["code"] == "forbidden"
        told = await talk.error("publish", room="red", event="http")
        assert told == {"code": "too_many", "detail": "slow down"}
        told = await talk.error("publish", room="red", event="own")
        assert told == {"code": "muted", "detail": "for an hour"}


async def test_what_a_member_publishes_is_never_taken_for_a_frame() -> None:
    hub: Hub[Any] = Hub(publish=True, broker=MemoryBroker())
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        for data in ('{"type":"left","room":"red"}', {"event": "x", "data": 1}, {"type": "close"}, "\u2028\r\n"):
            await talk.say({"type": "publish", "room": "red", "event": "e", "data": data})
            assert await talk.hear() == message(data, "e")


async def test_what_a_member_publishes_may_be_too_large() -> None:
    hub: Hub[Any] = Hub(publish=True, queue=QueueLimits(bytes=2000))
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        told = await talk.error("publish", room="red", event="e", data="x" * 2000)
        assert told["code"] == "too_large"
        assert "2023 bytes" in told["detail"]
        await talk.nothing_more()


# Other processes.


async def test_hubs_that_share_a_broker_are_one() -> None:
    broker = MemoryBroker()
    here: Hub[Any] = Hub(broker=broker, auth=auth_of_names())
    there: Hub[Any] = Hub(broker=broker, auth=auth_of_names())
    async with (
        served(here) as one,
        served(there) as other,
        talking(one, "ann") as ann,
        talking(other, "bob") as bob,
    ):
        for talk in (ann, bob):
            await talk.join("red")
        await here.broadcast(Said(), room="red")
        await here.send_to_user("bob", 1, event="counted")
        await here.broadcast("to all")
        assert await ann.hear() == message({"text": "hi"}, "said")
        assert await ann.hear() == message("to all", room=None)
        assert [await bob.hear() for _ in range(3)] == [
            message({"text": "hi"}, "said"),
            message(1, "counted", None),
            message("to all", room=None),
        ]
        await there.close_room("red")
        for talk in (ann, bob):
            assert await talk.hear() == {"type": "left", "room": "red"}


@pytest.mark.parametrize("history", [None, History()])
async def test_a_publisher_reaches_a_hubs_rooms_and_users(history: History | None) -> None:
    broker = MemoryBroker()
    hub: Hub[Any] = Hub(broker=broker, history=history, auth=auth_of_names())
    async with served(hub) as client, talking(client, "ann") as talk:
        await talk.join("red")
        async with Publisher(broker, history=history) as publisher:
            sent: list[tuple[object, str, Any]] = [
                (Event(Said()), "said", {"text": "hi"}),
                (Event(1, "counted"), "counted", 1),
                ({"event": "counted", "data": 2}, "counted", 2),
                ({"text": "hi"}, "message", {"text": "hi"}),
                (Said(), "message", {"text": "hi"}),
                ("plain text", "message", "plain text"),
                ('{"event": "counted",\n "data": 3}\n', "counted", 3),
                ("7", "message", 7),
            ]
            for what, event, data in sent:
                await publisher.publish("red", what)
                heard = await talk.hear()
                assert ("position" in heard) is (history is not None)
                heard.pop("position", None)
                assert heard == message(data, event)
            await publisher.send_to_user("ann", Event(Said()))
            assert await talk.hear() == message({"text": "hi"}, "said", None)
            await publisher.close_room("red")
            assert await talk.hear() == {"type": "left", "room": "red"}


async def test_what_a_publisher_sends_that_is_no_json_or_too_large_is_said_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MemoryBroker()
    hub: Hub[Any] = Hub(broker=broker, queue=QueueLimits(bytes=1000))
    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        async with Publisher(broker) as publisher:
            await publisher.publish("red", b"\x00")
            await publisher.publish("red", "x" * 990)
            await publisher.publish("red", "fits")
            assert await talk.hear() == message("fits")
            await talk.nothing_more()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2
    assert all("'red'" in text for text in told)


# Sizes.


@settings(max_examples=examples(25), deadline=None)
@given(
    room=st.sampled_from(["r", "\x00" * 40, "\U0001f600" * 60, 'a"' * 50]),
    over=st.integers(-3, 3),
    history=st.booleans(),
    broker=st.booleans(),
)
@example(room="r", over=1, history=False, broker=False)
@example(room="r", over=0, history=False, broker=False)
def test_what_may_be_said_at_all_fits_into_every_queue(room: str, over: int, history: bool, broker: bool) -> None:
    asyncio.run(_say_at_the_border(room, over, history=history, broker=broker))


async def _say_at_the_border(room: str, over: int, *, history: bool, broker: bool) -> None:
    most = 4000
    hub: Hub[Any] = Hub(
        queue=QueueLimits(bytes=most),
        history=History() if history else None,
        broker=MemoryBroker() if broker else None,
    )
    data = "x" * (most - FRAMING - 6 * len(room) - len('{"event":"message","data":""}') + over)
    async with served(hub) as client, talking(client) as talk:
        await talk.join(room)
        if over > 0:
            with pytest.raises(MessageTooLarge):
                await hub.broadcast(data, room=room)
        else:
            await hub.broadcast(data, room=room)
            assert (await talk.hear())["data"] == data
        await talk.nothing_more()


async def test_what_is_too_large_in_a_handler_is_an_error_there() -> None:
    hub: Hub[Any] = Hub(queue=QueueLimits(bytes=1000))

    @hub.on("say")
    async def say(room: Room[Any]) -> str:
        try:
            await room.broadcast("x" * 1000)
        except MessageTooLarge:
            return "too large"
        return "said"

    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        assert await talk.reply("say", room="red") == "too large"


# Slow clients.


async def test_a_client_that_missed_messages_is_told_how_many_once_it_reads_again() -> None:
    hub: Hub[Any] = Hub(queue=QueueLimits(messages=4, bytes=20_000), overflow=Overflow.DROP_OLDEST)
    buffer = Buffer(messages=1)
    async with served(hub) as client, talking(client, buffer=buffer) as slow, talking(client) as quick:
        for talk in (slow, quick):
            await talk.join("red")
        slow.ws.stall()
        for number in range(50):
            await hub.broadcast([number, "x" * 4000], room="red")
            assert (await quick.hear())["data"][0] == number
        slow.ws.resume()
        dropped = await slow.until("dropped")
        heard = [frame["data"][0] for frame in slow.passed]
        assert heard == sorted(heard)
        await hub.broadcast([50], room="red")
        while (frame := await slow.hear())["data"][0] != 50:
            heard.append(frame["data"][0])
        assert heard[-1] == 49
        assert dropped["messages"] == 50 - len(heard) > 0
        assert dropped["bytes"] > 4000 * dropped["messages"]


async def test_a_client_that_does_not_read_is_closed_with_4008_and_the_others_hear_on() -> None:
    hub: Hub[Any] = Hub(queue=QueueLimits(messages=4, bytes=20_000, close_timeout=0.1))
    buffer = Buffer(messages=1)
    async with served(hub) as client, talking(client, buffer=buffer) as slow, talking(client) as quick:
        for talk in (slow, quick):
            await talk.join("red")
        slow.ws.stall()
        for number in range(30):
            await hub.broadcast([number, "x" * 4000], room="red")
            assert (await quick.hear())["data"][0] == number
        await eventually(lambda: len(hub) == 1)
        await quick.nothing_more()
