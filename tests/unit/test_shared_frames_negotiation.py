"""What a client and `SharedFramesProtocol` agree on, and what it does on a uvicorn that it does not know."""

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

from fastapi_rooms.errors import MissingExtra
from fastapi_rooms.frames import LEAST_COMPRESSED, PLAIN
from fastapi_rooms.ports import SHARED_FRAMES_EXTENSION
from fastapi_rooms.transports import shared_frames
from fastapi_rooms.transports.shared_frames import is_known
from unit.frame_fakes import BINARY, TEXT, OnWire, turns
from unit.frame_sessions import Session, Visit

Open = Callable[..., Awaitable[Visit]]

LARGE = '{"name":"somebody","text":"hello"},' * 200
OFFER = ClientPerMessageDeflateFactory


@pytest.fixture
async def visit() -> AsyncIterator[Open]:
    """Opens connections, and leaves nothing of them."""
    visits: list[Visit] = []

    async def visit(*offers: ClientPerMessageDeflateFactory, **options: Any) -> Visit:
        visits.append(Visit(extensions=offers or None, **options))
        await visits[-1].open()
        return visits[-1]

    yield visit
    for one in visits:
        await one.finish()


@pytest.fixture
def unknown_uvicorn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """uvicorn has a version that nobody has seen yet."""
    is_known.cache_clear()
    shared_frames._warn_once.cache_clear()
    monkeypatch.setattr(uvicorn, "__version__", "9.8.7")
    yield
    is_known.cache_clear()
    shared_frames._warn_once.cache_clear()


def deflate_of(one: Session) -> str:
    """What the answer to the handshake says of extensions."""
    return one.response.headers.get("Sec-WebSocket-Extensions", "")


async def test_a_client_that_offers_nothing_gets_everything_plain(visit: Open) -> None:
    one = await visit()
    one.gather(LARGE)
    await turns(1)
    assert (one.protocol.window_bits, one.transport.window_bits, deflate_of(one)) == (PLAIN, PLAIN, "")
    assert one.frames == [OnWire(TEXT, LARGE.encode())]


@pytest.mark.parametrize(("offered", "agreed"), [(None, 12), (9, 9), (10, 10), (11, 11), (12, 12), (15, 12)])
async def test_the_smaller_window_is_agreed_on(visit: Open, offered: int | None, agreed: int) -> None:
    one = await visit(OFFER(server_max_window_bits=offered))
    assert one.transport.window_bits == agreed
    one.gather(LARGE, "small")
    await turns(1)
    assert [frame.compressed for frame in one.frames] == [True, False]
    assert one.read() == [LARGE, "small"]
    assert f"server_max_window_bits={agreed}" in deflate_of(one)


async def test_for_a_window_that_zlib_cannot_do_nothing_is_compressed(visit: Open) -> None:
    one = await visit(OFFER(server_max_window_bits=8))
    one.gather(LARGE)
    await turns(1)
    assert (deflate_of(one), one.transport.window_bits) == ("", PLAIN)
    assert (one.frames, one.read()) == ([OnWire(TEXT, LARGE.encode())], [LARGE])


