import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from fastapi_rooms.testing import Client, ProtocolViolation, Response, WaitTimeout


class Recorder:
    """Answers 200, and keeps the scope and the request's body."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.request: Message = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.request = scope, await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-A", b"1")]})
        await send({"type": "http.response.body", "body": b'{"a"', "more_body": True})
        await send({"type": "http.response.body", "body": b":1}"})


async def asked(**options: Any) -> tuple[Recorder, Response]:
    app = Recorder()
    async with Client(app, lifespan=False) as client:
        return app, await client.post("/say?x=1", **options)


async def test_an_answer_has_status_headers_and_the_whole_body() -> None:
    _, response = await asked()
    assert response.status == 200
    assert response.headers["x-a"] == "1"
    assert response.body == b'{"a":1}'
    assert response.text == '{"a":1}'
    assert response.json() == {"a": 1}


async def test_the_scope_is_that_of_an_http_request() -> None:
    app, _ = await asked(headers={"Authorization": "Bearer t"}, cookies={"a": "1"})
    scope = app.scope
    assert (scope["type"], scope["method"], scope["path"]) == ("http", "POST", "/say")
    assert (scope["scheme"], scope["query_string"]) == ("http", b"x=1")
    assert scope["headers"] == [
        (b"host", b"testserver"),
        (b"authorization", b"Bearer t"),
        (b"cookie", b"a=1"),
    ]


async def test_the_scheme_follows_the_base_url() -> None:
    app = Recorder()
    async with Client(app, lifespan=False, base_url="https://a") as client:
        await client.get("/")
    assert (app.scope["scheme"], app.scope["method"]) == ("https", "GET")


async def test_json_is_sent_with_its_content_type() -> None:
    app, _ = await asked(json={"ü": [1, 2]})
    assert app.request["body"] == '{"ü":[1,2]}'.encode()
    assert (b"content-type", b"application/json") in app.scope["headers"]
    assert (b"content-length", b"12") in app.scope["headers"]


async def test_a_content_type_of_the_test_stays() -> None:
    app, _ = await asked(json=[], headers={"Content-Type": "application/x"})
    assert [v for name, v in app.scope["headers"] if name == b"content-type"] == [b"application/x"]


@pytest.mark.parametrize("content", ["text", b"text"])
async def test_content_is_sent_as_it_is(content: str | bytes) -> None:
    app, _ = await asked(content=content)
    assert app.request == {"type": "http.request", "body": b"text", "more_body": False}


async def test_an_app_that_listens_for_the_disconnect_hears_it_after_its_answer() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not listening.done()
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})
        heard.append((await listening)["type"])

    async with Client(app, lifespan=False) as client:
        assert (await client.get("/")).status == 204
    assert heard == ["http.disconnect"]


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("of the app")


async def test_what_the_app_raises_is_raised() -> None:
    async with Client(fails, lifespan=False) as client:
        with pytest.raises(LookupError, match="of the app"):
            await client.get("/")


async def test_without_raise_app_exceptions_it_is_status_500() -> None:
    async with Client(fails, lifespan=False, raise_app_exceptions=False) as client:
        assert (await client.get("/")).status == 500


async def test_an_answer_that_is_left_unfinished_is_status_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})

    async with Client(app, lifespan=False) as client:
        assert (await client.get("/")).status == 500


async def test_an_app_that_does_not_answer_is_cancelled_after_the_timeout() -> None:
    cancelled = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Client(app, lifespan=False) as client:
        with pytest.raises(WaitTimeout, match="the app to finish GET /slow"):
            await client.get("/slow", timeout=0.01)
    assert cancelled.is_set()


BODY = {"type": "http.response.body"}
START = {"type": "http.response.start", "status": 200}


@pytest.mark.parametrize("messages", [[BODY], [START, START], [START, BODY, BODY], [{"type": "websocket.send"}]])
async def test_messages_out_of_order_raise_in_the_app(messages: list[Message]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with Client(app, lifespan=False) as client:
        with pytest.raises(ProtocolViolation):
            await client.get("/")
