"""Calls of drivers that are cancelled, or have no time left, just when the driver does not take notice of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from nats.aio.client import Client
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fastapi_rooms.auth import AuthenticationUnavailable, TicketStore
from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.nats import NatsBroker
from fastapi_rooms.brokers.postgres import PostgresBroker
from fastapi_rooms.brokers.redis import RedisBroker
from fastapi_rooms.stores.nats_tickets import NatsTicketStore
from fastapi_rooms.stores.redis_tickets import RedisTicketStore
from fastapi_rooms.testing import eventually

TURNS = 30
"""More than an attempt takes until it waits for an answer."""

WITHIN = 5.0
"""Seconds for what takes some hundredths; a swallowed cancellation is noticed after `CONNECT`, or half of it."""

CONNECT = BrokerTimings(connect=60.0)


@dataclass
class Silent:
    """A server that accepts connections.

    Attributes:
        port: On 127.0.0.1.
        accepted: Connections, the past ones too.
        here: Connections that there are.
    """

    port: int = 0
    accepted: int = 0
    here: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.here.add(writer)
        try:
            while await reader.read(1000):
                pass
        except ConnectionResetError:
            return
        finally:
            self.here.discard(writer)
            writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    yield silent
    server.close()
    await server.wait_closed()


def client_of_the_users_own(port: int) -> Broker:
    client = Redis(host="127.0.0.1", port=port, socket_timeout=60.0, protocol=2, retry=Retry(NoBackoff(), 0))
    return RedisBroker(client, timings=CONNECT)


@pytest.mark.parametrize(
    "broker_at",
    [
        pytest.param(lambda port: RedisBroker(f"redis://127.0.0.1:{port}", timings=CONNECT), id="redis"),
        pytest.param(client_of_the_users_own, id="redis-client"),
        pytest.param(lambda port: RedisBroker(f"redis+cluster://127.0.0.1:{port}", timings=CONNECT), id="cluster"),
        pytest.param(lambda port: NatsBroker(f"nats://127.0.0.1:{port}", timings=CONNECT), id="nats"),
        pytest.param(
            lambda port: PostgresBroker(f"postgresql://postgres@127.0.0.1:{port}/postgres", timings=CONNECT),
            id="postgres",
            # asyncpg leaves a future's error unseen where it was cancelled before it had asked for TLS.
            marks=pytest.mark.logged_errors("asyncio"),
        ),
    ],
)
async def test_an_attempt_that_is_cancelled_ends_soon_and_leaves_nothing_behind(
    silent: Silent, broker_at: Callable[[int], Broker]
) -> None:
    for turns in range(TURNS):
        connecting = asyncio.ensure_future(broker_at(silent.port).connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()  # and not once more, as a deadline around the attempt would
        await asyncio.wait((connecting,), timeout=WITHIN)
        assert connecting.cancelled()
        await eventually(lambda: not silent.here)
    assert silent.accepted


async def swallow_one(*_args: object, **_options: object) -> Any:
    """What drivers do on Python 3.11, by chance: they are cancelled, and wait for their next step."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


class SwallowingRedis(Redis):
    execute_command = swallow_one


class SwallowingNats(Client):
    request = swallow_one


@pytest.mark.parametrize(
    "store_of",
    [
        pytest.param(lambda: RedisTicketStore(SwallowingRedis(), timeout=0.1), id="redis"),
        pytest.param(lambda: NatsTicketStore(SwallowingNats(), timeout=0.1), id="nats"),
    ],
)
async def test_an_operation_whose_driver_goes_on_after_its_time_is_unavailable_all_the_same(
    store_of: Callable[[], TicketStore],
) -> None:
    store = store_of()
    for operation in (store.put("a", b"value", 30), store.take("a")):
        asking = asyncio.ensure_future(operation)
        await asyncio.wait((asking,), timeout=WITHIN)
        assert asking.done()
        with pytest.raises(AuthenticationUnavailable):
            await asking
