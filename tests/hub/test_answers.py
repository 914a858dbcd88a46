"""What commands are answered with: replies and errors, and what happens to the connection meanwhile."""

import asyncio
import math
from typing import Any

import pytest
from pydantic import BaseModel

from fastapi_rooms import Connection, QueueLimits, Room
from fastapi_rooms.hub import Hub
from fastapi_rooms.protocol.client_frames import MOST_ID
from fastapi_rooms.testing import Buffer, SocketClosed, eventually
from hub.hubs import INTERNAL, Noting, noting
from hub.talk import Talk, served, talking


class Said(BaseModel):
    text: str
    number: float = math.nan


async def test_a_command_is_answered_with_what_its_handler_returns() -> None:
    hub: Hub[Any] = Hub()
    hub.on("model")(lambda: Said(text="hi"))
    hub.on("list")(lambda: [Said(text="hi", number=1.5), {"ü": None}])
    hub.on("none")(lambda: None)
    hub.on("text")(lambda: '{"type":"left"}')
    hub.on("big")(lambda: [2**64, math.inf])
    async with served(hub) as client, talking(client) as talk:
        assert await talk.reply("model") == {"text": "hi", "number": None}
        assert await talk.reply("list") == [{"text": "hi", "number": 1.5}, {"ü": None}]
        assert await talk.reply("none") is None
        assert await talk.reply("text") == '{"type":"left"}'
        assert await talk.reply("big") == [2**64, None]


@pytest.mark.parametrize("number", [0, MOST_ID])
async def test_an_answer_has_the_id_of_its_command(number: int) -> None:
    hub: Hub[Any] = Hub()
    hub.on("do")(lambda: None)
    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "send", "id": number, "command": "do"})
        assert await talk.hear() == {"type": "reply", "id": number, "data": None}


async def test_an_id_that_is_used_twice_is_answered_twice() -> None:
    hub: Hub[Any] = Hub()
    hub.on("do")(lambda: None)
    async with served(hub) as client, talking(client) as talk:
        await talk.say(*[{"type": "send", "id": 1, "command": "do"}] * 3)
        assert [await talk.hear() for _ in range(3)] == [{"type": "reply", "id": 1, "data": None}] * 3
        await talk.nothing_more()


@pytest.mark.logged_errors
async def test_a_command_without_an_id_is_done_and_not_answered_whatever_happens() -> None:
    hub = Noting(publish=True)
    done: list[Any] = []
    hub.on("do")(noting(done))
    hub.on("fail")(lambda: 1 / 0)
    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "send", "command": "do", "data": 1})
        await talk.say({"type": "send", "command": "fail"}, {"type": "send", "command": "none"})
        await talk.say({"type": "publish", "room": "red", "event": "e"}, {"type": "what"})
        await talk.say({"type": "send", "command": 5}, {"type": "presence", "room": "red", "metadata": {}})
        await talk.nothing_more()
        assert done == [1]
        assert [type(error) for error in hub.errors] == [ZeroDivisionError]


async def test_commands_are_done_one_at_a_time_and_answered_in_order() -> None:
    hub: Hub[Any] = Hub()
    running = 0

    @hub.on("wait")
    async def wait(turns: int) -> int:
        nonlocal running
        running += 1
        assert running == 1
        for _ in range(turns):
            await asyncio.sleep(0)
        running -= 1
        return turns

    async with served(hub) as client, talking(client) as talk:
        turns = [9, 0, 5, 1, 0, 3]
        for number, count in enumerate(turns[:3]):
            await talk.say({"type": "send", "id": number, "command": "wait", "data": count})
        batch = [{"type": "send", "id": n, "command": "wait", "data": turns[n]} for n in range(3, 6)]
        await talk.say(*batch)
        heard = [await talk.hear() for _ in turns]
        assert [(frame["id"], frame["data"]) for frame in heard] == list(enumerate(turns))


async def test_what_a_handler_says_comes_before_its_answer() -> None:
    hub: Hub[Any] = Hub()

    @hub.on("say")
    async def say(connection: Connection[Any], room: Room[Any], text: str) -> str:
        await room.broadcast(text)
        await hub.send(connection, "only you")
        return "done"

    async with served(hub) as client, talking(client) as talk:
        await talk.join("red")
        await talk.say({"type": "send", "id": 1, "room": "red", "command": "say", "data": "hi"})
        heard = [await talk.hear() for _ in range(3)]
        assert [frame["data"] for frame in heard] == ["hi", "only you", "done"]


