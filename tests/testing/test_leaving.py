import asyncio
from contextlib import nullcontext

import pytest
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.testing import (
    AppHung,
    Buffer,
    Client,
    ClientGone,
    Closed,
    SocketClosed,
    WaitTimeout,
    WebSocketSession,
)
from testing.apps import Endpoint, Puppet, accept, echo


def client_of(app: Endpoint, *, exit_timeout: float = 5, raise_app_exceptions: bool = True) -> Client:
    return Client(
        app,
        lifespan=False,
        buffer=Buffer(messages=1),
        exit_timeout=exit_timeout,
        raise_app_exceptions=raise_app_exceptions,
    )


async def test_closing_gives_the_app_the_code_and_reason_after_every_message() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        await ws.send_text("last")
        await ws.close(4321, "bye")
        assert (await app.receive())["text"] == "last"
        assert await app.receive() == {"type": "websocket.disconnect", "code": 4321, "reason": "bye"}
        app.release()


async def test_after_the_client_closed_the_apps_sends_raise_an_oserror() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        await ws.close()
        for send in (app.text("x"), app.close()):
            with pytest.raises(OSError, match="has left") as caught:
                await send
            assert isinstance(caught.value, ClientGone)
        app.release()


async def test_after_closing_nothing_can_be_sent_and_closing_again_is_harmless() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        await ws.close(1000, "bye")
        await ws.close(1001)
        await ws.vanish()
        assert await ws.wait_closed() == Closed(1000, "bye")
        with pytest.raises(SocketClosed) as caught:
            await ws.send_text("x")
        assert (caught.value.code, caught.value.reason) == (1000, "bye")
        assert ws.unreceived == 1
        app.release()


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (5000, ""), (1006, ""), (1000, "x" * 124)])
async def test_a_close_that_cannot_be_sent_is_refused(code: int, reason: str) -> None:
    async with client_of(echo) as client, client.websocket("/") as ws:
        with pytest.raises(ConfigurationError):
            await ws.close(code, reason)
        assert ws.closed is None


async def test_vanishing_gives_the_app_1006_and_its_sends_raise() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        await ws.vanish()
        assert await app.receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        with pytest.raises(ClientGone):
            await app.text("x")
        with pytest.raises(SocketClosed):
            await ws.receive()
        app.release()


async def test_vanishing_silently_tells_nobody_until_the_block_ends() -> None:
    app = Puppet()
    async with client_of(app) as client:
        async with client.websocket("/") as ws:
            await ws.vanish(silent=True)
            await app.text("fills the buffer")
            sending = asyncio.create_task(app.text("blocks"))
            await ws.wait_blocked()
            ws.resume()
            assert ws.blocked_sends == 1
            assert ws.unreceived == 0
            with pytest.raises(SocketClosed):
                await ws.receive()
            with pytest.raises(SocketClosed):
                await ws.send_text("x")
            app.release()
        assert (await app.receive())["code"] == 1006
        with pytest.raises(ClientGone):
            await sending


async def test_an_app_that_closes_for_a_client_that_vanished_silently_changes_nothing_for_it() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        await ws.vanish(silent=True)
        await app.close(4008)
        assert ws.closed == Closed(1006)
        assert (await app.receive())["code"] == 4008
        app.release()


async def test_the_apps_close_ends_receiving_after_everything_that_came_before() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        await app.text("last")
        await app.close(4001, "expired")
        assert await ws.wait_closed() == Closed(4001, "expired")
        assert await ws.receive() == "last"
        with pytest.raises(SocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "expired")
        assert await app.receive() == {"type": "websocket.disconnect", "code": 4001, "reason": "expired"}
        app.release()


async def test_waiting_for_a_message_ends_when_the_app_closes() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        waiting = asyncio.create_task(ws.receive())
        await asyncio.sleep(0)
        await app.close()
        with pytest.raises(SocketClosed):
            await waiting
        app.release()


async def test_an_app_that_returns_without_closing_drops_the_socket() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "last"})

    async with client_of(app) as client, client.websocket("/") as ws:
        assert await ws.receive() == "last"
        assert await ws.wait_closed() == Closed(1006)
        await ws.wait_app_done()


async def test_a_stalled_client_learns_that_the_app_returned_after_what_it_has_not_read() -> None:
    app = Puppet()
    async with client_of(app) as client, client.websocket("/") as ws:
        ws.stall()
        await app.text("unread")
        app.release()
        await ws.wait_app_done()
        assert ws.closed is None
        ws.resume()
        assert await ws.receive() == "unread"
        assert ws.closed == Closed(1006)
        assert (await app.receive())["code"] == 1006
        with pytest.raises(ClientGone):
            await app.text("a task that outlives its endpoint")


