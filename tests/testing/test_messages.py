import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.testing import (
    Client,
    ProtocolViolation,
    SocketClosed,
    UnexpectedMessage,
    WaitTimeout,
    eventually,
)
from testing.apps import Puppet, echo


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(echo) as client:
        yield client


async def test_text_and_bytes_and_json_arrive_as_they_were_sent(client: Client) -> None:
    async with client.websocket("/") as ws:
        await ws.send_text("hi")
        await ws.send_bytes(b"")
        await ws.send_json({"ü": [1]})
        assert await ws.receive_text() == "hi"
        assert await ws.receive_bytes() == b""
        assert await ws.receive_json(timeout=1) == {"ü": [1]}


async def test_receive_takes_either_kind_in_order(client: Client) -> None:
    async with client.websocket("/") as ws:
        for message in ("a", b"b", "c"):
            await ws.send(message)
        assert [await ws.receive() for _ in range(3)] == ["a", b"b", "c"]


async def test_the_app_sees_one_key_per_message_as_on_uvicorn() -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        await ws.send_text("a")
        await ws.send_bytes(b"b")
        assert await app.receive() == {"type": "websocket.receive", "text": "a"}
        assert await app.receive() == {"type": "websocket.receive", "bytes": b"b"}
        app.release()


async def test_json_may_come_in_a_binary_message(client: Client) -> None:
    async with client.websocket("/") as ws:
        await ws.send_bytes(b"[1]")
        assert await ws.receive_json() == [1]


@pytest.mark.parametrize(
    ("sent", "method"), [(b"x", "receive_text"), ("x", "receive_bytes"), ("x", "receive_json")]
)
async def test_a_message_of_another_kind_is_reported_with_its_content(
    client: Client, sent: str | bytes, method: str
) -> None:
    async with client.websocket("/") as ws:
        await ws.send(sent)
        with pytest.raises(UnexpectedMessage, match="'x'") as caught:
            await getattr(ws, method)()
        assert isinstance(caught.value, AssertionError)
        assert isinstance(caught.value, RoomsError)


@pytest.mark.parametrize(
    ("method", "awaited"),
    [
        ("receive", "a message"),
        ("receive_text", "a text message"),
        ("receive_bytes", "a binary message"),
        ("receive_json", "a JSON message"),
        ("wait_closed", "the close"),
        ("wait_blocked", "a send of the app to block"),
        ("wait_app_done", "the app to return"),
    ],
)
async def test_a_wait_that_is_in_vain_says_what_was_awaited(client: Client, method: str, awaited: str) -> None:
    async with client.websocket("/rooms/lobby") as ws:
        with pytest.raises(WaitTimeout, match=awaited) as caught:
            await getattr(ws, method)(timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert str(caught.value) == f"waited 0.01 s for {awaited} on the WebSocket /rooms/lobby"


@pytest.mark.usefixtures("time_by_turns")
async def test_the_clients_timeout_is_the_default() -> None:
    async with Client(echo, timeout=0.01) as client, client.websocket("/") as ws:
        with pytest.raises(WaitTimeout, match=r"0\.01 s"):
            await ws.receive()


async def test_receive_nothing_returns_if_nothing_comes(client: Client) -> None:
    async with client.websocket("/") as ws:
        await ws.receive_nothing(within=0.01)


async def test_receive_nothing_complains_about_a_message_and_about_a_close(client: Client) -> None:
    async with client.websocket("/") as ws:
        await ws.send_text("x")
        with pytest.raises(UnexpectedMessage, match="'x'"):
            await ws.receive_nothing()
        await ws.close(1001)
        with pytest.raises(UnexpectedMessage, match="1001"):
            await ws.receive_nothing()


async def test_take_received_gives_what_has_come_without_waiting() -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        assert ws.take_received() == []
        await app.text("a")
        await app.text("b")
        assert ws.take_received() == ["a", "b"]
        app.release()


async def test_a_cancelled_receive_loses_nothing(client: Client) -> None:
    async with client.websocket("/") as ws:
        waiting = asyncio.create_task(ws.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await ws.send_text("kept")
        assert await ws.receive() == "kept"
        assert waiting.cancelled()


async def test_a_cancelled_receive_of_the_app_loses_nothing() -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        waiting = asyncio.create_task(app.receive())
        await asyncio.sleep(0)
        await ws.send_text("kept")  # the app's receive is due, and cancelled before it runs
        waiting.cancel()
        await asyncio.wait({waiting})
        assert ws.unreceived == 1
        assert (await app.receive())["text"] == "kept"
        app.release()


async def test_lone_surrogates_are_not_sent_by_either_side(client: Client) -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        with pytest.raises(UnicodeEncodeError):
            await ws.send_text("\ud800")
        with pytest.raises(UnicodeEncodeError):
            await app.text("\ud800")
        app.release()


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": None, "bytes": None},
        {"type": "websocket.send", "text": "a", "bytes": b"a"},
        {"type": "websocket.send", "text": b"a"},
        {"type": "websocket.send", "bytes": bytearray(b"a")},
        {"type": "websocket.accept"},
        {"type": "http.response.start"},
        {"type": "websocket.close", "code": 1006},
        {"type": "websocket.close", "code": 999},
        {"type": "websocket.close", "reason": "ü" * 62},
    ],
)
async def test_what_a_server_would_not_take_raises_in_the_app(message: dict[str, Any]) -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        with pytest.raises(ProtocolViolation):
            await app.send(message)
        assert ws.closed is None
        app.release()


async def test_an_unused_key_may_be_none() -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        await app.send({"type": "websocket.send", "text": "a", "bytes": None})
        await app.send({"type": "websocket.send", "text": None, "bytes": b"b"})
        assert ws.take_received() == ["a", b"b"]
        app.release()


async def test_a_session_shows_its_state(client: Client) -> None:
    async with client.websocket("/rooms/lobby") as ws:
        assert repr(ws) == "<the WebSocket /rooms/lobby: open>"
        await ws.close(1000, "bye")
        assert repr(ws) == "<the WebSocket /rooms/lobby: Closed(code=1000, reason='bye')>"
        with pytest.raises(SocketClosed, match="1000 bye"):
            await ws.receive()


async def test_eventually_waits_for_what_no_message_announces() -> None:
    app = Puppet()
    async with Client(app, lifespan=False) as client, client.websocket("/") as ws:
        await eventually(lambda: True, timeout=0)
        asyncio.get_running_loop().call_later(0.01, app.release)
        await eventually(ws.app_task.done)


async def test_eventually_gives_up_and_says_what_was_awaited() -> None:
    with pytest.raises(WaitTimeout, match=r"waited 0\.01 s for a miracle"):
        await eventually(lambda: False, timeout=0.01, awaited="a miracle")


async def test_many_clients_share_one_loop(client: Client) -> None:
    async def one(number: int) -> str:
        async with client.websocket(f"/{number}") as ws:
            await ws.send_text(str(number))
            return await ws.receive_text()

    assert await asyncio.gather(*map(one, range(200))) == [str(number) for number in range(200)]
