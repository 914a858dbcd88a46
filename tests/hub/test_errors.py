"""What a client is told of what goes wrong, what is told to nobody, and what ends the connection."""

import asyncio
import json
import logging
from typing import Any

import pytest
from fastapi import HTTPException, WebSocketException

from fastapi_rooms import Connection, RateLimit
from fastapi_rooms.errors import BrokerUnavailable, ExpiredToken, InsufficientScope, InvalidMessage, MissingToken
from fastapi_rooms.hub import Hub, HubError
from fastapi_rooms.protocol.client_frames import MOST_ID
from fastapi_rooms.testing import eventually
from hub.hubs import INTERNAL, Noting, noting, raising
from hub.talk import auth_of_names, served, talking


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HubError("full"), {"code": "full", "detail": ""}),
        (HubError("full", "no more", field="text"), {"code": "full", "detail": "no more", "field": "text"}),
        (HTTPException(400, "so not"), {"code": "invalid", "detail": "so not"}),
        (HTTPException(401), {"code": "unauthorized", "detail": "Unauthorized"}),
        (HTTPException(403, "no"), {"code": "forbidden", "detail": "no"}),
        (HTTPException(404, "where"), {"code": "not_found", "detail": "where"}),
        (HTTPException(409, "again"), {"code": "conflict", "detail": "again"}),
        (HTTPException(413, "big"), {"code": "too_large", "detail": "big"}),
        (HTTPException(422, {"a": [1]}), {"code": "invalid", "detail": '{"a":[1]}'}),
        (HTTPException(429, "slow"), {"code": "too_many", "detail": "slow"}),
        (HTTPException(503, "later"), {"code": "unavailable", "detail": "later"}),
        (HTTPException(500, "oh"), {"code": "internal", "detail": "oh"}),
        (HTTPException(418, "tea"), {"code": "status_418", "detail": "tea"}),
        (InvalidMessage(detail="odd", field="text"), {"code": "invalid", "detail": "odd", "field": "text"}),
        (MissingToken("none"), {"code": "unauthorized", "detail": "none"}),
        (ExpiredToken("old"), {"code": "unauthorized", "detail": "old"}),
        (InsufficientScope("which"), {"code": "forbidden", "detail": "which"}),
        (
            BrokerUnavailable("at some address"),
            {"code": "unavailable", "detail": "the broker is out of reach: try again later"},
        ),
    ],
)
async def test_an_exception_that_says_no_is_told_and_nothing_is_reported(error: Exception, told: Any) -> None:
    hub = raising(error)
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == told
        await talk.nothing_more()
    assert hub.errors == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HubError(404), {"code": "404", "detail": ""}),  # type: ignore[arg-type]
        (HubError("x", ValueError("why")), {"code": "x", "detail": "why"}),  # type: ignore[arg-type]
        (HubError("x", {"a": 1}), {"code": "x", "detail": '{"a":1}'}),  # type: ignore[arg-type]
        (HubError("x", "\ud800"), {"code": "x", "detail": "?"}),
        (HTTPException(404, "\udfff!"), {"code": "not_found", "detail": "?!"}),
    ],
)
async def test_an_error_with_something_odd_in_it_is_told_all_the_same(error: Exception, told: Any) -> None:
    async with served(raising(error)) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == told
        await talk.nothing_more()


class Unknown(Exception):
    pass


@pytest.mark.logged_errors
@pytest.mark.parametrize(
    "error",
    [
        Unknown("the password is hunter2"),
        ExceptionGroup("several", [Unknown()]),
        TimeoutError(),
        StopIteration(),
        KeyError("x"),
    ],
    ids=repr,
)
async def test_any_other_exception_is_logged_and_reported_and_the_client_learns_nothing_of_it(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    hub = raising(error)
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == INTERNAL
        await talk.nothing_more()
    assert len(hub.errors) == 1
    assert type(hub.errors[0]) in (type(error), RuntimeError)  # PEP 479, for the one
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "do failed" in record.getMessage()


@pytest.mark.logged_errors
async def test_a_plain_function_that_raises_is_an_error_like_any_other() -> None:
    hub = Noting()
    hub.on("do")(lambda: int("x"))
    hub.on("stop")(lambda: next(iter(())))
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == INTERNAL
        assert await talk.error("send", command="stop") == INTERNAL
        await talk.nothing_more()


@pytest.mark.logged_errors
async def test_an_on_error_that_fails_changes_nothing() -> None:
    hub = raising(Unknown())
    hub.fails = True
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == INTERNAL
        await talk.nothing_more()


@pytest.mark.logged_errors
async def test_an_answer_that_is_no_json_is_the_servers_fault() -> None:
    hub = Noting()
    hub.on("do")(lambda: object)
    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == INTERNAL
        await talk.say({"type": "send", "command": "do"})  # nobody asks for it
        await talk.nothing_more()
    assert len(hub.errors) == 1


@pytest.mark.logged_errors
async def test_a_handler_that_lets_out_a_cancelled_error_is_the_servers_fault() -> None:
    hub = Noting()

    @hub.on("do")
    async def do() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    async with served(hub) as client, talking(client) as talk:
        assert await talk.error("send", command="do") == INTERNAL
        await talk.nothing_more()


async def test_a_websocket_exception_ends_the_connection_with_its_code() -> None:
    hub = raising(WebSocketException(4321, "as you like"))
    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "send", "id": 1, "command": "do"})
        closed = await talk.ws.wait_closed()
        assert (closed.code, closed.reason) == (4321, "as you like")
    assert hub.errors == []