async def test_a_window_that_zlib_cannot_do_is_declined_where_websockets_takes_it(
    visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepts = ServerPerMessageDeflateFactory.process_request_params

    def accepts_all(self: ServerPerMessageDeflateFactory, *_: Any) -> Any:
        answer, extension = accepts(self, [("server_max_window_bits", "9")], [])
        extension.local_max_window_bits = 8  # as before websockets 17.2
        return answer, extension

    monkeypatch.setattr(ServerPerMessageDeflateFactory, "process_request_params", accepts_all)
    one = await visit(OFFER(server_max_window_bits=8))
    assert (deflate_of(one), one.transport.window_bits) == ("", PLAIN)


async def test_no_message_refers_to_one_before_it_in_either_direction(visit: Open) -> None:
    one = await visit(OFFER())
    assert "server_no_context_takeover" in deflate_of(one)
    assert "client_no_context_takeover" in deflate_of(one)


async def test_messages_of_all_kinds_arrive_compressed_in_both_directions(visit: Open) -> None:
    one = await visit(OFFER(compress_settings={"level": 9}))
    for text in (LARGE, "x" * LEAST_COMPRESSED, "x" * (LEAST_COMPRESSED - 1), ""):
        one.gather(text)
        one.client.send_text(text.encode())
        one.transmit()
        assert await one.transport.receive() == text
    await turns(1)
    assert [frame.compressed for frame in one.frames] == [True, True, False, False]
    assert one.read() == [LARGE, "x" * LEAST_COMPRESSED, "x" * (LEAST_COMPRESSED - 1), ""]


async def test_what_the_endpoint_sends_itself_is_read_beside_shared_frames(visit: Open) -> None:
    one = await visit(OFFER(server_max_window_bits=9))
    for _ in range(2):
        one.gather(LARGE)
        await one.websocket.send_bytes(LARGE.encode())
    assert one.read() == [LARGE, LARGE.encode()] * 2
    assert [frame.opcode for frame in one.frames] == [TEXT, BINARY] * 2


async def test_other_extensions_do_not_hide_the_window(visit: Open) -> None:
    one = await visit(OFFER())
    one.protocol.conn.extensions.insert(0, Extension())
    assert one.protocol.window_bits == 12


async def test_uvicorns_own_switch_turns_compression_off(visit: Open) -> None:
    one = await visit(OFFER(), ws_per_message_deflate=False)
    one.gather(LARGE)
    await turns(1)
    assert (deflate_of(one), one.frames) == ("", [OnWire(TEXT, LARGE.encode())])


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.51.9", False),
        ("0.52.0", False),
        ("0.52.1", True),
        ("0.53", True),
        ("0.54.0", True),
        ("0.54.3", True),
        ("0.54.0.dev1", True),
        ("0.54.99", True),
        ("0.55", False),
        ("0.55.0", False),
        ("0.55.0rc1", False),
        ("0.60", False),
        ("1.0", False),
        ("1.54.0", False),
    ],
)
def test_a_version_is_known_or_not(version: str, known: bool) -> None:
    assert is_known(version) is known


def test_the_uvicorn_that_these_tests_run_on_is_known() -> None:
    assert is_known(uvicorn.__version__)


async def echo_with(extensions: list[object], scope: Scope, receive: Receive, send: Send) -> None:
    """Note which extensions the server offers, and echo one message."""
    extensions.append(dict(scope["extensions"]))
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@pytest.mark.usefixtures("unknown_uvicorn")
async def test_an_unknown_uvicorn_is_warned_of_once_and_serves_in_its_own_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo_with(seen, scope, receive, send)

    sessions = [Session(app, extensions=[OFFER()]) for _ in range(3)]
    for one in sessions:
        await one.open()
        one.client.send_text(b"hello")
        one.transmit()
        await turns()
        assert one.read() == ["hello"]
        assert "server_no_context_takeover" not in deflate_of(one)
        await one.finish()
    assert [SHARED_FRAMES_EXTENSION in extensions for extensions in seen] == [False] * 3
    (warning,) = [record for record in caplog.records if record.name == "fastapi_rooms"]
    assert warning.levelno == logging.WARNING
    assert "9.8.7" in warning.message
    assert "0.52.1 up to, not including, 0.55" in warning.message


@pytest.mark.usefixtures("unknown_uvicorn")
@pytest.mark.parametrize("end", ["shutdown", "keepalive_timeout", "pause_writing", "resume_writing"])
async def test_on_an_unknown_uvicorn_its_own_events_are_no_trouble(end: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        assert (await websocket.receive())["type"] == "websocket.disconnect"

    one = Session(app)
    await one.open()
    getattr(one.protocol, end)()
    one.protocol.ping()
    await one.finish()
    assert not one.state.connections


async def test_a_known_uvicorn_offers_itself_and_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo_with(seen, scope, receive, send)

    one = Session(app)
    await one.open()
    one.client.send_text(b"hello")
    one.transmit()
    await turns()
    assert one.read() == ["hello"]
    assert seen[0][SHARED_FRAMES_EXTENSION] == {"server": one.protocol}
    await one.finish()
    assert not [record for record in caplog.records if record.name == "fastapi_rooms"]


@pytest.mark.parametrize("missing", ["uvicorn", "websockets.frames"])
def test_without_uvicorn_or_websockets_it_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, shared_frames.__name__)
    with pytest.raises(MissingExtra, match=r"SharedFramesProtocol.*fastapi-rooms\[uvicorn\]"):
        import_module(shared_frames.__name__)
