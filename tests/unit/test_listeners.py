"""The index of listeners: who hears which room."""

import asyncio
from typing import Any

import pytest

from fastapi_rooms import RoomManager
from fastapi_rooms.connection import Connection
from fastapi_rooms.listeners import Listeners


@pytest.fixture
async def listener() -> Connection[Any]:
    manager = RoomManager[Any, Any]()
    async with manager.listen("red"):
        (found,) = manager._host.hearing("red")
    return found


async def test_it_knows_who_listens_where_and_keeps_nothing_of_a_room_without(listener: Connection[Any]) -> None:
    listeners = Listeners()
    assert not listeners
    for room in ("red", "red", "blue"):
        listeners.add(listener, room)
    assert listeners.in_room("red") == listeners.in_room("blue") == (listener,)
    assert listeners.count_in_room("red") == 1
    assert listeners.count_in_room("green") == 0
    listeners.remove(listener, "green")
    listeners.remove(listener, "red")
    listeners.remove(listener, "red")
    assert listeners.in_room("red") == ()
    assert listeners
    listeners.abandon()
    assert not listeners


def test_what_listened_on_an_event_loop_that_is_gone_is_forgotten() -> None:
    manager = RoomManager[Any, Any]()

    async def listen_and_vanish() -> None:
        listening = manager.listen("red")
        await listening.__aenter__()
        kept.append(listening)

    async def listen_again() -> int:
        async with manager.listen("blue"):
            return len(manager._host.hearing("red"))

    kept: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(listen_and_vanish())
    loop.close()
    assert asyncio.run(listen_again()) == 0
