"""Redis behind Sentinel, with TLS, and with users that may do little: real servers, as in production."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fastapi_rooms import ConfigurationError
from fastapi_rooms.brokers import Broker
from fastapi_rooms.brokers.redis import RedisBroker
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.stores.redis_tickets import RedisTicketStore
from fastapi_rooms.testing import eventually
from rfc.certificate import Certificate, make_certificate

from .engines import STEADY, running, until
from .ports import free_port
from .redis_cluster_engine import RedisClusterEngine
from .redis_engine import RedisEngine, SentinelEngine, redis_7
from .test_broker_conformance import failure, listening, soon
from .test_outages import health, is_local, reached
from .workers import SOON, Manager, workers

pytestmark = pytest.mark.xdist_group("redis servers")

NO_RETRIES = Retry(NoBackoff(), 0)

SINGLE = "+publish +subscribe +unsubscribe +ping"
CLUSTER = "+spublish +ssubscribe +sunsubscribe +ping +cluster|slots"
"""What the documentation says that a user needs."""


async def cross(broker: Broker) -> None:
    """A message goes from one connection to another."""
    async with listening(broker) as ear, listening(broker) as other:
        await soon(ear.connection.subscribe(["rooms.all"]))
        await soon(other.connection.publish([("rooms.all", b"across")]))
        assert await ear.hear() == [("rooms.all", b"across")]


@pytest.fixture
def sentinel() -> Iterator[tuple[SentinelEngine, RedisEngine]]:
    """A sentinel that knows a master, which is returned too, and its replica."""
    with ExitStack() as stack:
        master = stack.enter_context(running(RedisEngine("--repl-diskless-sync-delay", "0")))
        stack.enter_context(running(RedisEngine("--replicaof", "127.0.0.1", str(master.port))))
        until(lambda: master.ask("ROLE")[2] != [])
        sentinel = stack.enter_context(running(SentinelEngine(master)))
        until(lambda: master_of(sentinel) == master.port and bool(sentinel.ask("SENTINEL REPLICAS", "main")))
        yield sentinel, master


def master_of(sentinel: SentinelEngine) -> int:
    return int(sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", "main")[1])


@asynccontextmanager
async def clients(sentinel: SentinelEngine, number: int) -> AsyncIterator[list[Redis]]:
    """Of the users' own."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(number):
            asked = Sentinel([("127.0.0.1", sentinel.port)])  # type: ignore[no-untyped-call]  # redis-py has no types
            for one in asked.sentinels:
                stack.push_async_callback(one.aclose)
            made.append(asked.master_for("main", retry=NO_RETRIES))
            stack.push_async_callback(made[-1].aclose)
        yield made


async def test_rooms_are_joined_again_through_the_master_that_sentinel_has_made(
    sentinel: tuple[SentinelEngine, RedisEngine],
) -> None:
    watcher, master = sentinel
    async with (
        clients(watcher, 2) as pool,
        workers(2, lambda: Manager(RedisBroker(pool.pop(), timings=STEADY))) as two,
    ):
        await reached(two)
        assert health(two[0]).broker == "Redis, main of Sentinel"
        sockets = [await worker.join("ann", "red") for worker in two]
        master.kill()
        for worker in two:
            await worker.manager.logged("lost")
        assert is_local(await two[0].manager.broadcast("meanwhile", room="red"))
        await asyncio.to_thread(until, lambda: master_of(watcher) != master.port)
        for worker in two:
            await worker.manager.logged("restored", "continuity red")
        await reached(two)
        assert (await two[0].manager.broadcast("again", room="red")).scope == "cluster"
        assert [await sockets[0].receive_text() for _ in range(2)] == ["meanwhile", "again"]
        assert await sockets[1].receive_text() == "again"


@pytest.mark.parametrize("client", [Redis(retry=Retry(NoBackoff(), 1)), Redis(retry_on_error=[RedisError])])
def test_a_client_that_retries_is_refused_with_what_to_do(client: Redis) -> None:
    with pytest.raises(ConfigurationError, match=r"retry=Retry\(NoBackoff\(\), 0\)"):
        RedisBroker(client)


def test_a_client_that_decodes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="without decode_responses"):
        RedisBroker(Redis(retry=NO_RETRIES, decode_responses=True))


@pytest.mark.parametrize("whose", ["ours", "the user's"])
async def test_a_lost_connection_is_not_made_anew_behind_our_back(whose: str) -> None:
    with running(RedisEngine()) as engine:
        server = engine.url if whose == "ours" else Redis(port=engine.port, retry=NO_RETRIES)
        connection = await RedisBroker(server, timings=STEADY).connect()
        receiving = asyncio.create_task(connection.receive())
        await soon(connection.subscribe(["rooms.all"]))
        engine.kill()
        engine.start()
        with pytest.raises(RedisError):
            await soon(receiving)
        assert str(engine.ask("CLIENT", "LIST")).count("id=") == 1  # who asks
        await connection.close()
        if isinstance(server, Redis):
            await server.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def tls(certificate: Certificate, port: int) -> Sequence[str]:
    """Options of a server that has TLS there, beside the plain port."""
    files = ["--tls-cert-file", str(certificate.chain), "--tls-key-file", str(certificate.key)]
    return [
        "--tls-port",
        str(port),
        *files,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        str(certificate.chain),
    ]


