import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.testing import (
    Buffer,
    Client,
    ClientGone,
    Closed,
    ProtocolViolation,
    SocketClosed,
    WaitTimeout,
    WebSocketSession,
)
from fastapi_rooms.testing.pipe import READ_AHEAD
from testing.apps import Puppet


@pytest.fixture
def app() -> Puppet:
    return Puppet()


@pytest.fixture
async def ws(app: Puppet) -> AsyncIterator[WebSocketSession]:
    buffer = Buffer(messages=2, bytes=10)
    async with Client(app, lifespan=False, buffer=buffer) as client, client.websocket("/") as ws:
        yield ws
        app.release()


async def blocked(app: Puppet, text: str, ws: WebSocketSession) -> asyncio.Task[None]:
    before = ws.blocked_sends
    task = asyncio.create_task(app.text(text))
    await asyncio.sleep(0)
    assert ws.blocked_sends == before + 1
    return task


async def test_sends_never_suspend_while_the_client_reads(app: Puppet, ws: WebSocketSession) -> None:
    for _ in range(1000):
        step = app.text("x")
        with pytest.raises(StopIteration):
            step.send(None)
    assert len(ws.take_received()) == 1000


async def test_a_stalled_client_blocks_the_send_after_its_buffer_is_full(
    app: Puppet, ws: WebSocketSession
) -> None:
    ws.stall()
    await app.text("1")
    await app.text("2")
    third = await blocked(app, "3", ws)
    await ws.wait_blocked()
    assert ws.unread == 2
    ws.resume()
    await third
    assert [await ws.receive() for _ in range(3)] == ["1", "2", "3"]
    assert ws.unread == 0


async def test_the_buffer_counts_bytes_as_encoded_too(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("üüüüü")
    sending = await blocked(app, "x", ws)
    ws.resume()
    await sending


async def test_a_buffer_without_bounds_never_blocks(app: Puppet) -> None:
    buffer = Buffer(messages=None, bytes=None)
    async with Client(app, lifespan=False) as client, client.websocket("/", buffer=buffer) as ws:
        ws.stall()
        for _ in range(1000):
            await app.text("x" * 1000)
        assert ws.unread == 1000
        app.release()


async def test_a_buffer_of_no_messages_blocks_the_first_send(app: Puppet) -> None:
    async with (
        Client(app, lifespan=False) as client,
        client.websocket("/", buffer=Buffer(messages=0)) as ws,
    ):
        ws.stall()
        sending = await blocked(app, "1", ws)
        ws.resume()
        await sending
        app.release()


@pytest.mark.parametrize("bounds", [{"messages": -1}, {"bytes": -1}])
def test_a_negative_bound_is_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="0 or more"):
        Buffer(**bounds)


async def test_sends_that_are_blocked_go_on_in_their_order(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("0" * 10)
    sending = [await blocked(app, str(number), ws) for number in range(1, 5)]
    ws.resume()
    await app.text("5")
    assert ws.take_received() == ["0" * 10, "1", "2", "3", "4", "5"]
    await asyncio.gather(*sending)


async def test_a_stalled_client_receives_what_came_before_and_waits_for_the_rest(
    app: Puppet, ws: WebSocketSession
) -> None:
    await app.text("before")
    ws.stall()
    await app.text("after")
    assert await ws.receive() == "before"
    with pytest.raises(WaitTimeout, match=r"stalled: resume\(\)"):
        await ws.receive(timeout=0.01)
    ws.resume()
    assert await ws.receive() == "after"


async def test_a_blocked_send_waits_on_one_plain_future_and_can_be_stepped_by_hand(
    app: Puppet, ws: WebSocketSession
) -> None:
    ws.stall()
    await app.text("x" * 10)
    step = app.text("by hand")
    future = step.send(None)
    assert type(future) is asyncio.get_running_loop().create_future().__class__
    ws.resume()
    assert future.done()
    with pytest.raises(StopIteration):
        step.send(None)
    assert ws.take_received() == ["x" * 10, "by hand"]


async def test_a_blocked_send_that_is_closed_by_hand_sends_nothing(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("x" * 10)
    step = app.text("never")
    step.send(None)
    step.close()
    assert ws.blocked_sends == 0
    ws.resume()
    assert ws.take_received() == ["x" * 10]


async def test_a_blocked_send_that_is_cancelled_sends_nothing(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("x" * 10)
    sending = await blocked(app, "never", ws)
    sending.cancel()
    ws.resume()  # before the cancelled task runs
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert ws.take_received() == ["x" * 10]


async def test_the_apps_close_blocks_too_and_arrives_in_order(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("x" * 10)
    closing = asyncio.create_task(app.close(1001, "bye"))
    await ws.wait_blocked()
    assert ws.closed is None
    ws.resume()
    assert await ws.wait_closed() == Closed(1001, "bye")
    await closing
    assert await ws.receive() == "x" * 10
    with pytest.raises(SocketClosed):
        await ws.receive()


async def test_a_stalled_client_learns_of_a_close_only_when_it_reads(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.close(4000)
    assert ws.closed is None
    await ws.send_text("too late: discarded")
    assert await app.receive() == {"type": "websocket.disconnect", "code": 4000, "reason": ""}
    ws.resume()
    assert ws.closed == Closed(4000)


async def test_a_stalled_client_that_closes_after_the_server_did_keeps_its_own_code(
    app: Puppet, ws: WebSocketSession
) -> None:
    ws.stall()
    await app.close(4000)
    await ws.close(1000)
    assert ws.closed == Closed(1000)
    ws.resume()
    assert ws.closed == Closed(1000)
    assert ws.unreceived == 1


async def test_after_the_apps_close_blocked_sends_behind_it_raise(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("x" * 10)
    closing = asyncio.create_task(app.close(1001))
    await ws.wait_blocked()
    sending = await blocked(app, "behind", ws)
    ws.resume()
    await closing
    with pytest.raises(ClientGone):
        await sending
    with pytest.raises(ProtocolViolation, match="after the end"):
        await app.text("later")


async def test_when_a_stalled_client_leaves_its_blocked_sends_raise(app: Puppet, ws: WebSocketSession) -> None:
    ws.stall()
    await app.text("x" * 10)
    sending = await blocked(app, "never", ws)
    closing = asyncio.create_task(app.close())
    await ws.close()
    for task, kind in ((sending, "websocket.send"), (closing, "websocket.close")):
        with pytest.raises(ClientGone, match=kind):
            await task
    assert ws.take_received() == []


async def test_a_send_that_is_cancelled_as_the_client_leaves_is_just_cancelled(
    app: Puppet, ws: WebSocketSession
) -> None:
    ws.stall()
    await app.text("x" * 10)
    sending = await blocked(app, "never", ws)
    sending.cancel()
    await ws.vanish()
    await asyncio.wait({sending})
    assert sending.cancelled()


async def test_even_a_client_that_reads_takes_a_bounded_amount_ahead_of_the_test(
    app: Puppet, ws: WebSocketSession
) -> None:
    chunk = "x" * (READ_AHEAD.bytes or 0)
    await app.text(chunk)
    sending = await blocked(app, "next", ws)
    assert await ws.receive() == chunk
    await sending
    assert await ws.receive() == "next"