async def codes_seen(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    scope["state"]["codes"].append((await receive())["code"])


@pytest.mark.parametrize(("error", "code"), [(None, 1000), (KeyError("of the test"), 1001)])
async def test_leaving_the_block_closes_what_is_open(error: KeyError | None, code: int) -> None:
    async with client_of(codes_seen) as client:
        client.state["codes"] = []
        with pytest.raises(KeyError) if error else nullcontext():
            async with client.websocket("/"):
                if error is not None:
                    raise error
        assert client.state["codes"] == [code]


async def test_an_endpoint_that_does_not_end_is_cancelled_and_reported() -> None:
    app = Puppet()
    async with client_of(app, exit_timeout=0.01) as client:
        sessions: list[WebSocketSession] = []
        with pytest.raises(AppHung, match=r"the WebSocket /hangs was still running .* it was cancelled$"):
            async with client.websocket("/hangs") as ws:
                sessions.append(ws)
        assert sessions[0].app_task.cancelled()


async def test_an_endpoint_that_ignores_its_cancellation_is_reported_as_such() -> None:
    released = asyncio.Event()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async with client_of(stubborn, exit_timeout=0.01) as client:
        sessions: list[WebSocketSession] = []
        with pytest.raises(AppHung, match="runs on all the same"):
            async with client.websocket("/") as ws:
                sessions.append(ws)
        released.set()
        await asyncio.wait({sessions[0].app_task})


async def test_an_endpoint_that_fails_when_it_is_cancelled_is_reported_as_hung() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyError("while being cancelled")

    async with client_of(app, exit_timeout=0.01) as client:
        with pytest.raises(AppHung):
            async with client.websocket("/"):
                pass


async def test_if_the_test_is_cancelled_at_the_end_of_the_block_the_endpoint_is_too() -> None:
    sessions: list[WebSocketSession] = []
    in_the_block = asyncio.Event()

    async def leave() -> None:
        async with client.websocket("/") as ws:
            sessions.append(ws)
            in_the_block.set()

    async with client_of(Puppet()) as client:
        leaving = asyncio.create_task(leave())
        await in_the_block.wait()
        leaving.cancel()
        await asyncio.wait({leaving})
        assert leaving.cancelled()
        assert sessions[0].app_task.cancelled()


async def test_an_endpoint_that_the_test_cancels_is_no_error() -> None:
    async with client_of(Puppet()) as client, client.websocket("/") as ws:
        ws.app_task.cancel()
        assert await ws.wait_closed() == Closed(1006)


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    raise LookupError("of the app")


async def test_what_the_app_raises_is_raised_at_the_end_of_the_block() -> None:
    async with client_of(fails) as client:
        with pytest.raises(LookupError, match="of the app"):
            async with client.websocket("/") as ws:
                assert await ws.wait_closed() == Closed(1006)


async def test_what_the_app_raises_replaces_what_follows_from_it() -> None:
    async with client_of(fails) as client:
        with pytest.raises(LookupError) as caught:
            async with client.websocket("/") as ws:
                await ws.receive()
        assert isinstance(caught.value.__context__, SocketClosed)


async def test_what_the_app_raises_is_a_note_on_an_error_of_the_test() -> None:
    async with client_of(fails) as client:
        with pytest.raises(KeyError) as caught:
            async with client.websocket("/"):
                raise KeyError("of the test")
        assert caught.value.__notes__ == ["The app failed too: LookupError('of the app')"]


async def test_without_raise_app_exceptions_the_client_sees_what_a_client_sees() -> None:
    async with client_of(fails, raise_app_exceptions=False) as client, client.websocket("/") as ws:
        with pytest.raises(SocketClosed, match="1006"):
            await ws.receive()


async def test_an_app_that_hangs_is_reported_without_raise_app_exceptions_too() -> None:
    async with client_of(Puppet(), raise_app_exceptions=False, exit_timeout=0.01) as client:
        with pytest.raises(AppHung):
            async with client.websocket("/"):
                pass


async def test_an_app_that_ends_because_its_client_left_has_not_failed() -> None:
    async def sends_for_ever(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while True:
            await send({"type": "websocket.send", "text": "x"})
            await asyncio.sleep(0)

    async def as_starlette_does(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        raise WebSocketDisconnect((await receive())["code"])

    for app in (sends_for_ever, as_starlette_does):
        async with client_of(app) as client, client.websocket("/"):
            pass


async def test_a_disconnect_that_no_client_caused_is_a_failure() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise WebSocketDisconnect(1000)

    async with client_of(app) as client:
        with pytest.raises(WebSocketDisconnect):
            async with client.websocket("/"):
                pass  # pragma: no cover - never entered


async def test_an_error_of_the_test_ends_the_endpoint_all_the_same() -> None:
    sessions: list[WebSocketSession] = []

    async def waits_in_vain() -> None:
        async with client.websocket("/") as ws:
            sessions.append(ws)
            await ws.receive(timeout=0.01)

    async with client_of(echo) as client:
        with pytest.raises(WaitTimeout):
            await waits_in_vain()
        assert sessions[0].app_task.done()


async def test_shutting_down_closes_every_socket_with_1012_as_uvicorn_does() -> None:
    async with client_of(codes_seen) as client:
        client.state["codes"] = []
        async with client.websocket("/1") as first, client.websocket("/2") as second:
            await client.shut_down()
            assert await first.wait_closed() == await second.wait_closed() == Closed(1012)
        assert client.state["codes"] == [1012, 1012]
        with pytest.raises(ConfigurationError, match="not running"):
            await client.get("/")


async def test_shutting_down_reports_the_endpoints_that_do_not_end() -> None:
    client = client_of(Puppet(), exit_timeout=0.01)
    async with client, client.websocket("/b"), client.websocket("/a") as ws:
        with pytest.raises(AppHung, match="the WebSocket /a, the WebSocket /b"):
            await client.shut_down()
        assert ws.app_task.cancelled()
