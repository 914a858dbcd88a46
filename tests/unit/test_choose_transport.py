"""Shared frames go around every middleware, so none may stand in their way that would miss them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_rooms import ConnectionManager
from fastapi_rooms.frames import JOINED_TEXT, SSE
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import SHARED_FRAMES_EXTENSION, SSE_EXTENSION, Transport
from fastapi_rooms.testing import eventually
from fastapi_rooms.transports.choose import choose_transport
from fastapi_rooms.transports.gathered import GatheredTransport
from fastapi_rooms.transports.joined import JoinedTransport
from fastapi_rooms.transports.sse import SSEStream
from fastapi_rooms.transports.websocket import WebSocketTransport
from unit.apps import client_of
from unit.frame_fakes import FakeServer
from unit.frame_sessions import Session
from unit.joined_fakes import StandardServer
from unit.stream_fakes import HttpServer

Endpoint = Callable[[WebSocket], Awaitable[None]]


class PassingOn:
    """A middleware that passes `send` on as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Recording(PassingOn):
    """A middleware that looks at what is sent."""

    seen: list[Message]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen = scope["seen"] = []

        async def recording(message: Message) -> None:
            self.seen.append(message)
            await send(message)

        await self._app(scope, receive, recording)


class Chosen:
    """An endpoint that accepts with the transport that was chosen for it, and sends "a" and "b".

    Attributes:
        transport: The one that was chosen.
        scope: The endpoint's.
    """

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.scope: Scope = {}

    async def endpoint(self, websocket: WebSocket) -> None:
        self.scope = websocket.scope
        gatherer = Gatherer(asyncio.get_running_loop())
        transport = choose_transport(websocket, gatherer, queue_bytes=None)
        await transport.accept(subprotocol=None, headers=())
        self.transport = transport
        for text in ("a", "b"):
            pending = transport.write(Payload(text))
            if pending is not None:
                await pending
        await transport.receive()
        await transport.close(code=1000, reason="")


def starlette_of(*middlewares: Middleware) -> Callable[[Endpoint], ASGIApp]:
    return lambda endpoint: Starlette(routes=[WebSocketRoute("/", endpoint)], middleware=middlewares)


def fastapi_of(*middlewares: Middleware) -> Callable[[Endpoint], ASGIApp]:
    def make(endpoint: Endpoint) -> ASGIApp:
        app = FastAPI(middleware=middlewares)

        async def before() -> AsyncIterator[None]:
            yield

        @app.websocket("/", dependencies=[Depends(before)])
        async def route(websocket: WebSocket) -> None:
            await endpoint(websocket)

        return app

    return make