async def test_a_handler_may_close_its_own_connection() -> None:
    hub: Hub[Any] = Hub()

    @hub.on("bye")
    async def bye(connection: Connection[Any]) -> str:
        await connection.close(1000, "bye")
        await connection.send("too late")
        return "never"

    async with served(hub) as client, talking(client) as talk:
        await talk.say({"type": "send", "id": 1, "command": "bye"}, {"type": "ping"})
        assert (await talk.ws.wait_closed()).code == 1000
        assert talk.ws.take_received() == []


@pytest.mark.logged_errors
async def test_another_connections_end_is_an_error_and_no_end_of_this_one() -> None:
    hub = Noting(auth=auth_of_names())

    @hub.on("poke")
    async def poke(name: str) -> None:
        (other,) = [one for one in hub.connections if one.user_id == name]
        await other.close()
        await hub.send(other, "poke")

    async with served(hub) as client, talking(client, "ann") as ann, talking(client, "bob"):
        assert await ann.error("send", command="poke", data="bob") == INTERNAL
        await ann.nothing_more()


@pytest.mark.parametrize("name", ["none", "Do", "do ", "\U0001f600" * 100])
async def test_a_command_that_nobody_handles(name: str) -> None:
    hub: Hub[Any] = Hub()
    hub.on("do")(lambda: None)
    async with served(hub) as client, talking(client) as talk:
        told = {"code": "unknown_command", "detail": f"there is no command {name!r}"}
        assert await talk.error("send", command=name) == told


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ('{"type":"hello","id":5}', "unknown_type", None),
        ('{"type":"reply","id":5,"data":1}', "unknown_type", None),
        ('{"type":"join","id":5}', "invalid", "room"),
        ('{"type":"join","id":5,"room":7}', "invalid", "room"),
        ('{"type":"join","id":5,"room":"a","since":7}', "invalid", "since"),
        ('{"type":"send","id":5,"command":""}', "invalid", "command"),
        ('{"type":"presence","id":5,"room":"a","metadata":[]}', "invalid", "metadata"),
        ('{"type":"refresh","id":5}', "invalid", "token"),
    ],
)
async def test_a_frame_that_is_wrong_is_an_error(message: str, code: str, field: str | None) -> None:
    hub = Hub[Any]()
    async with served(hub) as client, talking(client) as talk:
        await talk.ws.send_text(message)
        answer = await talk.hear()
        assert (answer["type"], answer["id"], answer["code"]) == ("error", 5, code)
        assert answer.get("field") == field
        await talk.nothing_more()


async def test_a_frame_whose_id_is_none_is_answered_with_an_error_without_an_id() -> None:
    hub = Hub[Any]()
    async with served(hub) as client, talking(client) as talk:
        for number in ("-1", "true", "1.5", str(MOST_ID + 1), "9" * 300, "null", '"1"'):
            await talk.ws.send_text(f'{{"type":"join","id":{number},"room":"red"}}')
            error = await talk.hear()
            assert (error["code"], error["field"], error.get("id")) == ("invalid", "id", None)
        await talk.nothing_more()
        assert hub.rooms == ()


# What ends the connection.


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", 4501),
        ("hello", 4501),
        ("7", 4501),
        ("[]", 4501),
        ("{}", 4501),
        ('[{"type":"ping"},7]', 4501),
        ("[" + ",".join(['{"type":"ping"}'] * 65) + "]", 4501),
        ("[" * 1000 + "]" * 1000, 4501),
        ('{"type":"ping","x":"\\ud800"', 4501),
        (json.dumps({"type": "ping", "x": "y" * 70_000}), 1009),
        (b'{"type":"ping"}', 1003),
    ],
)
async def test_what_is_no_message_ends_the_connection(message: str | bytes, code: int) -> None:
    hub = Hub[Any]()
    async with served(hub) as client, talking(client) as talk, talking(client) as other:
        await other.join("red")
        await talk.join("red")
        await talk.ws.send(message)
        assert (await talk.ws.wait_closed()).code == code
        await eventually(lambda: len(hub) == 1)
        await hub.broadcast("hi", room="red")
        assert (await other.hear())["data"] == "hi"


async def test_nothing_of_a_message_with_something_that_is_no_frame_is_done() -> None:
    hub = Hub[Any]()
    done: list[Any] = []
    hub.on("do")(noting(done))
    async with served(hub) as client, talking(client) as talk:
        await talk.ws.send_text('[{"type":"send","command":"do","data":1},{}]')
        assert (await talk.ws.wait_closed()).code == 4501
    assert done == []


@pytest.mark.parametrize("batch", [1, 5, 60])
async def test_frames_that_come_too_fast_end_the_connection_however_they_come(batch: int) -> None:
    hub = Hub[Any](rate_limit=RateLimit(rate=0.001, burst=61))  # the first is connect
    async with served(hub) as client, talking(client) as talk:
        for _ in range(60 // batch):
            await talk.say(*[{"type": "ping"}] * batch)
        assert [(await talk.hear())["type"] for _ in range(60)] == ["pong"] * 60
        await talk.say({"type": "pong"})
        closed = await talk.ws.wait_closed()
        assert (closed.code, closed.reason) == (4013, "too many messages")


async def test_a_message_with_more_frames_than_may_come_is_not_begun() -> None:
    hub = Hub[Any](rate_limit=RateLimit(rate=0.001, burst=10))
    done: list[Any] = []
    hub.on("do")(noting(done))
    async with served(hub) as client, talking(client) as talk:
        await talk.say(*({"type": "send", "command": "do", "data": n} for n in range(20)))
        assert (await talk.ws.wait_closed()).code == 4013
    assert done == []
