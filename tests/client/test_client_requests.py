"""Requests: waiting, answered, lost."""

import asyncio
from contextlib import suppress

import pytest

from fastapi_rooms.client import (
    ClientClosed,
    ConnectionLost,
    Offline,
    RequestTimeout,
    RoomsClient,
)
from unit.fakes import SHORT

from .scripted import AT_ONCE, connected, scripted, talking


async def test_requests_wait_for_a_connection_and_are_sent_in_order() -> None:
    async with scripted() as hub:
        client = RoomsClient(hub.url, transport="websocket", queue=3, **AT_ONCE)
        async with asyncio.TaskGroup() as tasks, client:
            requests = [tasks.create_task(client.send("do", number)) for number in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Offline):
                await client.send("do", 3)
            line = await connected(hub)
            for number in range(3):
                frame = await line.hear("send")
                assert frame["data"] == number
                await line.say({"type": "reply", "id": frame["id"], "data": number * 10})
            assert [await request for request in requests] == [0, 10, 20]


async def test_what_was_sent_and_not_answered_is_lost_and_not_sent_again() -> None:
    async with talking() as (client, hub):
        client.on_error(lambda _: None)
        line = await connected(hub)
        async with asyncio.TaskGroup() as tasks:
            request = tasks.create_task(_lost(client))
            await line.hear("send")
            line.drop()
            await request
        line = await connected(hub)
        await line.say({"type": "ping"})
        await line.hear("pong")


async def _lost(client: RoomsClient) -> None:
    with pytest.raises(ConnectionLost):
        await client.send("do")


async def test_a_request_that_is_not_answered_in_time_may_have_been_done() -> None:
    async with talking() as (client, hub):
        line = await connected(hub)
        await client.connected()
        with pytest.raises(RequestTimeout) as late:
            await client.send("do", timeout=SHORT * 10)
        assert late.value.sent
        frame = await line.hear("send")
        await line.say({"type": "reply", "id": frame["id"], "data": None}, {"type": "ping"})
        await line.hear("pong")


async def test_a_request_that_is_cancelled_before_it_is_sent_is_not_sent() -> None:
    async with talking() as (client, hub):
        task = asyncio.create_task(client.send("first"))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        second = asyncio.create_task(client.send("second"))
        line = await connected(hub)
        frame = await line.hear("send")
        assert frame["command"] == "second"
        await line.say({"type": "reply", "id": frame["id"], "data": 2})
        assert await second == 2


async def test_requests_end_with_the_client() -> None:
    async with talking() as (client, _):
        waiting = asyncio.create_task(client.send("never"))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosed):
            await waiting
        with pytest.raises(ClientClosed):
            await client.send("again")
