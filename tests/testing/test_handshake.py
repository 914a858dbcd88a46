import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.testing import AppHung, Client, ClientGone, ProtocolViolation, Refused, WaitTimeout
from testing.apps import Puppet, echo


def answering(*answers: Message) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for answer in answers:
            await send(answer)

    return app


async def refusal_of(client: Client) -> Refused:
    async with client:
        with pytest.raises(Refused) as caught:
            async with client.websocket("/"):
                pass  # pragma: no cover - never entered
    return caught.value


async def test_the_scope_is_that_of_asgi_2_4() -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/rooms/caf%C3%A9?x=1&y=a%20b"):
        app.release()
    headers = dict(app.scope.pop("headers"))
    assert app.scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 50000),
        "root_path": "",
        "path": "/rooms/café",
        "raw_path": b"/rooms/caf%C3%A9",
        "query_string": b"x=1&y=a%20b",
        "subprotocols": [],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    assert headers[b"host"] == b"testserver"
    assert headers[b"upgrade"] == b"websocket"
    assert headers[b"sec-websocket-version"] == b"13"


async def test_the_base_url_and_the_clients_address_are_in_the_scope() -> None:
    app = Puppet()
    async with (
        Client(app, lifespan=False, base_url="https://a.example:8443/api/", client_address=("::1", 7)) as client,
        client.websocket("/x y"),
    ):
        app.release()
    scope = app.scope
    assert (scope["scheme"], scope["server"], scope["client"]) == ("wss", ("a.example", 8443), ("::1", 7))
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/x y", b"/api/x%20y")
    assert (b"host", b"a.example:8443") in scope["headers"]


@pytest.mark.parametrize("base_url", ["testserver", "ws://testserver", "http://", "http://a?b", "http://a#b"])
def test_a_base_url_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        Client(echo, base_url=base_url)


async def test_headers_and_cookies_reach_the_app_and_may_replace_the_host() -> None:
    app = Puppet()
    async with (
        Client(app, lifespan=False) as client,
        client.websocket("/", headers={"Host": "other", "X-A": "é"}, cookies={"a": "1", "b": "2"}),
    ):
        app.release()
    headers = app.scope["headers"]
    assert [value for name, value in headers if name == b"host"] == [b"other"]
    assert (b"x-a", "é".encode("latin-1")) in headers
    assert (b"cookie", b"a=1; b=2") in headers


async def test_headers_may_repeat_as_pairs() -> None:
    app = Puppet()
    async with (
        Client(app, lifespan=False) as client,
        client.websocket("/", headers=[("x-a", "1"), ("x-a", "2")]),
    ):
        app.release()
    assert [value for name, value in app.scope["headers"] if name == b"x-a"] == [b"1", b"2"]


async def test_a_path_must_begin_with_a_slash() -> None:
    async with Client(echo, lifespan=False) as client:
        with pytest.raises(ConfigurationError, match="begins with '/'"):
            async with client.websocket("rooms"):
                pass  # pragma: no cover - never entered


async def test_subprotocols_are_offered_and_the_apps_choice_is_seen() -> None:
    app = answering(
        {"type": "websocket.accept", "subprotocol": "b", "headers": [(b"X-A", b"1")]},
        {"type": "websocket.close"},
    )
    async with (
        Client(app, lifespan=False) as client,
        client.websocket("/", subprotocols=["a", "b"]) as ws,
    ):
        assert ws.accepted_subprotocol == "b"
        assert ws.accepted_headers["x-a"] == "1"


async def test_subprotocols_in_a_header_are_offered_too() -> None:
    app = Puppet()
    async with (
        Client(app, lifespan=False) as client,
        client.websocket("/", subprotocols=["a"], headers={"sec-websocket-protocol": "b,, c"}) as ws,
    ):
        assert ws.accepted_subprotocol is None
        assert app.scope["subprotocols"] == ["a", "b", "c"]
        app.release()


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "websocket.accept", "subprotocol": "never offered"},
        {"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Protocol", b"a")]},
        {"type": "websocket.send", "text": "before accept"},
        {"type": "websocket.http.response.body", "body": b"before start"},
    ],
)
async def test_an_answer_that_fails_the_handshake_raises_in_the_app(answer: Message) -> None:
    async with Client(answering(answer), lifespan=False) as client:
        with pytest.raises(ProtocolViolation):
            async with client.websocket("/", subprotocols=["a"]):
                pass  # pragma: no cover - never entered


