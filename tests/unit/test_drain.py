"""How a manager lets go: drain, and the lifespan's sweep."""

import asyncio
import random

import pytest
from starlette.websockets import WebSocket

from fastapi_rooms import Limits, QueueLimits
from fastapi_rooms.testing import Client, Closed, Refused, eventually
from unit.apps import BRIEF, Noting, client_of, staying
from unit.fakes import SHORT, SOON

RESTARTING = Closed(1012, "the server is restarting")


@pytest.mark.usefixtures("time_by_turns")
async def test_a_drain_sends_everybody_away_with_1012_spread_over_the_time() -> None:
    random.seed(1)
    manager = Noting()
    moments: list[float] = []
    loop = asyncio.get_running_loop()

    async def visit(client: Client) -> None:
        async with client.websocket("/red") as ws:
            assert await ws.wait_closed() == RESTARTING
            moments.append(loop.time() - start)

    async with client_of(staying(manager)) as client:
        visits = [asyncio.create_task(visit(client)) for _ in range(40)]
        await manager.noted("join red", times=40)
        start = loop.time()
        assert await manager.drain(timeout=1.0)
        await asyncio.gather(*visits)
        assert (len(manager), manager._host.sessions) == (0, {})
    assert max(moments) - min(moments) > 0.4
    assert max(moments) < 1.0
    assert manager.statistics().disconnected == {"shutdown": 40}


async def test_a_drain_of_nobody_is_over_at_once() -> None:
    async with asyncio.timeout(SOON):
        assert await Noting().drain(timeout=60)


async def test_who_is_left_at_the_end_of_a_drain_is_closed_and_it_says_so() -> None:
    manager = Noting()

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            await asyncio.Event().wait()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        await manager.noted("connect")
        assert not await manager.drain(timeout=SHORT)
        assert await ws.wait_closed() == RESTARTING
        ws.app_task.cancel()
        await ws.wait_app_done()


async def test_a_drain_that_is_cancelled_closes_everybody_at_once() -> None:
    manager = Noting()
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        await manager.noted("join red")
        draining = asyncio.create_task(manager.drain(timeout=60))
        await asyncio.sleep(0)
        draining.cancel()
        assert await ws.wait_closed() == RESTARTING
        await asyncio.wait((draining,))
        assert draining.cancelled()


async def test_a_new_lifespan_takes_connections_again() -> None:
    manager = Noting()
    app = client_of(staying(manager), manager)
    await manager.drain(timeout=SHORT)
    async with app as client, client.websocket("/red"):
        await manager.noted("join red")
    async with client_of(staying(manager)) as client:
        with pytest.raises(Refused, match="503"):
            async with client.websocket("/red"):
                pass  # pragma: no cover - never entered


@pytest.mark.usefixtures("time_by_turns")
async def test_the_lifespans_end_sweeps_whoever_is_left_in_bounded_time() -> None:
    manager = Noting(limits=BRIEF)

    async def endpoint(websocket: WebSocket) -> None:
        async with manager.connect(websocket):
            await asyncio.Event().wait()

    async with client_of(endpoint) as client, client.websocket("/x") as ws:
        async with asyncio.timeout(1):
            async with manager.lifespan():
                await manager.noted("connect")
            assert await ws.wait_closed() == RESTARTING
            assert (len(manager), len(manager._host.tasks)) == (0, 0)
    assert manager.log[-1] == "disconnect shutdown 1012"


@pytest.mark.logged_errors
@pytest.mark.usefixtures("time_by_turns")
async def test_the_sweep_waits_for_hooks_but_not_for_ever() -> None:
    manager = Noting(limits=BRIEF)
    manager.hold("disconnect")
    async with client_of(staying(manager)) as client, client.websocket("/red"):
        async with asyncio.timeout(1):
            async with manager.lifespan():
                await manager.noted("join red")
            assert manager._host.sessions == {}
    assert "disconnect shutdown 1012" in manager.log


async def test_without_bounds_the_sweep_waits_as_long_as_it_takes() -> None:
    limits = Limits(handler_grace=None, hook_timeout=None)
    manager = Noting(limits=limits, queue=QueueLimits(close_timeout=None))
    async with client_of(staying(manager)) as client, client.websocket("/red") as ws:
        async with manager.lifespan():
            await manager.noted("join red")
        assert ws.closed == RESTARTING
    assert manager._host.sessions == {}


async def test_two_managers_share_an_app() -> None:
    one, other = Noting(), Noting()
    async with one.lifespan(), other.lifespan(), client_of(staying(one)) as client, client.websocket("/red"):
        await one.noted("join red")
        assert (len(one), len(other)) == (1, 0)


async def test_the_servers_own_shutdown_is_told_from_a_client_that_leaves() -> None:
    manager = Noting()
    client = client_of(staying(manager), manager)
    async with client, client.websocket("/red") as ws:
        await manager.noted("join red")
        await client.shut_down()
        assert await ws.wait_closed() == Closed(1012)
    assert manager.log[-1] == "disconnect shutdown 1012"


async def test_a_manager_that_never_had_a_connection_has_nothing_to_sweep() -> None:
    manager = Noting()
    async with manager.lifespan():
        pass
    await eventually(lambda: len(manager) == 0)