@pytest.fixture(scope="module")
def tls_port(certificate: Certificate) -> Iterator[int]:
    """Of a Redis with a password."""
    redis_7()
    port = free_port()
    with running(RedisEngine(*tls(certificate, port), "--requirepass", "hunter2")):
        yield port


def trusting(certificate: Certificate) -> str:
    return f"ssl_ca_certs={certificate.chain}"


async def test_messages_cross_with_tls(tls_port: int, certificate: Certificate) -> None:
    url = f"rediss://:hunter2@127.0.0.1:{tls_port}/0?{trusting(certificate)}"
    await cross(broker_from_url(url, timings=STEADY))
    # redis-py does not wait for the goodbyes of TLS.
    await eventually(lambda: not connected_to(tls_port), timeout=SOON)


def connected_to(port: int) -> bool:
    """Whether this process has a socket to that port."""
    sockets = psutil.net_connections("tcp")
    return any(one.pid == os.getpid() and one.raddr and one.raddr.port == port for one in sockets)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_another_ca_or_for_another_name_is_refused_and_the_error_says_so(
    tls_port: int, certificate: Certificate, host: str, tmp_path: Path
) -> None:
    trusted = make_certificate(tmp_path) if host == "127.0.0.1" else certificate
    url = f"rediss://:hunter2@{host}:{tls_port}/0?{trusting(trusted)}"
    async with workers(1, lambda: Manager(broker_from_url(url, timings=STEADY))) as (worker,):
        error = health(worker).error
        assert "certificate verify failed" in error.lower()
        assert "hunter2" not in error
        await worker.join("ann", "red")
        assert is_local(await worker.manager.broadcast("hello", room="red"))


async def test_a_cluster_with_tls_is_trusted_by_the_same_rules(certificate: Certificate, tmp_path: Path) -> None:
    redis_7()
    port = free_port()
    options = [*tls(certificate, port), "--tls-cluster", "yes"]
    with running(RedisClusterEngine(*options, primaries=1)):
        url = f"rediss+cluster://127.0.0.1:{port}"
        await cross(broker_from_url(f"{url}?{trusting(certificate)}", timings=STEADY))
        other = broker_from_url(f"{url}?{trusting(make_certificate(tmp_path))}", timings=STEADY)
        assert "certificate verify failed" in str(await failure(other.connect())).lower()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisEngine]:
    with running(RedisEngine()) as engine:
        yield engine


def url_for(engine: RedisEngine, rights: str) -> str:
    """The URL of a user who has these."""
    engine.ask("ACL SETUSER", "ann", "reset", "on", ">hunter2", *rights.split())
    return f"redis://ann:hunter2@127.0.0.1:{engine.port}/0"


async def test_a_user_who_has_the_channels_of_the_prefix_alone_is_enough(redis: RedisEngine) -> None:
    url = url_for(redis, f"resetchannels &rooms.* {SINGLE}")
    await cross(broker_from_url(url, timings=STEADY))


async def test_a_store_of_tickets_needs_its_keys_and_two_commands(redis: RedisEngine) -> None:
    store = RedisTicketStore(url_for(redis, "resetchannels ~rooms.ticket.* +set +getdel"))
    await store.put("hash", b"value", 30)
    assert await store.take("hash") == b"value"
    await store.close()


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ("", "'ping'"),
        ("resetchannels &rooms.* +ping +publish", "'subscribe'"),
        (f"resetchannels &others.* {SINGLE}", "channel"),
    ],
)
async def test_what_a_user_may_not_is_in_the_error_and_rooms_are_local(
    redis: RedisEngine, rights: str, missing: str
) -> None:
    url = url_for(redis, rights)
    async with workers(1, lambda: Manager(broker_from_url(url, timings=STEADY))) as (worker,):
        error = health(worker).error
        assert error.startswith("NoPermissionError: ")
        assert missing in error
        assert "hunter2" not in error
        await worker.join("ann", "red")
        assert is_local(await worker.manager.broadcast("hello", room="red"))


async def test_a_user_of_a_cluster_needs_little_more() -> None:
    redis_7()
    with running(RedisClusterEngine(primaries=1)) as cluster:
        node = cluster.nodes[0]
        rights = ["resetchannels", "&rooms.*", *CLUSTER.split()]
        node.ask("ACL SETUSER", "ann", "reset", "on", ">hunter2", *rights)
        url = f"redis+cluster://ann:hunter2@127.0.0.1:{node.port}"
        await cross(broker_from_url(url, timings=STEADY))
        async with workers(1, lambda: Manager(broker_from_url(url, prefix="others", timings=STEADY))) as (worker,):
            assert health(worker).error.startswith("NoPermissionError: ")
            assert "channel" in health(worker).error