DENIAL = (
    {"type": "websocket.http.response.start", "status": 429, "headers": [(b"retry-after", b"3")]},
    {"type": "websocket.http.response.body", "body": b'{"detail":', "more_body": True},
    {"type": "websocket.http.response.body", "body": b'"full"}'},
)


async def test_a_denial_response_is_raised_with_status_headers_and_body() -> None:
    refused = await refusal_of(Client(answering(*DENIAL), lifespan=False))
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "3"
    assert refused.body == b'{"detail":"full"}'
    assert refused.json() == {"detail": "full"}
    assert "429" in str(refused)


async def test_a_denial_response_without_the_extension_is_a_fault_of_the_app() -> None:
    async with Client(answering(*DENIAL), lifespan=False, denial_response=False) as client:
        with pytest.raises(ProtocolViolation, match="extension"):
            async with client.websocket("/"):
                pass  # pragma: no cover - never entered


async def test_the_extension_is_not_offered_when_switched_off() -> None:
    app = Puppet()
    async with Client(app, lifespan=False, denial_response=False) as client, client.websocket("/"):
        app.release()
    assert app.scope["extensions"] == {}


@pytest.mark.parametrize("denial_response", [True, False])
async def test_a_close_before_accept_is_status_403(denial_response: bool) -> None:
    app = answering({"type": "websocket.close", "code": 4500})
    refused = await refusal_of(Client(app, lifespan=False, denial_response=denial_response))
    assert (refused.status, refused.body) == (403, b"")


async def test_an_app_that_refused_receives_a_disconnect_and_may_send_no_more() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})
        assert (await receive())["type"] == "websocket.disconnect"
        with pytest.raises(ProtocolViolation):
            await send({"type": "websocket.accept"})

    assert (await refusal_of(Client(app, lifespan=False))).status == 403


async def test_an_app_that_returns_without_an_answer_is_status_500() -> None:
    refused = await refusal_of(Client(answering(), lifespan=False))
    assert (refused.status, refused.body) == (500, b"Internal Server Error")


async def test_a_denial_response_that_is_left_unfinished_is_status_500() -> None:
    assert (await refusal_of(Client(answering(*DENIAL[:2]), lifespan=False))).status == 500


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("before accept")


async def test_what_the_app_raises_before_accept_is_raised_on_entering() -> None:
    async with Client(fails, lifespan=False) as client:
        with pytest.raises(LookupError):
            async with client.websocket("/"):
                pass  # pragma: no cover - never entered


async def test_without_raise_app_exceptions_it_is_status_500() -> None:
    assert (await refusal_of(Client(fails, lifespan=False, raise_app_exceptions=False))).status == 500


async def hesitates(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    disconnect = await receive()
    with pytest.raises(ClientGone):
        await send({"type": "websocket.accept"})
    scope["state"]["disconnects"].append(disconnect["code"])


async def test_an_app_that_does_not_answer_is_left_after_the_timeout() -> None:
    async with Client(hesitates, lifespan=False, timeout=0.01) as client:
        client.state["disconnects"] = []
        with pytest.raises(WaitTimeout, match="to accept or refuse the WebSocket /slow"):
            async with client.websocket("/slow"):
                pass  # pragma: no cover - never entered
        assert client.state["disconnects"] == [1006]


async def test_a_test_that_is_cancelled_during_the_handshake_leaves_too() -> None:
    async with Client(hesitates, lifespan=False) as client:
        client.state["disconnects"] = []

        async def connect() -> None:
            async with client.websocket("/"):
                pass  # pragma: no cover - never entered

        connecting = asyncio.create_task(connect())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait({connecting})
        assert connecting.cancelled()
        assert client.state["disconnects"] == [1006]


async def test_a_server_that_shuts_down_refuses_who_is_not_accepted_yet() -> None:
    async with Client(hesitates, lifespan=False) as client:
        client.state["disconnects"] = []

        async def connect() -> int:
            with pytest.raises(Refused) as caught:
                async with client.websocket("/"):
                    pass  # pragma: no cover - never entered
            return caught.value.status

        connecting = asyncio.create_task(connect())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await client.shut_down()
        assert await connecting == 500


async def test_an_app_that_hangs_after_refusing_is_reported() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        await asyncio.Event().wait()

    async with Client(app, lifespan=False, exit_timeout=0.01) as client:
        with pytest.raises(AppHung):
            async with client.websocket("/"):
                pass  # pragma: no cover - never entered


async def test_a_client_that_is_not_entered_says_so() -> None:
    client = Client(echo)
    with pytest.raises(ConfigurationError, match="async with Client"):
        async with client.websocket("/"):
            pass  # pragma: no cover - never entered
