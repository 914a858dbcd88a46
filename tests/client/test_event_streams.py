"""The way where WebSockets do not pass: what a stream and its requests may meet."""

import asyncio
import json
import time
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from brokers.ports import free_port
from fastapi_rooms.client.returning import End
from fastapi_rooms.client.wire import CannotOpen, WireEnded

from .app import app_of, make_hub
from .scripted_stream import END, ScriptedStream, opener, refusing, wired
from .serving import Cutter, WithoutWebSockets, client_of, serving, within

SESSION = {"type": "session", "session": "s1"}


async def test_requests_are_numbered_and_say_the_session() -> None:
    stream = ScriptedStream()
    async with wired(stream) as wire:
        await wire.send('[{"type":"ping"}]')
        await wire.send("[1,2]")
    assert stream.requests == [
        {"session": "s1", "number": 1, "frames": [{"type": "ping"}]},
        {"session": "s1", "number": 2, "frames": [1, 2]},
    ]
    assert (stream.headers["accept"], stream.headers["x-one"]) == ("text/event-stream", "1")


async def test_messages_come_down_and_what_came_with_the_session_first() -> None:
    stream = ScriptedStream([SESSION, {"type": "pong"}], {"type": "ping"})
    async with wired(stream) as wire:
        told = [json.loads(await within(wire.receive())) for _ in range(2)]
        assert told == [[{"type": "pong"}], {"type": "ping"}]
        stream.tell(END)
        with pytest.raises(WireEnded) as ended:
            await within(wire.receive())
        assert ended.value.end.code == 1006


@pytest.mark.parametrize("answer", [429, 500, 502, 503, ScriptedStream.DROPPED])
async def test_a_request_that_is_not_taken_or_not_answered_is_sent_again_as_it_was(answer: int) -> None:
    stream = ScriptedStream()
    stream.answers = [answer, answer]
    async with wired(stream) as wire:
        await within(wire.send("[1]"))
        await within(wire.send("[2]"))
    assert [(one["number"], one["frames"]) for one in stream.requests] == [(1, [1]), (1, [1]), (1, [1]), (2, [2])]


async def test_the_server_may_say_when_to_try_again() -> None:
    stream = ScriptedStream()
    stream.answers = [(503, {"Retry-After": "1"}), (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]
    async with wired(stream) as wire:
        began = time.monotonic()
        await within(wire.send("[1]"))
        assert time.monotonic() - began >= 1.0
    assert len(stream.requests) == 3


@pytest.mark.parametrize(("status", "code"), [(400, 1006), (403, 1006), (404, 1006), (409, 1006), (413, 1009)])
async def test_other_answers_end_it(status: int, code: int) -> None:
    stream = ScriptedStream()
    stream.answers = [status]
    async with wired(stream) as wire:
        with pytest.raises(WireEnded) as ended:
            await within(wire.send("[1]"))
    assert ended.value.end == End(code, f"the server answered {status}")
    assert len(stream.requests) == 1


@pytest.mark.parametrize(
    ("status", "headers", "end"),
    [
        (401, {}, End(4500, "the server answered 401")),
        (403, {}, End(4507, "the server answered 403")),
        (404, {}, End(1006, "the server answered 404")),
        (503, {"retry-after": "7"}, End(1006, "the server answered 503", least=7.0)),
    ],
)
async def test_a_stream_that_is_refused_says_how(status: int, headers: dict[str, str], end: End) -> None:
    stream = ScriptedStream()
    stream.opens = refusing(status, **headers)
    assert await refused(stream) == end


async def test_what_is_no_event_stream_is_refused() -> None:
    stream = ScriptedStream()
    stream.opens = lambda: PlainTextResponse("<p>sign in to this network")
    assert (await refused(stream)).reason == "the server answered with what is no event stream"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "close", "code": 4507, "reason": "no"}, 4507),
        ({"type": "pong"}, 1006),
        ({"type": "session"}, 1006),
        ([], 1006),
        (3, 1006),
        (END, 1006),
    ],
)
async def test_a_stream_that_does_not_begin_with_its_session_is_refused(first: object, code: int) -> None:
    assert (await refused(ScriptedStream(first))).code == code


async def refused(stream: ScriptedStream) -> End:
    """How the stream is refused by somebody who is there."""
    async with serving(stream.app) as port:
        with pytest.raises(CannotOpen) as error:
            await within(opener(port).open())
    assert error.value.answered
    return error.value.end


async def test_where_nobody_is_there_it_says_nothing_of_the_way() -> None:
    with pytest.raises(CannotOpen) as error:
        await opener(free_port()).open()
    assert not error.value.answered


async def test_opening_that_is_cancelled_leaves_nothing() -> None:
    stream = ScriptedStream({"type": "pong"})
    stream._events.get_nowait()
    async with serving(stream.app) as port:
        opening = asyncio.create_task(opener(port).open())
        await within(stream.asked.wait())
        opening.cancel()
        await asyncio.wait({opening})
        assert opening.cancelled()
        stream.tell(END)


async def test_an_event_without_end_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.events._LONGEST", 1000)
    stream = ScriptedStream()
    async with wired(stream) as wire:
        stream.tell("x" * 2000)
        with pytest.raises(WireEnded, match="far too long"):
            await within(wire.receive())
        stream.tell(END)


async def test_where_websockets_do_not_pass_an_event_stream_is_found_and_remembered() -> None:
    app = WithoutWebSockets(app_of(make_hub()))
    async with (
        serving(app) as port,
        Cutter(port) as cutter,
        client_of(cutter.port, "auto", token="ann") as client,
    ):
        joins: asyncio.Queue[Any] = asyncio.Queue()
        lobby = client.join("lobby")
        lobby.on_joined(joins.put_nowait)
        for again in (False, True, True, True):
            assert (await within(joins.get())).again is again
            assert app.refused == 2
            cutter.cut()
        await within(joins.get())
        assert await lobby.send("say", {"text": "hi"})


async def test_where_neither_passes_both_are_tried_again_and_again() -> None:
    app = WithoutWebSockets(app_of(make_hub()))
    async with serving(_without_streams(app)) as port, client_of(port, "auto", token="ann") as client:
        problems: asyncio.Queue[Any] = asyncio.Queue()
        client.on_error(problems.put_nowait)
        said = [str(await within(problems.get())) for _ in range(6)]
        assert [text.split()[3] for text in said] == ["403", "403", "418", "403", "403", "418"]
        app.lets_pass = True
        await within(client.connected())


def _without_streams(app: Any) -> Any:
    async def without(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await PlainTextResponse("no", status_code=418)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return without
