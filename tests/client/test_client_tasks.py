"""A client's life, and the tasks that it leaves: none."""

import asyncio
from contextlib import suppress

import pytest

from fastapi_rooms.client import (
    ClientClosed,
    RoomsClient,
)
from fastapi_rooms.errors import ConfigurationError
from unit.fakes import SHORT

from .scripted import AT_ONCE, connected, scripted, talking


async def test_a_client_lives_once() -> None:
    async with talking() as (client, hub):
        await connected(hub)
        with pytest.raises(ConfigurationError):
            await client.__aenter__()
    with pytest.raises(ConfigurationError):
        await client.__aenter__()


async def test_a_client_that_was_never_entered_closes() -> None:
    client = RoomsClient("http://127.0.0.1/live")
    lobby = client.join("lobby")
    await client.close()
    assert [message async for message in lobby] == []
    with pytest.raises(ClientClosed):
        await lobby.joined()


@pytest.mark.parametrize("connect", [True, False])
async def test_a_body_that_is_cancelled_leaves_no_task(*, connect: bool) -> None:
    async with scripted() as hub:
        entered = asyncio.Event()

        async def body() -> None:
            async with RoomsClient(hub.url, transport="websocket", **AT_ONCE) as client:
                if connect:
                    await client.connected()
                entered.set()
                await client.join("lobby").joined()

        task = asyncio.create_task(body())
        line = await hub.line()
        if connect:
            await line.welcome()
        await entered.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert {one for one in asyncio.all_tasks() if "client" in one.get_name()} == set()


async def test_closing_that_is_cancelled_ends_at_once_and_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.websocket._GOODBYE", 60.0)
    async with scripted() as hub:
        client = RoomsClient(hub.url, transport="websocket", **AT_ONCE)
        await client.__aenter__()
        line = await connected(hub)
        await client.connected()
        line._socket.transport.pause_reading()  # nobody says goodbye
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(SHORT)
        assert not closing.done()
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        assert closing.cancelled()
        assert {one for one in asyncio.all_tasks() if "client" in one.get_name()} == set()
        line._socket.transport.resume_reading()


@pytest.mark.logged_errors
async def test_a_fault_of_ours_closes_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.driver.hear", lambda *_, **__: 1 / 0)
    async with talking() as (client, hub):
        await connected(hub)
        with pytest.raises(ClientClosed):
            await client.connected()