async def test_a_slow_handler_holds_up_its_own_client_alone() -> None:
    hub: Hub[Any] = Hub()
    gate = asyncio.Event()

    @hub.on("wait")
    async def wait() -> None:
        await gate.wait()

    async with served(hub) as client, talking(client) as slow, talking(client) as quick:
        await slow.say({"type": "send", "id": 1, "command": "wait"})
        await quick.nothing_more()
        await hub.broadcast("hi")
        assert (await slow.hear())["data"] == "hi"
        gate.set()
        assert (await slow.hear())["type"] == "reply"


# Clients that ask, and do not read.


def _queue(**options: Any) -> QueueLimits:
    return QueueLimits(**{"messages": 4, "bytes": 100_000, "send_timeout": 60.0, "close_timeout": 0.1, **options})


async def test_answers_wait_for_a_client_that_reads_late_and_so_does_what_it_asks_next() -> None:
    hub = Hub[Any](queue=_queue())
    done: list[int] = []

    @hub.on("do")
    async def do(number: int) -> str:
        done.append(number)
        return "x" * 10_000

    async with served(hub) as client, talking(client, buffer=Buffer(messages=1)) as talk:
        talk.ws.stall()
        for number in range(60):
            await talk.say({"type": "send", "id": number, "command": "do", "data": number})
        await talk.ws.wait_blocked()
        (connection,) = hub.connections
        await eventually(lambda: connection.link.reader.paused, awaited="its questions to wait")
        assert 5 < len(done) < 30
        talk.ws.resume()
        assert [(await talk.hear())["id"] for _ in range(60)] == list(range(60))
        assert done == list(range(60))


@pytest.mark.usefixtures("time_by_turns")
async def test_a_client_that_asks_and_never_reads_is_closed_with_4008() -> None:
    hub = Hub[Any](queue=_queue(send_timeout=0.1))
    hub.on("do")(lambda: "x" * 1000)
    async with served(hub) as client, talking(client, buffer=Buffer(messages=1)) as talk:
        talk.ws.stall()
        for number in range(30):
            await talk.say({"type": "send", "id": number, "command": "do"})
        await eventually(lambda: len(hub) == 0)
        talk.ws.resume()
        with pytest.raises(SocketClosed):
            await _hear_all(talk)
    assert hub.statistics().disconnected.keys() <= {"slow_consumer", "send_timeout"}


async def _hear_all(talk: Talk) -> None:
    while True:
        await talk.hear()


async def test_an_answer_as_large_as_the_queue_fits_and_waits_until_it_does() -> None:
    hub = Hub[Any](queue=_queue(messages=100))
    hub.on("do")(lambda: "x" * 99_900)
    hub.on("small")(lambda: "x" * 60_000)
    async with served(hub) as client, talking(client, buffer=Buffer(messages=1)) as talk:
        talk.ws.stall()
        for number, name in enumerate(["small", "small", "do", "do", "small"]):
            await talk.say({"type": "send", "id": number, "command": name})
        await talk.ws.wait_blocked()
        talk.ws.resume()
        assert [(await talk.hear())["id"] for _ in range(5)] == list(range(5))


@pytest.mark.logged_errors
async def test_an_answer_larger_than_the_queue_is_the_servers_fault_and_ends_nothing() -> None:
    hub = Noting(queue=_queue())
    hub.on("do")(lambda: "x" * 100_000)
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == INTERNAL
        await talk.nothing_more()
    assert "100" in str(hub.errors[0])


async def test_a_ping_is_answered_while_a_handler_is_busy() -> None:
    going = asyncio.Event()
    hub = Hub[Any]()

    @hub.on("wait")
    async def wait() -> None:
        await going.wait()

    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "send", "id": 9, "command": "wait"})
        for ping in ('{"type":"ping"}', '[{"type":"ping"}]'):
            await talk.ws.send_text(ping)
            assert await talk.hear() == {"type": "pong"}
        going.set()
        assert (await talk.hear())["id"] == 9