def bare(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(WebSocket(scope, receive, send))

    return app


def mounted(endpoint: Endpoint) -> ASGIApp:
    inner = Starlette(routes=[WebSocketRoute("/", endpoint)], middleware=[Middleware(PassingOn)])
    return Starlette(routes=[Mount("/", app=inner)])


async def ignore(request: Any, call_next: Any) -> Any:
    return await call_next(request)


SHARED = {
    "bare": bare,
    "starlette": starlette_of(),
    "fastapi": fastapi_of(),
    "mounted": mounted,
    "passing on": starlette_of(Middleware(PassingOn)),
    "sessions": starlette_of(Middleware(SessionMiddleware, secret_key="secret")),
    "for http": fastapi_of(
        Middleware(CORSMiddleware),
        Middleware(GZipMiddleware),
        Middleware(BaseHTTPMiddleware, dispatch=ignore),
        Middleware(SessionMiddleware, secret_key="secret"),
    ),
}
STANDARD = {
    "outermost": lambda endpoint: Recording(starlette_of()(endpoint)),
    "starlette": starlette_of(Middleware(Recording)),
    "fastapi": fastapi_of(Middleware(Recording)),
    "below known ones": starlette_of(Middleware(SessionMiddleware, secret_key="secret"), Middleware(Recording)),
    "above known ones": starlette_of(Middleware(Recording), Middleware(SessionMiddleware, secret_key="secret")),
}


async def visited(app: ASGIApp) -> Session:
    """Visit, read two messages, and leave."""
    one = Session(app)
    await one.open()
    await eventually(lambda: len(one.frames) == 2)
    assert one.read() == ["a", "b"]
    one.client.send_close()
    one.transmit()
    await one.finish()
    return one


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
async def test_where_nothing_looks_at_what_is_sent_frames_are_shared(make: Callable[[Endpoint], ASGIApp]) -> None:
    chosen = Chosen()
    one = await visited(make(chosen.endpoint))
    assert isinstance(chosen.transport, GatheredTransport)
    assert len(one.wire.writes) == 3  # the handshake's answer, both messages, the close frame


@pytest.mark.parametrize("make", STANDARD.values(), ids=STANDARD)
async def test_a_middleware_that_looks_at_what_is_sent_sees_every_message(
    make: Callable[[Endpoint], ASGIApp],
) -> None:
    chosen = Chosen()
    await visited(make(chosen.endpoint))
    assert isinstance(chosen.transport, WebSocketTransport)
    seen = [message["text"] for message in chosen.scope["seen"] if message["type"] == "websocket.send"]
    assert seen == ["a", "b"]


@pytest.mark.parametrize("extensions", [None, {}, {"websocket.http.response": {}}])
async def test_a_server_that_offers_nothing_is_served_in_the_standard_way(extensions: object) -> None:
    server = FakeServer()
    scope = {"type": "websocket", "headers": [], "extensions": extensions}
    websocket = WebSocket(scope, server.receive, server.send)
    gatherer = Gatherer(asyncio.get_running_loop())
    assert isinstance(choose_transport(websocket, gatherer, queue_bytes=None), WebSocketTransport)


async def test_a_server_is_found_only_if_it_is_where_messages_go() -> None:
    offering, sending = FakeServer(), FakeServer()
    scope = {
        "type": "websocket",
        "headers": [],
        "extensions": {SHARED_FRAMES_EXTENSION: {"server": offering}},
    }
    gatherer = Gatherer(asyncio.get_running_loop())
    kinds = [
        type(choose_transport(WebSocket(scope, one.receive, one.send), gatherer, queue_bytes=None))
        for one in (offering, sending)
    ]
    assert kinds == [GatheredTransport, WebSocketTransport]


async def test_the_bound_of_the_send_queue_bounds_the_servers_buffer() -> None:
    server = FakeServer()
    extensions = {SHARED_FRAMES_EXTENSION: {"server": server}}
    websocket = WebSocket({"type": "websocket", "extensions": extensions}, server.receive, server.send)
    transport = choose_transport(websocket, Gatherer(asyncio.get_running_loop()), queue_bytes=4000)
    await transport.accept(subprotocol=None, headers=())
    assert server.wire.limit == 1000


def chosen_for(websocket: WebSocket, *, joins: bool = False) -> Transport:
    gatherer = Gatherer(asyncio.get_running_loop())
    return choose_transport(websocket, gatherer, queue_bytes=None, send_timeout=1.0, joins=joins)


async def test_messages_are_joined_only_where_the_manager_says_so() -> None:
    websocket = StandardServer().websocket
    assert isinstance(chosen_for(websocket), WebSocketTransport)
    transport = chosen_for(websocket, joins=True)
    assert isinstance(transport, JoinedTransport)
    assert transport.window_bits == JOINED_TEXT


async def test_messages_are_not_joined_for_a_server_whose_sends_cannot_be_stepped() -> None:
    assert isinstance(chosen_for(FakeServer().websocket, joins=True), WebSocketTransport)


async def test_shared_frames_are_not_joined() -> None:
    server = FakeServer()
    extensions = {SHARED_FRAMES_EXTENSION: {"server": server}}
    websocket = WebSocket({"type": "websocket", "extensions": extensions}, server.receive, server.send)
    assert isinstance(chosen_for(websocket, joins=True), GatheredTransport)


@pytest.mark.parametrize("joins", [False, True])
async def test_an_event_stream_gathers_events_for_every_manager(joins: bool) -> None:
    request = HttpServer()
    stream = SSEStream(request.scope, request.receive, request.send)
    transport = chosen_for(stream.websocket, joins=joins)
    assert isinstance(transport, JoinedTransport)
    assert transport.window_bits == SSE


async def test_an_event_stream_is_found_only_if_it_is_where_messages_go() -> None:
    request, server = HttpServer(), StandardServer()
    stream = SSEStream(request.scope, request.receive, request.send)
    scope = {"type": "websocket", "extensions": {SSE_EXTENSION: {"stream": stream}}}
    assert isinstance(chosen_for(WebSocket(scope, server.receive, server.send)), WebSocketTransport)


async def test_a_manager_whose_messages_may_be_joined_sends_a_turns_messages_as_one() -> None:
    manager = ConnectionManager()
    manager._host.joins = True

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket) as connection:
            for number in range(3):
                await connection.send({"number": number})
            await connection.receive()

    async with client_of(endpoint) as client, client.websocket("/lobby") as socket:
        assert await socket.receive_json() == [{"number": 0}, {"number": 1}, {"number": 2}]
        await socket.send("enough")
