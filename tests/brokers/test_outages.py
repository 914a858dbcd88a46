"""What happens while an engine is dead, silent or deaf, and after it is back."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from fastapi_rooms import Delivery
from fastapi_rooms.testing import WebSocketSession, eventually

from .engines import QUICK, WATCHFUL, Engine, give_timings
from .proxy import Proxy
from .workers import SOON, Manager, Worker, workers

_PREFIXES = itertools.count()

SHORT = 0.02
"""Seconds between messages."""

LATE = 4.0
"""Seconds for a busy machine."""


@pytest.fixture
async def two(own_engine: Engine) -> AsyncIterator[list[Worker]]:
    """Two processes on an engine that runs, and does again afterwards."""
    prefix = f"outage{next(_PREFIXES)}"
    async with workers(2, lambda: Manager(own_engine.broker(prefix=prefix))) as two:
        await reached(two)
        yield two


@pytest.fixture
async def near(own_engine: Engine) -> AsyncIterator[Worker]:
    """A process that soon gives up an engine that is silent."""
    broker = own_engine.broker(prefix=f"outage{next(_PREFIXES)}", timings=QUICK)
    async with workers(1, lambda: Manager(broker)) as (near,):
        await reached([near])
        yield near


async def reached(all_of_them: list[Worker]) -> None:
    """Wait until every process is connected, and knows the others."""
    others = len(all_of_them) - 1
    for worker in all_of_them:
        await eventually(
            lambda worker=worker: health(worker).connected and health(worker).peers == others,  # type: ignore[misc]
            timeout=SOON,
        )


def health(worker: Worker) -> Any:
    return worker.manager.health()


async def everything(socket: WebSocketSession) -> list[str]:
    """What comes before the mark "end"."""
    received: list[str] = []
    while (text := await socket.receive_text()) != "end":
        received.append(text)
    return received


async def at_once(call: Coroutine[Any, Any, Delivery]) -> Delivery:
    """What it returns without having waited for anything: counted in turns, since the machine may be late."""
    task = asyncio.create_task(call)
    for _ in range(100):
        await asyncio.sleep(0)
    assert task.done()
    return await task


def is_local(delivery: Delivery) -> bool:
    return (delivery.scope, delivery.queued) == ("local", 1)


async def test_a_broker_that_is_killed_twice_leaves_rooms_local_and_joins_them_again(
    own_engine: Engine, two: list[Worker]
) -> None:
    near, far = two
    sockets = [await worker.join("ann", "red", "blue") for worker in two]
    for outage in range(2):
        own_engine.kill()
        for worker in two:
            await worker.manager.logged("lost")
        assert is_local(await near.manager.broadcast("near", room="red"))
        assert is_local(await far.manager.broadcast("far", room="red"))
        assert [await socket.receive_text() for socket in sockets] == ["near", "far"]
        own_engine.start()
        for worker in two:
            await worker.manager.logged("restored", "continuity red", "continuity blue")
        await reached(two)
        assert (await near.manager.broadcast(f"again {outage}", room="red")).scope == "cluster"
        assert [await socket.receive_text() for socket in sockets] == [f"again {outage}"] * 2
        for worker in two:
            assert sorted(worker.manager.log) == ["continuity blue", "continuity red", "lost", "restored"]
            assert health(worker).outages == outage + 1
            worker.manager.log.clear()


async def test_a_broker_that_stops_answering_holds_nobody_up_for_long(own_engine: Engine, near: Worker) -> None:
    socket = await near.join("ann", "red")
    loop = asyncio.get_running_loop()
    own_engine.freeze()
    try:
        before = loop.time()
        assert is_local(await near.manager.broadcast("first", room="red"))
        assert loop.time() - before < QUICK.publish + LATE
        await eventually(lambda: not health(near).connected, timeout=SOON)
        await near.manager.logged("lost")
        near.manager.log.clear()  # a busy machine may have been given up before, too
        assert is_local(await at_once(near.manager.broadcast("second", room="red")))
        await near.join("bob", "red")
    finally:
        own_engine.thaw()
    await near.manager.logged("restored", "continuity red")
    await near.manager.broadcast("end", room="red")
    assert await everything(socket) == ["first", "second"]


async def test_members_who_join_during_an_outage_are_reached_after_it(
    own_engine: Engine, two: list[Worker]
) -> None:
    own_engine.kill()
    for worker in two:
        await worker.manager.logged("lost")
    socket = await two[1].join("ann", "red")
    own_engine.start()
    await reached(two)
    await two[0].manager.broadcast("hello", room="red")
    assert await socket.receive_text() == "hello"


async def test_an_app_starts_without_its_broker_and_says_so(own_engine: Engine) -> None:
    own_engine.kill()
    try:
        async with workers(1, lambda: Manager(own_engine.broker(prefix="early"))) as (worker,):
            assert not health(worker).connected
            assert health(worker).error is not None
            socket = await worker.join("ann", "red")
            assert is_local(await worker.manager.broadcast("local", room="red"))
            own_engine.start()
            await worker.manager.logged("restored", "continuity red")
            assert (await worker.manager.broadcast("end", room="red")).scope == "cluster"
            assert await everything(socket) == ["local"]
            assert health(worker).error is None
    finally:
        own_engine.kill()
        own_engine.start()


@pytest.mark.parametrize("direction", ["to_engine", "to_broker"])
async def test_a_connection_that_swallows_bytes_is_noticed_and_made_anew(
    own_engine: Engine, direction: str
) -> None:
    prefix = f"proxy{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(own_engine.port))
        broker = own_engine.broker(prefix=prefix, port=proxy.port, timings=WATCHFUL)
        deaf = Manager(broker)
        far = Manager(own_engine.broker(prefix=prefix))
        pair = [await stack.enter_async_context(Worker(manager)) for manager in (deaf, far)]
        await reached(pair)
        socket = await pair[0].join("ann", "red")
        deaf.log.clear()
        give_timings(broker, QUICK)
        setattr(proxy, direction, False)
        await deaf.logged("lost")
        assert is_local(await deaf.broadcast("local", room="red"))
        give_timings(broker, WATCHFUL)
        setattr(proxy, direction, True)
        await deaf.logged("restored", "continuity red")
        await reached(pair)
        await far.broadcast("end", room="red")
        assert await everything(socket) == ["local"]


async def test_what_is_sent_while_nothing_comes_back_reaches_members_here_once_and_in_order(
    own_engine: Engine,
) -> None:
    async with Proxy(own_engine.port) as proxy:
        broker = own_engine.broker(prefix=f"proxy{next(_PREFIXES)}", port=proxy.port, timings=WATCHFUL)
        async with workers(1, lambda: Manager(broker)) as (worker,):
            deaf = worker.manager
            await reached([worker])
            socket = await worker.join("ann", "red")
            await deaf.broadcast("the way that messages come", room="red")
            await socket.receive_text()
            proxy.marker = b"the way that messages come"
            give_timings(broker, QUICK)
            sent = 0
            while "lost" not in deaf.log:
                await deaf.broadcast(str(sent), room="red")
                sent += 1
                await asyncio.sleep(SHORT)  # until it is noticed
            give_timings(broker, WATCHFUL)
            proxy.marker = None
            await deaf.broadcast("without", room="red")
            await deaf.logged("lost", "restored", "continuity red")
            await deaf.broadcast("end", room="red")
            assert await everything(socket) == [*map(str, range(sent)), "without"]


async def test_no_task_is_left_after_the_lifespan_of_a_manager_whose_broker_is_dead(own_engine: Engine) -> None:
    before = asyncio.all_tasks()
    own_engine.kill()
    try:
        async with (
            asyncio.timeout(SOON),
            workers(1, lambda: Manager(own_engine.broker(prefix="dead"))) as (worker,),
        ):
            await worker.manager.logged("lost")
        assert asyncio.all_tasks() <= before
    finally:
        own_engine.start()
