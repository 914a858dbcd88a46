"""Publishers: messages from where no manager is, to the members in a process that has one."""

import asyncio
import itertools
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from fastapi_rooms import CloseCode, ConfigurationError, MessageTooLarge
from fastapi_rooms.brokers import Broker, BrokerTimings, MemoryBroker
from fastapi_rooms.errors import BrokerUnavailable, WrongEventLoop
from fastapi_rooms.publisher import Publisher
from fastapi_rooms.sync_publisher import SyncPublisher
from fastapi_rooms.testing import SocketClosed, eventually

from .engines import STEADY, Engine
from .workers import SOON, Manager, Worker, workers

_PREFIXES = itertools.count()
FIRM = replace(STEADY, connect=2.0, publish=2.0)
"""Of a publisher that is to give up an engine that is silent, and none that is late."""

IN_TIME = FIRM.connect + FIRM.publish + 5.0
"""Seconds: what a publisher with these may take, and some for a busy machine."""

PATIENT = BrokerTimings(connect=60.0)
"""Of brokers that are silent, where something else is to end the attempt to connect."""

ASYNCPG_LOGS = pytest.mark.logged_errors("asyncio")
"""It leaves a future's error unseen where an attempt is cancelled in the turn in which the server accepts it."""


@pytest.fixture
def prefix() -> str:
    return f"publisher{next(_PREFIXES)}"


@pytest.fixture
async def worker(engine: Engine, prefix: str) -> AsyncIterator[Worker]:
    """A process with a manager."""
    async with workers(1, lambda: Manager(engine.broker(prefix=prefix))) as (worker,):
        yield worker


@pytest.fixture
async def publisher(engine: Engine, prefix: str) -> AsyncIterator[Publisher]:
    async with Publisher(engine.broker(prefix=prefix)) as publisher:
        yield publisher


@pytest.fixture
def blocking(faulty: Engine, prefix: str) -> Iterator[SyncPublisher]:
    """A publisher for threads, where the engine is no part of an event loop."""
    with SyncPublisher(lambda: faulty.broker(prefix=prefix)) as publisher:
        yield publisher


async def test_a_message_reaches_the_members_of_a_room_and_nobody_else(
    worker: Worker, publisher: Publisher
) -> None:
    member, other = await worker.join("ann", "lobby"), await worker.join("bob", "elsewhere")
    await publisher.publish("lobby", {"n": 1})
    await publisher.publish("lobby", b"\x00\xff")
    await publisher.publish("elsewhere", "to elsewhere")
    assert await member.receive_text() == '{"n":1}'
    assert await member.receive_bytes() == b"\x00\xff"
    assert await other.receive_text() == "to elsewhere"


async def test_excluded_users_do_not_get_it(worker: Worker, publisher: Publisher) -> None:
    ann, bob, eve = [await worker.join(user, "lobby") for user in ("ann", "bob", "eve")]
    await publisher.publish("lobby", "not to ann", exclude_users="ann")
    await publisher.publish("lobby", "only to eve", exclude_users=["ann", "bob"])
    await publisher.publish("lobby", "to all")
    assert await ann.receive_text() == "to all"
    assert [await bob.receive_text() for _ in range(2)] == ["not to ann", "to all"]
    assert [await eve.receive_text() for _ in range(3)] == ["not to ann", "only to eve", "to all"]


async def test_messages_sent_at_once_come_in_the_order_of_the_calls(worker: Worker, publisher: Publisher) -> None:
    member = await worker.join("ann", "lobby")
    texts = [str(number) for number in range(50)]
    await asyncio.gather(*(publisher.publish("lobby", text) for text in texts))
    assert [await member.receive_text() for _ in texts] == texts


async def test_a_user_is_reached_in_every_room(worker: Worker, publisher: Publisher) -> None:
    ann, bob = await worker.join("ann", "lobby"), await worker.join("bob", "lobby")
    await publisher.send_to_user("ann", "to ann")
    await publisher.publish("lobby", "to all")
    assert [await ann.receive_text() for _ in range(2)] == ["to ann", "to all"]
    assert await bob.receive_text() == "to all"


async def test_a_user_who_is_disconnected_sees_code_and_reason(worker: Worker, publisher: Publisher) -> None:
    ann = await worker.join("ann", "lobby")
    await publisher.disconnect_user("ann", reason="banned")
    with pytest.raises(SocketClosed) as closed:
        await ann.receive_text()
    assert (closed.value.code, closed.value.reason) == (CloseCode.FORBIDDEN, "banned")


async def test_a_room_that_is_closed_has_no_members(worker: Worker, publisher: Publisher) -> None:
    ann = await worker.join("ann", "lobby")
    await publisher.close_room("lobby")
    await eventually(lambda: worker.manager.left == [("ann", "lobby")], timeout=SOON)
    assert worker.manager.count_here("lobby") == 0
    await ann.send_json(["another"])
    assert await ann.receive_text() == "joined"
    await publisher.close_room("another", code=4100, reason="over")
    with pytest.raises(SocketClosed) as closed:
        await ann.receive_text()
    assert (closed.value.code, closed.value.reason) == (4100, "over")


