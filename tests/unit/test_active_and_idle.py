"""`on_active`, `on_idle` and their room twins: never two at once, never one without the other."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms import ConnectionClosed, JoinRefused
from fastapi_rooms.testing import Closed, SocketClosed, eventually
from unit.apps import BRIEF, Noting, client_of, staying
from unit.fakes import SOON, FakeTransport, finished, make_connection, make_link


class Watched(Noting):
    """Notes transitions in `transitions`, and that none overlaps another of its kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.transitions: dict[str, list[str]] = {}
        self.running: set[str] = set()

    async def on_active(self) -> None:
        await self.transition("", "active")

    async def on_idle(self) -> None:
        await self.transition("", "idle")

    async def on_room_active(self, room: str) -> None:
        await self.transition(room, "active")

    async def on_room_idle(self, room: str) -> None:
        await self.transition(room, "idle")

    async def transition(self, room: str, name: str) -> None:
        assert room not in self.running, f"transitions of {room!r} overlap"
        self.running.add(room)
        try:
            self.transitions.setdefault(room, []).append(name)
            await self._note(f"{room}-{name}".strip("-"))
        finally:
            self.running.discard(room)

    def assert_settled(self) -> None:
        """Everything that became active became idle, in turns, and nothing is kept of it."""
        for transitions in self.transitions.values():
            assert transitions == ["active", "idle"] * (len(transitions) // 2)
        assert self._memberships._activities == {}


async def test_they_run_for_the_first_and_after_the_last() -> None:
    manager = Watched()
    async with client_of(staying(manager)) as client:
        async with client.websocket("/red"):
            await manager.noted("join red")
            async with client.websocket("/red"), client.websocket("/blue"):
                await manager.noted("join red", times=2)
                await manager.noted("join blue")
            await manager.noted("blue-idle")
            assert manager.transitions == {"": ["active"], "red": ["active"], "blue": ["active", "idle"]}
        await manager.emptied()
    assert manager.log[:5] == ["authorize red", "active", "connect", "red-active", "join red"]
    assert manager.log[-4:] == ["leave red", "red-idle", "disconnect client 1000", "idle"]
    manager.assert_settled()


async def test_who_comes_while_on_active_runs_waits_for_it() -> None:
    manager = Watched()
    hold = manager.hold("active")
    async with client_of(staying(manager)) as client, client.websocket("/red"), client.websocket("/red"):
        await manager.noted("active")
        await asyncio.sleep(0.005)
        assert manager.log.count("connect") == 0
        hold.set()
        await manager.noted("join red", times=2)
    assert manager.log.count("active") == 1


async def test_who_comes_while_on_idle_runs_waits_and_makes_it_active_again() -> None:
    manager = Watched()
    async with client_of(staying(manager)) as client:
        hold = manager.hold("idle")
        async with client.websocket("/red") as first:
            await manager.noted("join red")
            await first.close()
            await manager.noted("idle")
            async with client.websocket("/red"):
                await asyncio.sleep(0.005)
                assert manager.log[-2:] == ["idle", "authorize red"]
                hold.set()
                await manager.noted("join red", times=2)
    assert manager.transitions == {"": ["active", "idle"] * 2, "red": ["active", "idle"] * 2}


@pytest.mark.logged_errors
async def test_an_on_active_that_raises_closes_who_caused_it_and_the_next_tries_again() -> None:
    manager = Watched()
    manager.errors["active"] = LookupError("database")
    async with client_of(staying(manager)) as client:
        async with client.websocket("/red") as ws:
            assert await ws.wait_closed() == Closed(1011, "internal error")
        del manager.errors["active"]
        async with client.websocket("/red") as ws:
            await manager.noted("join red")
    assert manager.transitions[""] == ["active", "active", "idle"]
    assert manager.log[:3] == ["authorize red", "active", "error"]
    assert "disconnect hook_error 1011" not in manager.log


@pytest.mark.logged_errors
@pytest.mark.parametrize("fails", ["red-active", "red-idle", "idle"])
async def test_a_transition_that_raises_is_reported_and_nothing_is_kept(fails: str) -> None:
    manager = Watched()
    manager.errors[fails] = LookupError("database")
    async with client_of(staying(manager)) as client:
        async with client.websocket("/red") as ws:
            if fails == "red-active":
                assert await ws.wait_closed() == Closed(1011, "internal error")
            else:
                await manager.noted("join red")
        del manager.errors[fails]
        async with client.websocket("/red"):
            await eventually(lambda: manager.log[-1] == "join red")
    assert [str(error) for error in manager.reported] == ["database"]
    assert manager._memberships._activities == {}
    assert manager.log.count("join red") == manager.log.count("leave red")


@pytest.mark.logged_errors
async def test_a_room_whose_on_room_active_fails_for_a_later_join_is_not_joined() -> None:
    manager = Watched(limits=BRIEF)
    manager.hold("blue-active")
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        (connection,) = manager.connections
        with pytest.raises(ConnectionClosed):
            await manager.join(connection, "blue")
        with pytest.raises(SocketClosed):
            await ws.receive()
    assert "join blue" not in manager.log
    assert "leave blue" not in manager.log


async def test_a_join_that_is_cancelled_before_the_room_is_active_leaves_it_idle() -> None:
    manager = Watched()
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        await manager.noted("join red")
        (connection,) = manager.connections
        hold = manager.hold("blue-active")
        joining = asyncio.create_task(manager.join(connection, "blue"))
        await manager.noted("blue-active")
        joining.cancel()
        await asyncio.sleep(0)
        hold.set()
        await asyncio.wait((joining,))
        assert joining.cancelled()
        assert manager.transitions["blue"] == ["active", "idle"]
        assert connection.rooms == {"red"}
    assert "join blue" not in manager.log


async def test_who_returns_in_the_very_turn_in_which_the_room_becomes_idle_makes_it_active() -> None:
    for turns in range(12):
        manager = Watched()
        async with client_of(staying(manager)) as client, client.websocket("/red"):
            await manager.noted("join red")
            (connection,) = manager.connections
            await manager.join(connection, "blue")
            hold = manager.hold("blue-idle")
            leaving = asyncio.create_task(manager.leave(connection, "blue"))
            await manager.noted("blue-idle")
            hold.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            await manager.join(connection, "blue")
            await leaving
            assert manager.transitions["blue"] == ["active", "idle", "active"]
            await manager.leave(connection, "blue")
        manager.assert_settled()


@settings(max_examples=examples(25), deadline=None)
@given(seed=st.integers(0, 2**32), people=st.integers(1, 5), rounds=st.integers(1, 4))
def test_transitions_alternate_however_connections_come_and_go(seed: int, people: int, rounds: int) -> None:
    chance = random.Random(seed)
    asyncio.run(_come_and_go(chance, people, rounds))


async def _come_and_go(chance: random.Random, people: int, rounds: int) -> None:
    manager = Hesitating(chance)

    async def person() -> None:
        for _ in range(rounds):
            await manager.hesitate()
            async with client.websocket(f"/{chance.choice(['red', 'blue'])}") as ws:
                await manager.hesitate()
                for connection in manager.connections:
                    if chance.random() < 0.3:
                        await _wander(manager, connection, chance)
                if chance.random() < 0.5:
                    await ws.vanish()

    async with asyncio.timeout(SOON * 5), client_of(staying(manager)) as client:
        await asyncio.gather(*(person() for _ in range(people)))
        await manager.emptied()
    manager.assert_settled()
    assert manager.log.count("connect") == sum(entry.startswith("disconnect") for entry in manager.log)
    for room in ("red", "blue", "green"):
        assert manager.log.count(f"join {room}") == manager.log.count(f"leave {room}")


class Hesitating(Watched):
    """Its hooks take a few turns of the loop."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    async def hesitate(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)

    async def _note(self, hook: str, more: str = "") -> None:
        await super()._note(hook, more)
        await self.hesitate()


async def _wander(manager: Watched, connection: Any, chance: random.Random) -> None:
    with suppress(ConnectionClosed, JoinRefused):  # it left while it joined
        await manager.join(connection, "green")
        if chance.random() < 0.5:
            await manager.leave(connection, "green")


async def test_a_connection_that_was_never_here_makes_nothing_idle() -> None:
    manager = Watched()
    link = make_link(FakeTransport())
    assert not await manager.leave(make_connection(link), "red")
    assert manager.transitions == {}
    await finished(link)
