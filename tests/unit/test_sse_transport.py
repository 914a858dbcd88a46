"""Event streams: a response that managers take for a WebSocket, the server and the client played by the test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException
from starlette.exceptions import WebSocketException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from fastapi_rooms import (
    ConnectionClosed,
    ConnectionManager,
    DisconnectReason,
    Heartbeat,
    Limits,
    Overflow,
    QueueLimits,
    RoomManager,
)
from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import SSE_EXTENSION
from fastapi_rooms.testing import eventually
from fastapi_rooms.transports.sse import SSEResponse, SSEStream
from unit.fakes import SHORT, SOON
from unit.frame_fakes import turns
from unit.stream_fakes import HttpServer

CLOSED = 'data: {"type":"close","code":1000,"reason":""}'
PADDING = b": " + b" " * 2048 + b"\n\n"


@asynccontextmanager
async def streaming(server: HttpServer, *, comment_after: float | None = None) -> AsyncIterator[SSEStream]:
    async with SSEStream(server.scope, server.receive, server.send, comment_after=comment_after) as stream:
        yield stream


@asynccontextmanager
async def accepted(server: HttpServer, *, comment_after: float | None = None) -> AsyncIterator[SSEStream]:
    async with streaming(server, comment_after=comment_after) as stream:
        await stream.websocket.accept(headers=[(b"x-a", b"b")])
        yield stream


# What is on the wire.


async def test_accepting_starts_the_response_with_what_keeps_proxies_from_holding_it_back() -> None:
    server = HttpServer()
    async with accepted(server) as stream:
        assert stream.accepted
        assert server.start["status"] == 200
        assert server.start["headers"] == [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
            (b"connection", b"close"),
            (b"x-a", b"b"),
        ]
        assert server.taken[1:] == [{"type": "http.response.body", "body": PADDING, "more_body": True}]


@pytest.mark.parametrize(("version", "closes"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)])
async def test_only_http_1_knows_connections_that_close(version: str, closes: bool) -> None:
    server = HttpServer(http_version=version)
    async with accepted(server):
        assert ((b"connection", b"close") in server.start["headers"]) is closes


async def test_a_first_event_comes_before_everything_else() -> None:
    server = HttpServer()
    async with streaming(server) as stream:
        stream.first = Payload('{"type":"session"}')
        await stream.websocket.accept()
        await stream.websocket.send_text("later")
        assert server.taken[1]["body"] == PADDING + b'data: {"type":"session"}\n\n'
        assert server.blocks == ["data: later"]


async def test_messages_are_events_without_a_name() -> None:
    server = HttpServer()
    async with accepted(server) as stream:
        await stream.websocket.send_text('{"ü":1}')
        await stream.websocket.send_text("two\nlines")
        assert server.blocks == ['data: {"ü":1}', "data: two\ndata: lines"]


async def test_what_is_binary_cannot_be_sent() -> None:
    async with accepted(HttpServer()) as stream:
        with pytest.raises(UnencodableMessage, match="event stream carries text"):
            await stream.websocket.send_bytes(b"a")


async def test_closing_says_why_and_ends_the_response() -> None:
    server = HttpServer()
    async with accepted(server) as stream:
        await stream.websocket.close(4000, 'the "reason"')
        assert json.loads(server.blocks[0].removeprefix("data: ")) == {
            "type": "close",
            "code": 4000,
            "reason": 'the "reason"',
        }
        assert server.over
        assert await stream.receive() == {"type": "websocket.disconnect", "code": 4000, "reason": ""}


async def test_a_refusal_by_closing_is_a_403() -> None:
    server = HttpServer()
    async with streaming(server) as stream:
        await stream.websocket.close()
        assert [message.get("status") for message in server.taken] == [403, None]
        assert server.over


async def test_a_denial_response_is_the_response() -> None:
    server = HttpServer()
    async with streaming(server) as stream:
        await stream.websocket.receive()
        await stream.websocket.send_denial_response(Response("no", 418))
        assert (server.start["status"], server.taken[1]["body"]) == (418, b"no")


async def test_the_websocket_has_what_the_request_has() -> None:
    server = HttpServer("/live", query_string=b"room=lobby", scheme="https", extensions={"tls": {"a": 1}})
    async with streaming(server) as stream:
        websocket = stream.websocket
        assert (str(websocket.url), websocket.query_params["room"], websocket.headers["x-test"]) == (
            "wss://test/live?room=lobby",
            "lobby",
            "yes",
        )
        assert websocket.scope["extensions"] == {
            "tls": {"a": 1},
            "websocket.http.response": {},
            SSE_EXTENSION: {"stream": stream},
        }
        assert server.scope["type"] == "http"


# What comes up.


async def test_what_is_pushed_is_received_in_order() -> None:
    async with accepted(HttpServer()) as stream:
        pushes = [asyncio.create_task(stream.push(text)) for text in "abc"]
        received = [await stream.websocket.receive_text() for _ in "abc"]
        assert (received, await asyncio.gather(*pushes)) == (["a", "b", "c"], [True] * 3)


async def test_one_message_waits_for_the_reader_and_the_next_push_for_that() -> None:
    async with accepted(HttpServer()) as stream:
        assert await stream.push("a")
        second, third = (asyncio.create_task(stream.push(text)) for text in "bc")
        await turns()
        assert not second.done()
        assert await stream.websocket.receive_text() == "a"
        await turns()
        assert (second.done(), third.done()) == (True, False)
        third.cancel()
        await asyncio.wait((third,))
        assert await stream.websocket.receive_text() == "b"
        assert await stream.push("d")
        assert await stream.websocket.receive_text() == "d"


async def test_a_push_that_is_given_up_is_not_taken_and_the_next_one_is() -> None:
    async with accepted(HttpServer()) as stream:
        await stream.push("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT):
                await stream.push("b")
        assert await stream.websocket.receive_text() == "a"
        assert await stream.push("c")
        assert await stream.websocket.receive_text() == "c"


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with accepted(HttpServer()) as stream:
        receiving = asyncio.create_task(stream.receive())
        await turns()
        receiving.cancel()
        await asyncio.wait((receiving,))
        assert await stream.push("a")
        assert await stream.websocket.receive_text() == "a"


async def test_a_client_that_leaves_is_gone_and_nothing_is_pushed_any_more() -> None:
    server = HttpServer()
    async with accepted(server) as stream:
        await stream.push("a")
        waiting = asyncio.create_task(stream.push("b"))
        await turns()
        server.leave()
        assert await waiting is False
        assert await stream.websocket.receive_text() == "a"  # which was taken
        with pytest.raises(WebSocketDisconnect) as gone:
            await stream.websocket.receive_text()
        assert gone.value.code == 1006
        assert await stream.push("c") is False


async def test_a_client_that_leaves_while_nothing_comes_is_gone() -> None:
    server = HttpServer()
    async with accepted(server) as stream:
        receiving = asyncio.create_task(stream.websocket.receive_text())
        await turns()
        server.leave()
        with pytest.raises(WebSocketDisconnect):
            await receiving


async def test_a_server_that_raises_at_receive_has_lost_the_client() -> None:
    server = HttpServer()
    async with accepted(server) as stream:
        await turns()
        server.error = RuntimeError("receive after the disconnect")
        server.leave()
        with pytest.raises(WebSocketDisconnect):
            await stream.websocket.receive_text()


# Silence.


@pytest.mark.usefixtures("time_by_turns")
async def test_a_silent_stream_has_comments() -> None:
    server = HttpServer()
    async with accepted(server, comment_after=SHORT):
        await eventually(lambda: server.blocks == [": "])
        await eventually(lambda: server.blocks == [": ", ": "])


@pytest.mark.usefixtures("time_by_turns")
async def test_a_stream_that_is_not_silent_has_none() -> None:
    server = HttpServer()
    async with accepted(server, comment_after=SHORT * 4) as stream:
        for _ in range(10):
            await asyncio.sleep(SHORT)
            await stream.websocket.send_text("a")
        assert server.blocks == ["data: a"] * 10
        await eventually(lambda: server.blocks[-1] == ": ")


@pytest.mark.usefixtures("time_by_turns")
async def test_none_is_sent_while_something_else_waits_or_after_the_end() -> None:
    server = HttpServer()
    async with accepted(server, comment_after=SHORT) as stream:
        server.stall()
        sending = asyncio.create_task(stream.websocket.send_text("a"))
        await asyncio.sleep(SHORT * 3)
        assert server.waiting == 1
        server.resume()
        await sending
        await stream.websocket.close()
        await asyncio.sleep(SHORT * 3)
        assert server.blocks == ["data: a", CLOSED]


@pytest.mark.usefixtures("time_by_turns")
async def test_what_is_sent_waits_for_a_comment_that_waits() -> None:
    server = HttpServer()
    async with accepted(server, comment_after=SHORT) as stream:
        server.stall()
        await eventually(lambda: server.waiting == 1)
        sending = asyncio.create_task(stream.websocket.send_text("a"))
        await turns()
        assert server.waiting == 1
        server.resume()
        await sending
        assert server.blocks == [": ", "data: a"]


@pytest.mark.usefixtures("time_by_turns")
async def test_a_comment_that_cannot_be_sent_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    server = HttpServer()
    caplog.set_level("DEBUG", "fastapi_rooms")
    async with accepted(server, comment_after=SHORT):
        await turns()
        server.error = OSError("reset")
        await eventually(lambda: "a comment was not sent" in caplog.text)
    assert server.blocks == []


async def test_leaving_gives_up_a_comment_that_waits() -> None:
    server = HttpServer()
    async with accepted(server, comment_after=SHORT):
        server.stall()
        await eventually(lambda: server.waiting == 1)
    assert server.waiting == 0


# Managers.


def app_of(
    manager: ConnectionManager[Any], *middlewares: Middleware, comment_after: float | None = None, **options: Any
) -> FastAPI:
    """An app whose `/` is an event stream that answers what is pushed."""
    app = FastAPI(middleware=middlewares)
    app.state.stream = None

    async def serve(stream: SSEStream) -> None:
        app.state.stream = stream
        async with manager.connect(stream.websocket, **options) as connection:
            async for message in connection:
                if message == "fail":
                    raise LookupError("on purpose")
                if message == "refuse":
                    raise HTTPException(403, "not you")
                if message == "end":
                    raise WebSocketException(4321, "so it is")
                await connection.send(message)

    @app.get("/", response_class=Response)
    async def events() -> Response:
        return SSEResponse(serve, comment_after=comment_after)

    return app


class Visit:
    """A request to such an app."""

    def __init__(self, app: FastAPI, server: HttpServer) -> None:
        self.app = app
        self.server = server
        self.task = asyncio.create_task(app(server.scope, server.receive, server.send))

    @property
    def stream(self) -> SSEStream:
        stream = self.app.state.stream
        assert isinstance(stream, SSEStream)
        return stream

    async def begun(self) -> "Visit":
        await eventually(lambda: len(self.server.taken) > 1)
        return self

    async def over(self) -> None:
        async with asyncio.timeout(5 * SOON):
            await self.task


@asynccontextmanager
async def visiting(
    manager: ConnectionManager[Any], *middlewares: Middleware, comment_after: float | None = None, **options: Any
) -> AsyncIterator[Visit]:
    visit = Visit(app_of(manager, *middlewares, comment_after=comment_after, **options), HttpServer())
    yield await visit.begun()
    visit.server.leave()
    await visit.over()


async def test_a_manager_serves_a_stream_as_it_serves_a_websocket() -> None:
    manager = RoomManager()
    async with visiting(manager, room="lobby", user_id="ann") as visit:
        await eventually(lambda: len(manager.members_here("lobby")) == 1)
        await visit.stream.push("hello")
        await visit.server.until("data: hello")
        await manager.broadcast("to all", room="lobby")
        await visit.server.until("data: hello", "data: to all")
    assert len(manager) == 0


async def test_broadcasts_of_a_turn_are_one_chunk_of_the_same_bytes_for_all_streams() -> None:
    manager = ConnectionManager()
    async with visiting(manager) as ann, visiting(manager) as bob:
        for number in range(3):
            await manager.broadcast(Payload(str(number), event_id=f"at-{number}"))
        assert ann.server.chunks == []
        await ann.server.until(*(f"id: at-{number}\ndata: {number}" for number in range(3)))
        await bob.server.until(*ann.server.blocks)
        assert len(ann.server.chunks) == 1
        assert ann.server.taken[2] is bob.server.taken[2]


async def test_a_disconnect_says_why() -> None:
    manager = ConnectionManager()
    async with visiting(manager) as visit:
        await manager.connections[0].close(4000, "enough")
        await visit.over()
        assert visit.server.blocks == ['data: {"type":"close","code":4000,"reason":"enough"}']


async def test_a_client_that_leaves_ends_its_connection() -> None:
    manager = ConnectionManager()
    async with visiting(manager) as visit:
        connection = manager.connections[0]
        visit.server.leave()
        await visit.over()
        disconnect = connection.disconnect
        assert disconnect is not None
        assert (disconnect.reason, disconnect.code) == (DisconnectReason.CLIENT, 1006)


async def test_a_refusal_before_accept_is_a_response() -> None:
    manager = ConnectionManager(limits=Limits(connections_per_user=1))
    async with visiting(manager, user_id="ann") as first:
        again = Visit(first.app, HttpServer())
        await again.over()
        assert (again.server.start["status"], again.server.taken[1]["body"]) == (
            429,
            b'{"detail":"too many connections of this user"}',
        )
        assert again.server.over


class Refusing(RoomManager[Any, Any]):
    async def authorize(self, connection: object, room: str) -> bool:
        raise WebSocketException(4321, "not here")


async def test_a_websockets_refusal_before_accept_is_a_403() -> None:
    server = HttpServer()
    visit = Visit(app_of(Refusing(), room="lobby"), server)
    await visit.over()
    assert server.start["status"] == 403


@pytest.mark.parametrize(("message", "code", "reason"), [("end", 4321, "so it is"), ("refuse", 4507, "not you")])
async def test_an_end_that_the_client_is_told_of_is_no_error(message: str, code: int, reason: str) -> None:
    async with visiting(ConnectionManager()) as visit:
        await visit.stream.push(message)
        await visit.over()
        last = json.loads(visit.server.blocks[-1].removeprefix("data: "))
        assert (last["code"], last["reason"]) == (code, reason)


async def test_an_endpoint_that_fails_ends_the_stream_and_raises() -> None:
    visit = await Visit(app_of(ConnectionManager()), HttpServer()).begun()
    await visit.stream.push("fail")
    with pytest.raises(LookupError, match="on purpose"):
        await visit.over()
    assert visit.server.blocks == ['data: {"type":"close","code":1011,"reason":"internal error"}']
    assert visit.server.over


async def test_a_stalled_client_is_dropped_in_time_with_a_bounded_queue() -> None:
    queue = QueueLimits(messages=4, send_timeout=SHORT * 4, close_timeout=SHORT)
    manager = ConnectionManager(queue=queue, overflow=Overflow.DROP_OLDEST)
    async with visiting(manager) as visit:
        connection = manager.connections[0]
        visit.server.stall()
        for number in range(20):
            await manager.broadcast(str(number))
            await asyncio.sleep(0)
        assert connection.statistics().queued <= 4
        await visit.over()
        assert connection.disconnect is not None
        assert connection.disconnect.reason is DisconnectReason.SEND_TIMEOUT
        assert visit.server.aborts == 1


async def test_a_heartbeat_of_pings_leaves_streams_alone() -> None:
    heartbeat = Heartbeat(interval=SHORT, timeout=SHORT, message=None)
    manager = ConnectionManager(heartbeat=heartbeat)
    async with visiting(manager):
        await asyncio.sleep(SHORT * 5)
        assert len(manager) == 1


async def test_a_heartbeat_that_is_a_message_is_answered_by_what_is_pushed() -> None:
    manager = ConnectionManager(heartbeat=Heartbeat(interval=SHORT, timeout=SOON, message="?"))
    async with visiting(manager) as visit:
        await visit.server.until("data: ?")
        await visit.stream.push("!")
        await eventually(lambda: visit.server.blocks[:3] == ["data: ?", "data: !", "data: ?"])


async def ignore(request: Any, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize(
    "middlewares",
    [
        [Middleware(CORSMiddleware, allow_origins=["*"])],
        [Middleware(GZipMiddleware, minimum_size=1)],
        [Middleware(BaseHTTPMiddleware, dispatch=ignore)],
    ],
    ids=["cors", "gzip", "http"],
)
async def test_middlewares_for_responses_are_passed(middlewares: list[Middleware]) -> None:
    manager = ConnectionManager()
    app = app_of(manager, *middlewares)
    server = HttpServer(headers=[(b"origin", b"https://a.example"), (b"accept-encoding", b"gzip")])
    visit = await Visit(app, server).begun()
    await eventually(lambda: len(manager) == 1)
    for text in ("a", "b"):
        await manager.broadcast(text)
    await server.until("data: a", "data: b")
    await manager.connections[0].close()
    await visit.over()
    assert (server.blocks[-1], server.over) == (CLOSED, True)


@pytest.mark.parametrize("middleware", [CORSMiddleware, GZipMiddleware])
async def test_a_stalled_client_can_be_dropped_behind_middlewares_that_are_known(middleware: Any) -> None:
    manager = ConnectionManager()
    app = app_of(manager, Middleware(middleware))
    server = HttpServer(headers=[(b"origin", b"https://a.example"), (b"accept-encoding", b"gzip")])
    visit = await Visit(app, server).begun()
    await eventually(lambda: len(manager) == 1)
    assert manager.connections[0].link.transport.abort()
    await visit.over()
    assert server.aborts == 1


async def test_background_tasks_run_once_the_stream_is_over() -> None:
    app, ran = FastAPI(), asyncio.Event()

    async def serve(stream: SSEStream) -> None:
        await stream.websocket.accept()
        await stream.websocket.close()
        assert not ran.is_set()

    async def run() -> None:
        ran.set()

    @app.get("/", response_class=Response)
    async def events(background: BackgroundTasks) -> Response:
        background.add_task(run)
        return SSEResponse(serve)

    await Visit(app, HttpServer()).over()
    assert ran.is_set()


async def test_a_closed_connection_that_leaves_the_endpoint_is_no_error() -> None:
    manager = ConnectionManager()
    app = FastAPI()

    async def serve(stream: SSEStream) -> None:
        connection = await manager.connect(stream.websocket)
        await connection.close()
        with pytest.raises(ConnectionClosed):
            await connection.send("late")
        await connection.send("late")

    @app.get("/", response_class=Response)
    async def events() -> Response:
        return SSEResponse(serve)

    async with manager.lifespan(app):
        await Visit(app, HttpServer()).over()