async def test_a_publisher_is_not_asked_who_is_in_a_room(worker: Worker, publisher: Publisher) -> None:
    member = await worker.join("ann", "lobby")
    await publisher.publish("lobby", "hello")
    assert await member.receive_text() == "hello"
    count = await worker.manager.count("lobby")
    assert (count, count.missing) == (1, frozenset())


async def test_what_makes_no_sense_is_refused_before_anything_is_sent(publisher: Publisher) -> None:
    with pytest.raises(ConfigurationError, match="1005"):
        await publisher.disconnect_user("ann", code=1005)
    with pytest.raises(ConfigurationError, match="1006"):
        await publisher.close_room("lobby", code=1006)
    for call in (publisher.publish(None, "hello"), publisher.close_room(None)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="None"):
            await call


async def test_a_message_that_the_engine_does_not_take_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = MemoryBroker()
    monkeypatch.setattr(broker, "message_bytes", 300)
    async with Publisher(broker) as publisher:
        await publisher.publish("lobby", "x" * 100)
        with pytest.raises(MessageTooLarge) as refused:
            await publisher.publish("lobby", "x" * 300)
        assert (refused.value.size, refused.value.broker) == (300, str(broker))
        await publisher.publish("lobby", "x" * (refused.value.limit))
        with pytest.raises(MessageTooLarge):
            await publisher.publish("lobby", "x" * (refused.value.limit + 1))


async def test_a_closed_publisher_says_so(publisher: Publisher) -> None:
    await publisher.publish("lobby", "hello")
    await publisher.close()
    await publisher.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await publisher.publish("lobby", "hello")


async def test_threads_share_a_blocking_publisher(worker: Worker, blocking: SyncPublisher) -> None:
    member = await worker.join("ann", "lobby")
    await asyncio.gather(*(asyncio.to_thread(blocking.publish, "lobby", str(number)) for number in range(20)))
    assert {await member.receive_text() for _ in range(20)} == {str(number) for number in range(20)}
    await asyncio.to_thread(blocking.send_to_user, "ann", {"to": "ann"})
    assert await member.receive_json() == {"to": "ann"}
    await asyncio.to_thread(blocking.close_room, "lobby")
    await eventually(lambda: worker.manager.count_here("lobby") == 0, timeout=SOON)
    await asyncio.to_thread(blocking.disconnect_user, "ann")
    with pytest.raises(SocketClosed):
        await member.receive_text()


async def test_a_forked_process_has_a_connection_of_its_own(worker: Worker, blocking: SyncPublisher) -> None:
    member = await worker.join("ann", "lobby")

    def publish_in_fork(text: str) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads beside a fork
            pid = os.fork()
        if pid == 0:
            signal.alarm(int(SOON))
            try:
                blocking.publish("lobby", text)
                blocking.close()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    await asyncio.to_thread(blocking.publish, "lobby", "before")
    for text in ("first fork", "second fork"):
        assert await asyncio.to_thread(publish_in_fork, text) == 0
    await asyncio.to_thread(blocking.publish, "lobby", "after")
    assert [await member.receive_text() for _ in range(4)] == ["before", "first fork", "second fork", "after"]


async def test_a_blocking_publisher_refuses_to_keep_an_event_loop_waiting(blocking: SyncPublisher) -> None:
    with pytest.raises(WrongEventLoop, match="use Publisher"):
        blocking.publish("lobby", "hello")


def test_a_closed_blocking_publisher_says_so_and_its_thread_has_ended(blocking: SyncPublisher) -> None:
    blocking.publish("lobby", "hello")
    blocking.close()
    blocking.close()
    assert not [one for one in threading.enumerate() if one.name == "fastapi_rooms publisher"]
    with pytest.raises(ConfigurationError, match="closed"):
        blocking.publish("lobby", "hello")


def test_a_blocking_publisher_that_was_never_used_has_nothing_to_close(blocking: SyncPublisher) -> None:
    blocking.close()
    assert not [one for one in threading.enumerate() if one.name == "fastapi_rooms publisher"]


@pytest.mark.parametrize("broker", ["memory://", MemoryBroker])
def test_a_blocking_publisher_refuses_a_broker_in_memory(broker: str | Callable[[], Broker]) -> None:
    with pytest.raises(ConfigurationError, match="broadcast_from_thread"):
        SyncPublisher(broker)


def test_a_blocking_publisher_refuses_a_url_at_once() -> None:
    with pytest.raises(ConfigurationError, match="redis://"):
        SyncPublisher("mysql://localhost")


