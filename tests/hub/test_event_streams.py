"""A hub's clients on event streams: frames down, requests up, and streams without any client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from fastapi_rooms import Heartbeat, History, Hub, Limits, Presence
from fastapi_rooms.auth import Cookie, Header, Identity, TokenAuth
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.hub import uplinks
from fastapi_rooms.testing import Client, Response, eventually

from .event_stream import EventStream, event_stream

CONNECT = {"type": "connect", "id": 1, "token": "ann"}
JOIN = {"type": "join", "id": 2, "room": "lobby"}


def verify(token: str) -> Identity | None:
    return None if token == "bad" else Identity(subject=token)


class Refusing(Hub[Identity]):
    async def authorize(self, connection: Any, room: str) -> bool:
        return room != "closed"


def hub_with(**options: Any) -> Hub[Identity]:
    auth = TokenAuth(verify, sources=[Header(), Cookie("session")], origin=None)
    return Refusing(auth=auth, publish=True, **options)


def app_of(hub: Hub[Any]) -> FastAPI:
    app = FastAPI()
    app.include_router(hub.router, prefix="/live")
    return app


class Talk:
    """A client that speaks for a stream: its requests, counted."""

    def __init__(self, client: Client, stream: EventStream, **headers: str) -> None:
        self.client = client
        self.stream = stream
        self.headers = headers
        self.number = 0

    async def say(self, *frames: object, number: int | None = None, **headers: str) -> Response:
        self.number = self.number + 1 if number is None else number
        body = {"session": self.stream.session, "number": self.number, "frames": frames}
        return await self.client.post("/live/sse", json=body, headers={**self.headers, **headers})


@asynccontextmanager
async def talking(app: ASGIApp) -> AsyncIterator[Talk]:
    async with Client(app) as client, event_stream(app) as stream:
        yield Talk(client, stream)


async def test_what_a_client_says_by_requests_is_answered_down_its_stream_in_order() -> None:
    async with talking(app_of(hub_with())) as talk:
        assert (talk.stream.status, talk.stream.types()) == (200, ["session"])
        assert talk.stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (await talk.say(CONNECT, JOIN)).status == 204
        assert (await talk.say({"type": "ping"})).status == 204
        await talk.stream.until("pong")
        await talk.stream.until("joined")
        assert sorted(talk.stream.types()) == ["connected", "joined", "pong", "session"]
        assert talk.stream.frames[1]["user"] == "ann"


async def test_a_request_that_comes_twice_is_taken_once() -> None:
    async with talking(app_of(hub_with())) as talk:
        await talk.say(CONNECT, JOIN)
        said = {"type": "publish", "id": 3, "room": "lobby", "event": "said", "data": 1}
        for _ in range(3):
            assert (await talk.say(said, number=2)).status == 204
        await talk.say({"type": "send", "id": 9, "command": "none"}, number=3)
        await talk.stream.until("error")
        assert talk.stream.types().count("reply") == talk.stream.types().count("message") == 1


async def test_two_requests_of_one_number_at_once_are_taken_once() -> None:
    async with talking(app_of(hub_with())) as talk:
        await talk.say(CONNECT)
        answers = await asyncio.gather(*(talk.say({"type": "ping"}, number=2) for _ in range(5)))
        assert {one.status for one in answers} == {204}
        await talk.say({"type": "send", "id": 9, "command": "none"}, number=3)
        await talk.stream.until("error")
        assert talk.stream.types().count("pong") == 1


async def test_a_request_that_leaves_one_out_is_refused() -> None:
    async with talking(app_of(hub_with())) as talk:
        await talk.say(CONNECT)
        assert (await talk.say({"type": "ping"}, number=3)).status == 409
        assert (await talk.say({"type": "ping"}, number=2)).status == 204


async def test_only_its_own_user_may_speak_for_a_stream_and_who_has_the_secret() -> None:
    async with talking(app_of(hub_with())) as talk:
        await talk.say(CONNECT)
        await talk.stream.until("connected")
        assert (await talk.say({"type": "ping"}, number=2, authorization="Bearer bob")).status == 403
        assert (await talk.say({"type": "ping"}, number=2, cookie="session=bob")).status == 403
        assert (await talk.say({"type": "ping"}, number=2, authorization="Bearer ann")).status == 204
        assert (await talk.say({"type": "ping"}, number=3, authorization="Bearer bad")).status == 401


async def test_a_stream_that_a_cookie_opened_is_its_users_before_it_is_connected() -> None:
    app = app_of(hub_with())
    async with Client(app) as client, event_stream(app, headers=[("cookie", "session=ann")]) as stream:
        talk = Talk(client, stream)
        assert (await talk.say({"type": "connect", "id": 1}, number=1, cookie="session=bob")).status == 403
        assert (await talk.say({"type": "connect", "id": 1}, number=1, cookie="session=ann")).status == 204
        assert (await stream.until("connected"))["user"] == "ann"


async def test_what_is_no_request_and_whose_stream_is_gone_are_told_so() -> None:
    app = app_of(hub_with())
    async with Client(app) as client:
        async with event_stream(app) as stream:
            talk = Talk(client, stream)
            await talk.say(CONNECT)
        assert (await talk.say({"type": "ping"})).status == 404
        for body in (b"", b"{}", b"[]", b'{"session": 1, "number": 1, "frames": [{}]}'):
            assert (await client.post("/live/sse", content=body)).status == 422
        unknown = {"session": "0.nobody", "number": 1, "frames": [{"type": "ping"}]}
        assert (await client.post("/live/sse", json=unknown)).status == 404


async def test_a_request_that_is_too_long_is_refused_and_the_stream_goes_on() -> None:
    async with talking(app_of(hub_with(limits=Limits(message_bytes=1000)))) as talk:
        await talk.say(CONNECT)
        assert (await talk.say({"type": "send", "command": "x", "data": "x" * 5000}, number=2)).status == 413
        assert (await talk.say({"type": "ping"}, number=2)).status == 204


async def test_a_request_whose_client_goes_before_its_end_is_no_failure_of_the_server() -> None:
    received = iter([{"type": "http.request", "body": b'{"sess', "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/live/sse", "headers": [], "query_string": b""}
    await app_of(hub_with())(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_client_whose_frames_are_not_taken_in_time_is_told_to_come_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(uplinks, "SPACE_WITHIN", 0.1)
    hub = hub_with(limits=Limits(inbox_messages=1, handler_grace=0))
    going = asyncio.Event()

    @hub.on("wait")
    async def wait() -> None:
        await going.wait()

    async with talking(app_of(hub)) as talk:
        await talk.say(CONNECT)
        answers = [await talk.say({"type": "send", "command": "wait"}) for _ in range(4)]
        full = answers[-1]
        assert (full.status, full.headers["retry-after"]) == (429, "1")
        monkeypatch.setattr(uplinks, "SPACE_WITHIN", 10.0)
        going.set()
        assert (await talk.say({"type": "ping"}, number=talk.number)).status == 204
        await talk.stream.until("pong")


async def test_any_process_takes_what_the_client_of_another_says() -> None:
    broker = MemoryBroker()
    here, there = app_of(hub_with(broker=broker)), app_of(hub_with(broker=broker))
    async with talking(here) as talk, Client(there) as other:
        talk.client = other
        assert (await talk.say(CONNECT, JOIN)).status == 204
        assert (await talk.say({"type": "ping"})).status == 204
        assert (await talk.say({"type": "ping"}, number=2)).status == 204
        assert (await talk.say({"type": "ping"}, number=9)).status == 409
        assert (await talk.say({"type": "ping"}, number=3, authorization="Bearer bob")).status == 403
        await talk.stream.until("joined")
        await talk.stream.until("pong")
        assert talk.stream.types().count("pong") == 1


async def test_where_the_streams_process_is_out_of_reach_the_client_is_told_to_come_again(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(uplinks, "SPACE_WITHIN", -0.9)
    app = app_of(hub_with(broker=MemoryBroker()))
    async with Client(app) as client:
        gone = {"session": "elsewhere.secret", "number": 1, "frames": [{"type": "ping"}]}
        answer = await client.post("/live/sse", json=gone)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_bad_token_ends_the_stream_with_what_a_websocket_would_be_closed_with() -> None:
    async with talking(app_of(hub_with())) as talk:
        await talk.say({**CONNECT, "token": "bad"})
        assert (await talk.stream.until("close"))["code"] == 4500
        await eventually(lambda: talk.stream.over)
        assert (await talk.say({"type": "ping"})).status == 404


async def test_a_stream_whose_client_does_not_say_who_it_is_ends() -> None:
    async with talking(app_of(hub_with(limits=Limits(authentication_timeout=0.05)))) as talk:
        assert (await talk.stream.until("close"))["code"] == 4502


async def test_a_credential_that_is_refused_ends_the_stream_as_it_would_a_websocket() -> None:
    app = app_of(hub_with())
    async with Client(app), event_stream(app, headers=[("authorization", "Bearer bad")]) as stream:
        assert (await stream.until("close"))["code"] == 4500


async def test_half_of_a_character_is_answered_with_an_error_and_the_stream_goes_on() -> None:
    async with talking(app_of(hub_with())) as talk:
        await talk.say(CONNECT)
        frame = '{"type":"send","id":7,"command":"\\ud83d"}'
        half = f'{{"session":"{talk.stream.session}","number":2,"frames":[{frame}]}}'
        assert (await talk.client.post("/live/sse", content=half)).status == 204
        assert (await talk.stream.until("error"))["id"] == 7


async def test_a_ticket_is_no_token_for_another() -> None:
    app = app_of(Hub(auth=TokenAuth(verify)))
    async with Client(app) as client:
        ticket = (await client.post("/live/ticket", headers={"authorization": "Bearer ann"})).json()["ticket"]
        assert (await client.post(f"/live/ticket?ticket={ticket}")).status == 401
        async with event_stream(app, f"ticket={ticket}") as stream:
            await Talk(client, stream).say({"type": "connect", "id": 1})
            assert (await stream.until("connected"))["user"] == "ann"


async def test_a_client_that_only_listens_is_asked_for_no_sign_of_life() -> None:
    hub = Refusing(heartbeat=Heartbeat(interval=0.02, timeout=0.02))
    app = app_of(hub)
    async with Client(app), event_stream(app, "room=lobby") as stream:
        assert stream.frames[0]["heartbeat"] is None
        await hub.publish("lobby", 1)
        await stream.until("message")
        async with talking(app) as talk:
            await talk.say({"type": "connect", "id": 1})
            assert (await talk.stream.until("close"))["code"] == 4012  # it never answers
        assert not stream.over


async def test_a_stream_of_rooms_comes_back_to_where_it_began_if_it_got_no_message() -> None:
    hub = hub_with(history=History())
    app = app_of(hub)
    ann = [("authorization", "Bearer ann")]
    async with Client(app):
        async with event_stream(app, "room=lobby", ann) as stream:
            await stream.until("joined")
            (place,) = stream.ids
        await hub.publish("lobby", "meanwhile")
        async with event_stream(app, "room=lobby", [*ann, ("last-event-id", place)]) as stream:
            assert (await stream.until("message"))["data"] == "meanwhile"


async def test_a_stream_of_two_rooms_that_have_a_history_is_refused() -> None:
    app = app_of(hub_with(history=History()))
    async with Client(app), event_stream(app, "room=a&room=b", [("authorization", "Bearer ann")]) as stream:
        assert stream.status == 400


async def test_a_session_of_a_process_that_is_not_there_is_gone() -> None:
    async with Client(app_of(hub_with())) as client:
        gone = {"session": "elsewhere.secret", "number": 1, "frames": [{"type": "ping"}]}
        assert (await client.post("/live/sse", json=gone)).status == 404
        gone["session"] = "x" * 201
        assert (await client.post("/live/sse", json=gone)).status == 422


async def test_a_stream_of_rooms_needs_no_client() -> None:
    hub = hub_with(history=lambda room: History() if room == "lobby" else None, presence=Presence())
    app = app_of(hub)
    ann = [("authorization", "Bearer ann")]
    async with Client(app):
        async with event_stream(app, "room=lobby&room=hall", ann) as stream:
            await stream.until("joined", 2)
            await hub.publish("lobby", "one", event="said")
            await stream.until("message")
            assert stream.types()[:2] == ["connected", "joined"]
            assert [frame["room"] for frame in stream.frames if frame["type"] == "joined"] == ["lobby", "hall"]
            last = stream.ids[-1]
        await hub.publish("lobby", "two", event="said")
        async with event_stream(app, "room=hall&room=lobby", [*ann, ("last-event-id", last)]) as stream:
            joined = [await stream.until("joined", number) for number in (1, 2)]
            assert [frame["data"] for frame in stream.frames if frame["type"] == "message"] == ["two"]
            assert [frame.get("recovered") for frame in joined] == [None, True]


async def test_a_stream_of_rooms_is_refused_before_it_begins() -> None:
    app = app_of(hub_with())
    async with Client(app):
        async with event_stream(app, "room=lobby") as stream:
            assert stream.status == 401
        async with event_stream(app, "room=closed", [("authorization", "Bearer ann")]) as stream:
            assert stream.status == 403
        async with event_stream(app, "room=lobby&room=closed", [("authorization", "Bearer ann")]) as stream:
            assert (await stream.until("close"))["code"] == 4507


async def test_a_stream_that_ends_leaves_nothing_behind() -> None:
    hub = hub_with(presence=Presence())
    async with talking(app_of(hub)) as talk:
        await talk.say(CONNECT, JOIN)
        await talk.stream.until("presence")
        assert (len(hub), len(hub.uplinks)) == (1, 1)
        talk.stream.leave()
        await eventually(lambda: not len(hub) and not len(hub.uplinks))
        assert hub.rooms == ()


async def test_when_the_server_is_told_to_stop_clients_are_told_when_to_come_back_and_streams_end() -> None:
    hub = hub_with(return_within=3)
    async with talking(app_of(hub)) as talk:
        await talk.say(CONNECT, JOIN)
        await talk.stream.until("joined")
        hub._stopping()
        assert 0 <= (await talk.stream.until("going-away"))["delay"] <= 3
        assert (await talk.stream.until("close"))["code"] == 1012
        await eventually(lambda: talk.stream.over)
