import asyncio
from functools import partial
from typing import Any, cast

import pytest
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_rooms.transports.servers import find_transport, is_finished_by_threads, is_steppable, unwrap
from fastapi_rooms.transports.sse import SSEStream


class Wire:
    """What an asyncio transport looks like."""

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class Server:
    """A server's connection: `send` is a method of it."""

    def __init__(self, transport: object = None) -> None:
        self.transport = transport

    async def send(self, message: Message) -> None: ...


class Stream:
    def __init__(self, send: Any) -> None:
        self.send = send

    async def app_send(self, message: Message) -> None: ...


class Connected:
    def __init__(self, send: Any) -> None:
        self._send = send
        self.send = send

    async def stream_send(self, event: object) -> None: ...


class TCPServer:
    def __init__(self, transport: object) -> None:
        self.writer = Server(transport)

    async def protocol_send(self, event: object) -> None: ...


def hypercorn_of(transport: object) -> Send:
    tcp_server = TCPServer(transport)
    protocol = Connected(tcp_server.protocol_send)
    return Stream(protocol.stream_send).app_send


async def seen_below_starlette(send: Send) -> Send:
    """What an app gets for `send` below Starlette's exception handling."""
    seen: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(send)

    async def receive() -> Message:
        return {}

    websocket = WebSocket({"type": "websocket", "app": None}, receive, send)
    await wrap_app_handling_exceptions(app, cast("Request", websocket))(websocket.scope, receive, send)
    return seen[0]


def test_the_servers_own_send_is_found_below_starlettes_wrapper() -> None:
    send = Server().send
    wrapped = asyncio.run(seen_below_starlette(send))
    assert wrapped != send
    assert unwrap(wrapped) == send
    assert unwrap(send) == send


def test_it_is_found_below_several_but_not_below_hundreds() -> None:
    send = Server().send
    twice = asyncio.run(seen_below_starlette(asyncio.run(seen_below_starlette(send))))
    assert unwrap(twice) == send
    for _ in range(40):
        twice = asyncio.run(seen_below_starlette(twice))
    assert unwrap(twice) != send


def test_a_wrapper_that_is_not_known_is_respected() -> None:
    send = Server(Wire()).send

    async def counting(message: Message) -> None:
        await send(message)

    assert unwrap(counting) is counting
    assert not is_steppable(counting)


def test_a_known_wrapper_without_a_send_inside_is_left_alone() -> None:
    async def empty(message: Message) -> None: ...

    empty.__module__ = "starlette._exception_handler"
    assert unwrap(empty) is empty


@pytest.mark.parametrize(
    ("module", "steppable"),
    [
        ("uvicorn.protocols.websockets.websockets_sansio_impl", True),
        ("hypercorn.protocol.ws_stream", True),
        ("daphne.server", True),
        ("fastapi_rooms.testing.server_side", True),
        ("granian._futures", False),
        ("uvicornish", False),
    ],
)
def test_only_servers_that_are_known_are_stepped(
    monkeypatch: pytest.MonkeyPatch, module: str, steppable: bool
) -> None:
    monkeypatch.setattr(Server, "__module__", module)
    assert is_steppable(Server().send) is steppable
    assert is_steppable(partial(Server().send)) is steppable


def test_a_send_that_belongs_to_nothing_is_not_stepped() -> None:
    async def send(message: Message) -> None: ...

    assert not is_steppable(send)
    assert not is_steppable(partial(send))
    assert find_transport(send) is None


def test_uvicorns_transport_is_found() -> None:
    wire = Wire()
    assert find_transport(Server(wire).send) is wire  # type: ignore[comparison-overlap]  # it only looks like one


def test_hypercorns_transport_is_found() -> None:
    wire = Wire()
    assert find_transport(hypercorn_of(wire)) is wire  # type: ignore[comparison-overlap]  # as above


@pytest.mark.parametrize("transport", [None, object()])
def test_what_does_not_look_like_a_transport_is_not_taken_for_one(transport: object) -> None:
    assert find_transport(Server(transport).send) is None
    assert find_transport(hypercorn_of(transport)) is None


def test_the_transport_is_found_below_any_wrapper_since_aborting_needs_nobodys_consent() -> None:
    wire = Wire()
    send = Server(wire).send

    async def middleware(message: Message) -> None:
        await send(message)

    assert find_transport(middleware) is wire  # type: ignore[comparison-overlap]  # as above


def test_it_is_looked_for_below_many_wrappers_but_not_without_end() -> None:
    def wrapped(send: Send, layers: int) -> Send:
        async def middleware(message: Message) -> None:
            await send(message)

        return wrapped(middleware, layers - 1) if layers else send

    send = Server(Wire()).send
    assert find_transport(wrapped(send, 5)) is not None
    assert find_transport(wrapped(send, 50)) is None


async def seen_below(middleware: Any, send: Send, **options: Any) -> Send:
    """What an app gets for `send` below a middleware, for a request from another origin that takes gzip."""
    seen: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(send)

    async def receive() -> Message:
        return {}

    headers = [(b"origin", b"https://a.example"), (b"accept-encoding", b"gzip")]
    await middleware(app, **options)({"type": "http", "method": "GET", "headers": headers}, receive, send)
    return seen[0]


@pytest.mark.parametrize("middleware", [CORSMiddleware, ServerErrorMiddleware])
def test_the_servers_own_send_is_found_below_what_only_changes_a_responses_start(middleware: Any) -> None:
    send = Server().send
    wrapped = asyncio.run(seen_below(middleware, send))
    assert wrapped != send
    assert unwrap(wrapped) == send


def test_compression_is_respected_but_what_is_to_be_aborted_is_found_below_it() -> None:
    wire = Wire()
    wrapped = asyncio.run(seen_below(GZipMiddleware, Server(wire).send))
    assert unwrap(wrapped) == wrapped
    assert not is_steppable(wrapped)
    assert find_transport(wrapped) is wire  # type: ignore[comparison-overlap]  # as above


@pytest.mark.parametrize(
    ("module", "steppable"), [("uvicorn.protocols.http.h11_impl", True), ("granian._futures", False)]
)
async def test_an_event_stream_is_as_good_as_the_server_below_it(
    monkeypatch: pytest.MonkeyPatch, module: str, steppable: bool
) -> None:
    async def receive() -> Message:
        return {}

    monkeypatch.setattr(Server, "__module__", module)
    wire = Wire()
    stream = SSEStream({"type": "http"}, receive, Server(wire).send)
    assert is_steppable(stream.send) is steppable
    assert is_finished_by_threads(stream.send) is not steppable
    assert find_transport(stream.send) is wire  # type: ignore[comparison-overlap]  # as above


def test_a_transport_that_other_streams_share_is_not_ours_to_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    send = hypercorn_of(Wire())
    assert find_transport(send) is not None
    monkeypatch.setattr(Connected, "streams", {}, raising=False)
    assert find_transport(send) is None