async def test_a_killed_engine_is_said_in_time_and_messages_go_out_again_after_it_is_back(
    own_engine: Engine, prefix: str
) -> None:
    async with (
        Publisher(own_engine.broker(prefix=prefix)) as publisher,
        workers(1, lambda: Manager(own_engine.broker(prefix=prefix))) as (one,),
    ):
        member = await one.join("ann", "lobby")
        for number in range(2):
            await publisher.publish("lobby", f"before {number}")
            # An engine that is killed as soon as it has taken a message may not have told anybody of it.
            assert await member.receive_text() == f"before {number}"
            own_engine.kill()
            for _ in range(3):
                await refused(publisher)
            await eventually(lambda: not one.hears_room("lobby"), timeout=SOON)
            own_engine.start()
            await eventually(lambda: one.hears_room("lobby"), timeout=SOON)
            await publisher.publish("lobby", f"after {number}")
            assert await member.receive_text() == f"after {number}"


async def test_a_connection_that_broke_while_nothing_was_sent_is_made_again_before_a_message_is_lost(
    own_engine: Engine, prefix: str
) -> None:
    async with Publisher(own_engine.broker(prefix=prefix)) as publisher:
        await publisher.publish("lobby", "before")
        line = publisher._line
        assert line is not None
        own_engine.kill()
        own_engine.start()
        await eventually(lambda: line.over, timeout=SOON)
        await publisher.publish("lobby", "after")


async def test_an_engine_that_is_silent_is_given_up_and_reached_again(own_engine: Engine, prefix: str) -> None:
    async with Publisher(own_engine.broker(prefix=prefix, timings=FIRM)) as publisher:
        await publisher.publish("lobby", "before")
        own_engine.freeze()
        try:
            error = await refused(publisher)
            assert error.maybe_published
            await refused(publisher)
        finally:
            own_engine.thaw()
        await publisher.publish("lobby", "after")


def test_a_blocking_publisher_says_in_time_that_the_engine_is_out_of_reach_and_works_again(
    own_engine: Engine,
) -> None:
    with SyncPublisher(own_engine.broker) as publisher:
        publisher.publish("lobby", "before")
        own_engine.kill()
        try:
            begun = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                publisher.publish("lobby", "lost")
            assert time.monotonic() - begun < IN_TIME
        finally:
            own_engine.start()
        publisher.publish("lobby", "after")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SOON)
        yield silent


def hung_up(accepted: socket.socket) -> bool:
    """Whether the other end is gone; waits for it."""
    accepted.settimeout(SOON)
    while accepted.recv(1000):
        pass
    return True


@ASYNCPG_LOGS
async def test_closing_ends_an_attempt_to_connect_and_all_that_wait_for_it(
    own_engine: Engine, silent: socket.socket
) -> None:
    publisher = Publisher(own_engine.broker(port=silent.getsockname()[1], timings=PATIENT))
    calls = [asyncio.create_task(publisher.publish("lobby", "lost")) for _ in range(3)]
    accepted, _ = await asyncio.to_thread(silent.accept)
    with accepted:
        async with asyncio.timeout(SOON):
            await publisher.close()
        assert all(call.done() for call in calls)
        for call in calls:
            with pytest.raises(ConfigurationError, match="closed"):
                await call
        assert await asyncio.to_thread(hung_up, accepted)


async def test_closing_ends_a_message_that_the_engine_has_not_taken(own_engine: Engine) -> None:
    publisher = Publisher(own_engine.broker(timings=BrokerTimings(connect=60.0, publish=60.0)))
    await publisher.publish("lobby", "before")
    own_engine.freeze()
    try:
        call = asyncio.create_task(publisher.publish("lobby", "lost"))
        await asyncio.sleep(0)
        async with asyncio.timeout(SOON):
            await publisher.close()
            with pytest.raises(BrokerUnavailable):
                await call
    finally:
        own_engine.thaw()


@ASYNCPG_LOGS
def test_closing_a_blocking_publisher_ends_an_attempt_to_connect(
    own_engine: Engine, silent: socket.socket
) -> None:
    broker = partial(own_engine.broker, port=silent.getsockname()[1], timings=PATIENT)
    with SyncPublisher(broker) as publisher, ThreadPoolExecutor() as threads:
        call = threads.submit(publisher.publish, "lobby", "lost")
        accepted, _ = silent.accept()
        with accepted:
            publisher.close()
            assert not [one for one in threading.enumerate() if one.name == "fastapi_rooms publisher"]
            assert isinstance(call.exception(SOON), ConfigurationError)
            assert hung_up(accepted)


async def refused(publisher: Publisher) -> BrokerUnavailable:
    """What a publisher says of a broker that is out of reach, in time."""
    async with asyncio.timeout(IN_TIME):
        with pytest.raises(BrokerUnavailable) as error:
            await publisher.publish("lobby", "lost")
    return error.value
