"""A client and a hub that says what the test wants: connecting, and coming back."""

import asyncio
import time

import pytest

from fastapi_rooms.client import (
    CannotOpen,
    ClientClosed,
    Joined,
    RequestTimeout,
    RoomsClient,
)
from unit.fakes import SHORT, SOON

from .scripted import AT_ONCE, connected, scripted, talking
from .serving import within


async def test_it_connects_in_the_background_and_says_so() -> None:
    async with talking() as (client, hub):
        states = client.states()
        assert (client.state, client.user, client.connection) == ("connecting", None, None)
        assert await anext(states) == "connecting"
        await connected(hub)
        await client.connected()
        assert (client.state, client.user, client.connection) == ("connected", "ann", "c")
        assert await anext(states) == "connected"
    assert client.state == "closed"
    assert [state async for state in states] == ["closed"]


async def test_leaving_says_goodbye() -> None:
    async with talking() as (client, hub):
        line = await connected(hub)
        await client.connected()
        await client.close()
        assert await line.closed == 1000
        await client.close()


async def test_states_are_told_to_callbacks() -> None:
    states: list[str] = []
    async with talking() as (client, hub):
        client.on_state(states.append)
        client.on_error(lambda _: None)
        line = await connected(hub)
        await client.connected()
        line.drop()
        await connected(hub)
        await client.connected()
    assert states == ["connected", "waiting", "connecting", "connected", "closed"]


async def test_a_connection_that_breaks_is_made_anew_and_rooms_are_joined_again() -> None:
    async with talking() as (client, hub):
        problems: list[Exception] = []
        joins: list[Joined] = []
        client.on_error(problems.append)
        lobby = client.join("lobby", since="3.x")
        lobby.on_joined(joins.append)
        line = await connected(hub)
        assert (await line.admit(position="4.x", recovered=True))["since"] == "3.x"
        await line.say({"type": "message", "room": "lobby", "event": "said", "data": 1, "position": "5.x"})
        assert (await anext(lobby)).data == 1
        assert lobby.position == "5.x"
        line.drop()
        line = await connected(hub)
        assert (await line.admit(recovered=False, reason="expired"))["since"] == "5.x"
        assert await lobby.joined() == Joined(recovered=False, reason="expired", again=True)
        assert joins == [
            Joined(position="4.x", recovered=True),
            Joined(recovered=False, reason="expired", again=True),
        ]
        assert len(problems) == 1


@pytest.mark.parametrize("code", [1012, 4001, 4008])
async def test_it_comes_back_after_a_close_code_that_says_so(code: int) -> None:
    async with talking(token=lambda: "t") as (client, hub):
        line = await connected(hub)
        await line.close(code)
        await connected(hub)
        await client.connected()


async def test_a_close_code_that_says_so_is_the_end_of_it() -> None:
    async with talking() as (client, hub):
        lobby = client.join("lobby")
        line = await connected(hub)
        await line.admit()
        await lobby.joined()
        await line.close(4507, "signed out")
        with pytest.raises(ClientClosed, match="signed out") as closed:
            await anext(lobby)
        assert (closed.value.code, closed.value.close_code) == ("closed", 4507)
        assert client.state == "closed"
        for work in (client.connected(), lobby.joined(), lobby.send("say"), anext(client.messages)):
            with pytest.raises(ClientClosed):
                await work
        with pytest.raises(ClientClosed):
            client.join("other")
        assert hub.opened == 1


async def test_the_hub_may_say_when_to_come_back() -> None:
    async with talking() as (client, hub):
        line = await connected(hub)
        await client.connected()
        await line.say({"type": "going-away", "delay": 0.3})
        await line.say({"type": "ping"})
        await line.hear("pong")
        assert client.state == "connected"
        began = time.monotonic()
        await line.close(1012)
        await connected(hub)
        assert time.monotonic() - began >= 0.29


async def test_a_silent_server_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.conversation.PATIENCE", SHORT)
    async with talking() as (_, hub):
        line = await connected(hub, heartbeat=SHORT)
        await line.hear("ping")
        assert await line.closed == 1006
        await connected(hub)


async def test_a_server_that_answers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.conversation.PATIENCE", SOON)
    async with talking() as (_, hub):
        line = await connected(hub, heartbeat=SHORT)
        for _ in range(3):
            await line.hear("ping")
            await line.say({"type": "pong"})
        assert hub.opened == 1


async def test_a_hub_that_does_not_say_connected_is_given_up() -> None:
    async with talking(connect_timeout=0.5) as (_, hub):
        line, _ = await hub.asked()
        assert await line.closed == 1006
        await hub.asked()


@pytest.mark.parametrize("broken", ["no JSON", b"\x00", "[3]"])
async def test_a_broken_message_ends_the_connection_and_it_comes_back(broken: str | bytes) -> None:
    async with talking() as (_, hub):
        line = await connected(hub)
        await line.say_raw(broken)
        assert await line.closed == 1006
        await connected(hub)


async def test_a_server_that_does_not_speak_the_protocol_is_told_of() -> None:
    problems: asyncio.Queue[str] = asyncio.Queue()
    async with scripted(protocol=None) as hub, RoomsClient(hub.url, transport="websocket", **AT_ONCE) as client:
        client.on_error(lambda error: problems.put_nowait(str(error)))
        async with asyncio.timeout(SOON):
            assert await problems.get() == "the server does not speak rooms.v1.json"


async def test_a_server_that_is_not_there_is_told_of_until_it_is() -> None:
    problems: asyncio.Queue[Exception] = asyncio.Queue()
    async with scripted() as hub:
        url = hub.url
    async with RoomsClient(url, **AT_ONCE) as client, asyncio.timeout(SOON):
        client.on_error(problems.put_nowait)
        assert {type(await problems.get()) for _ in range(4)} == {CannotOpen}
        assert client.state in ("waiting", "connecting")
        with pytest.raises(RequestTimeout) as late:
            await client.send("say", timeout=SHORT)
        assert not late.value.sent


GIVEN_UP = "given up before it was asked"
"""What is taken for the path, where the machine was too busy to ask in time."""


async def test_a_server_that_never_answers_is_given_up_and_another_way_tried() -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    problems: list[Exception] = []

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readline()).decode().split(" ")
        asked.put_nowait(request[1] if len(request) > 1 else GIVEN_UP)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(be_silent, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/live"
        async with RoomsClient(url, connect_timeout=0.3, **AT_ONCE) as client:
            client.on_error(problems.append)
            for _ in range(2):
                assert await within(asked.get()) in ("/live/websocket", GIVEN_UP)
            while await within(asked.get()) != "/live/sse":
                pass
    assert {type(problem) for problem in problems} == {TimeoutError}


async def test_problems_that_nobody_asks_for_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with talking() as (client, hub):
        line = await connected(hub)
        await line.close(1012, "restart")
        await connected(hub)
        await client.connected()
    assert [record.message for record in caplog.records if record.name == "fastapi_rooms"] == [
        "a client of a hub: the server has ended the connection with 1012: restart"
    ]
