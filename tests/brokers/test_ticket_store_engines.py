"""What is special about one engine's store, and what none of them accepts."""

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
from nats.aio.client import Client as NatsClient
from nats.js.api import KeyValueConfig
from redis.asyncio import Redis

from fastapi_rooms.auth import AuthenticationUnavailable, TicketStore, TicketStoreFull
from fastapi_rooms.errors import ConfigurationError, MissingExtra
from fastapi_rooms.stores import postgres_tickets
from fastapi_rooms.stores.nats_tickets import NatsTicketStore
from fastapi_rooms.stores.postgres_tickets import PostgresTicketStore
from fastapi_rooms.stores.redis_tickets import RedisTicketStore
from fastapi_rooms.testing import eventually

from .engines import Engine, running
from .nats_engine import UNHURRIED, NatsEngine
from .postgres_engine import PostgresEngine
from .redis_engine import RedisEngine
from .test_ticket_stores import PATIENT, nats

STORES: list[tuple[Callable[..., Any], str]] = [
    (RedisTicketStore, "redis"),
    (NatsTicketStore, "nats"),
    (PostgresTicketStore, "postgresql"),
]


@pytest.fixture(scope="module")
def redis() -> Iterator[Engine]:
    with running(RedisEngine()) as engine:
        yield engine


@pytest.fixture(scope="module")
def jetstream() -> Iterator[Engine]:
    with running(nats()) as engine:
        yield engine


@pytest.fixture(scope="module")
def postgres() -> Iterator[Engine]:
    with running(PostgresEngine()) as engine:
        yield engine


@pytest.fixture
async def sql(postgres: Engine) -> AsyncIterator[Any]:
    """A connection; the table is as it is after a first installation: not there."""
    connection = await asyncpg.connect(_dsn(postgres))
    await connection.execute("DROP TABLE IF EXISTS fastapi_rooms_tickets")
    yield connection
    await connection.close()


@pytest.fixture
async def nats_client(jetstream: Engine) -> AsyncIterator[NatsClient]:
    client = NatsClient()
    await client.connect(f"nats://127.0.0.1:{jetstream.port}")
    yield client
    await client.close()


def _dsn(engine: Engine) -> str:
    return f"postgresql://postgres@127.0.0.1:{engine.port}/postgres"


async def used(store: TicketStore) -> None:
    await store.put("a", b"value", 30)
    assert await store.take("a") == b"value"


@pytest.mark.parametrize(("store", "scheme"), STORES)
def test_what_a_store_shows_of_itself_has_no_password(store: Callable[..., Any], scheme: str) -> None:
    made = store(f"{scheme}://zoe:hunter2@one.example:1234{'/db' if scheme != 'nats' else ''}")
    assert "one.example:1234" in str(made)
    assert str(made) in repr(made)
    for text in (str(made), repr(made)):
        assert "hunter2" not in text
        assert "zoe" not in text


@pytest.mark.parametrize(("store", "scheme"), STORES)
@pytest.mark.parametrize(
    "rest",
    [
        "zoe:hun/ter2@example",
        "zoe:hun?ter2@example",
        "zoe:hun#ter2@example",
        "zoe:hun@ter2@example",
        "zoe:hunter2",
        "zoe:12/ter2@example",
        "zoe:hunter2@example:port",
        "zoe:hunter2@example:99999",
        "zoe:hunter2@[example",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_being_quoted(
    store: Callable[..., Any], scheme: str, rest: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        store(f"{scheme}://{rest}")
    for secret in ("hun", "ter2", "zoe", "12"):
        assert secret not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(("store", "scheme"), STORES)
def test_options_that_cannot_work_are_refused(store: Callable[..., Any], scheme: str) -> None:
    for options in ({"timeout": 0.0}, {"timeout": float("inf")}, {"prefix": "a.b"}, {"prefix": ""}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            store(f"{scheme}://example", **options)
    with pytest.raises(ConfigurationError, match="must begin with"):
        store("http://example")


@pytest.mark.parametrize(
    ("driver", "module", "extra"),
    [
        ("redis.asyncio", "redis_tickets", "redis"),
        ("nats.aio.client", "nats_client", "nats"),
        ("nats.aio.client", "nats_tickets", "nats"),
        ("asyncpg", "postgres_tickets", "postgres"),
    ],
)
def test_a_store_whose_driver_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, driver: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    monkeypatch.delitem(sys.modules, f"fastapi_rooms.stores.{module}")
    with pytest.raises(MissingExtra) as refusal:
        importlib.import_module(f"fastapi_rooms.stores.{module}")
    assert refusal.value.extra == extra


async def test_redis_forgets_a_ticket_by_itself_and_keeps_nothing_of_one_that_was_taken(redis: Engine) -> None:
    client = Redis(port=redis.port)
    store = RedisTicketStore(client, prefix="forgets", timeout=PATIENT)
    await store.put("a", b"value", 30)
    assert await client.keys("forgets*") == [b"forgets.ticket.a"]
    assert 20_000 < await client.pttl("forgets.ticket.a") <= 30_000
    assert await store.take("a") == b"value"
    assert await client.keys("forgets*") == []
    await store.close()
    await client.ping()
    assert str(store) == f"Redis at localhost:{redis.port}"
    await client.aclose()


@pytest.mark.parametrize("scheme", ["valkey", "Valkey"])
async def test_a_url_of_valkey_is_one_of_redis(redis: Engine, scheme: str) -> None:
    store = RedisTicketStore(f"{scheme}://127.0.0.1:{redis.port}/0", prefix="valkey")
    await used(store)
    assert str(store) == f"Redis at 127.0.0.1:{redis.port}/0"
    await store.close()


async def test_a_redis_without_memory_is_a_full_store(redis: Engine) -> None:
    store = RedisTicketStore(f"redis://127.0.0.1:{redis.port}", timeout=PATIENT)
    client = Redis(port=redis.port)
    await client.config_set("maxmemory", 1)
    with pytest.raises(TicketStoreFull):
        await store.put("a", b"value", 30)
    await client.config_set("maxmemory", 0)
    await used(store)
    await store.close()
    await client.aclose()


def test_a_redis_client_that_decodes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisTicketStore(Redis(decode_responses=True))


async def test_more_operations_than_a_store_has_connections_wait_for_each_other(redis: Engine) -> None:
    store = RedisTicketStore(f"redis://127.0.0.1:{redis.port}", prefix="many", timeout=PATIENT)
    await asyncio.gather(*(store.put(str(number), b"", 30) for number in range(200)))
    client = Redis(port=redis.port)
    assert len(await client.client_list()) <= 9
    await client.aclose()
    await store.close()


async def test_postgres_without_the_table_says_how_to_make_it(postgres: Engine, sql: Any) -> None:
    store = PostgresTicketStore(_dsn(postgres), timeout=PATIENT)
    for operation in (store.put("a", b"", 30), store.take("a")):
        with pytest.raises(ConfigurationError, match="create_schema"):
            await operation
    processes = [PostgresTicketStore(_dsn(postgres), timeout=PATIENT) for _ in range(5)]
    await asyncio.gather(*(process.create_schema() for process in processes))
    await used(store)
    for one in (store, *processes):
        await one.close()


async def test_put_deletes_expired_rows_now_and_then_and_goes_on_while_there_are_many(
    postgres: Engine, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_tickets, "_SWEPT_AT_ONCE", 3)
    store = PostgresTicketStore(_dsn(postgres), timeout=PATIENT)
    await store.create_schema()
    await sql.execute(
        "INSERT INTO fastapi_rooms_tickets SELECT 'other', n::text, '', now() - interval '1 s'"
        " FROM generate_series(1, 7) n"
    )
    left = []
    for number in range(5):
        await store.put(str(number), b"value", 30)
        left.append(await sql.fetchval("SELECT count(*) FROM fastapi_rooms_tickets WHERE prefix = 'other'"))
    assert left == [4, 1, 0, 0, 0]
    assert await sql.fetchval("SELECT count(*) FROM fastapi_rooms_tickets") == 5
    await sql.execute("UPDATE fastapi_rooms_tickets SET expires = now()")
    await store.put("later", b"value", 30)
    assert await sql.fetchval("SELECT count(*) FROM fastapi_rooms_tickets") == 6
    await store.close()


async def test_a_pool_of_the_apps_own_is_used_and_left_open(postgres: Engine, sql: Any) -> None:
    settings = {"default_transaction_isolation": "serializable"}
    async with asyncpg.create_pool(_dsn(postgres), min_size=0, server_settings=settings) as pool:
        store = PostgresTicketStore(pool, timeout=PATIENT)
        await store.create_schema()
        for _ in range(10):
            await store.put("a", b"value", 30)
            taken = await asyncio.gather(*(store.take("a") for _ in range(10)))
            assert sorted(taken, key=bool)[-2:] == [None, b"value"]
        await store.close()
        assert await pool.fetchval("SELECT 1") == 1
        assert str(store) == "PostgreSQL at an address of the pool's"


async def test_one_who_waits_for_another_to_take_it_gets_nothing(postgres: Engine, sql: Any) -> None:
    settings = {"default_transaction_isolation": "repeatable read"}
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncpg.create_pool(_dsn(postgres), min_size=0, server_settings=settings) as pool:
        store = PostgresTicketStore(pool, timeout=PATIENT)
        await store.create_schema()
        await store.put("a", b"value", 30)
        async with sql.transaction():
            await sql.execute("DELETE FROM fastapi_rooms_tickets")
            taking = asyncio.create_task(store.take("a"))
            async with asyncio.timeout(30.0):
                while not await pool.fetchval(waiting):
                    pass
        assert await taking is None


@pytest.mark.parametrize(
    ("store", "url"),
    [
        (RedisTicketStore, "redis://zoe:hunter2@127.0.0.1/0?socket_timeout=hunter2"),
        (PostgresTicketStore, "postgresql://zoe:hunter2@127.0.0.1/db?sslmode=hunter2"),
    ],
)
async def test_an_option_that_a_driver_refuses_is_not_quoted(store: Callable[..., Any], url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        await store(url).take("a")
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__suppress_context__


async def test_nats_without_jetstream_is_unavailable_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    engine = NatsEngine(jetstream=False)
    engine.start()
    store = NatsTicketStore(f"nats://127.0.0.1:{engine.port}", timeout=PATIENT)
    try:
        with pytest.raises(AuthenticationUnavailable):
            await store.put("a", b"", 30)
        assert "JetStream" in caplog.text
    finally:
        await store.close()
        engine.close()


async def test_a_bucket_forgets_its_tickets_and_marks(jetstream: Engine, nats_client: NatsClient) -> None:
    store = NatsTicketStore(
        f"nats://127.0.0.1:{jetstream.port}", prefix="forgets", longest_ttl=90, timeout=PATIENT
    )
    await used(store)
    await store.put("b", b"value", 30)
    stream = nats_client.jetstream()
    info = await stream.stream_info("KV_forgets-tickets")
    assert (info.config.max_age, info.config.max_msgs_per_subject, info.state.messages) == (90, 1, 2)
    mark = await stream.get_msg("KV_forgets-tickets", subject="$KV.forgets-tickets.a")
    assert mark.headers is not None
    assert mark.headers["Nats-TTL"] == "60"
    with pytest.raises(ConfigurationError, match="91 s"):
        await store.put("c", b"", 91)
    await store.close()


async def test_a_bucket_that_is_there_is_used_as_it_is(jetstream: Engine, nats_client: NatsClient) -> None:
    stream = nats_client.jetstream()
    await stream.create_key_value(KeyValueConfig(bucket="given-tickets", ttl=40))
    store = NatsTicketStore(nats_client, prefix="given", timeout=PATIENT)
    await used(store)
    with pytest.raises(ConfigurationError, match="forgets after 40 s"):
        await store.put("c", b"", 41)
    await store.close()
    assert nats_client.is_connected


async def test_a_bucket_that_keeps_for_ever_is_refused(jetstream: Engine, nats_client: NatsClient) -> None:
    await nats_client.jetstream().create_key_value(KeyValueConfig(bucket="for-ever-tickets"))
    store = NatsTicketStore(nats_client, prefix="for-ever", timeout=PATIENT)
    with pytest.raises(ConfigurationError, match="give it a TTL"):
        await store.put("c", b"", 30)


async def test_a_bucket_that_was_deleted_is_made_anew(jetstream: Engine, nats_client: NatsClient) -> None:
    for store in (NatsTicketStore(nats_client, prefix="anew", timeout=PATIENT), _own(jetstream, prefix="anew")):
        await used(store)
        await nats_client.jetstream().delete_key_value("anew-tickets")
        assert await store.take("a") is None
        with pytest.raises(AuthenticationUnavailable):
            await store.put("a", b"value", 30)
        await used(store)
        await store.close()


def _own(engine: Engine, *, prefix: str) -> NatsTicketStore:
    return NatsTicketStore([f"nats://127.0.0.1:{engine.port}"], prefix=prefix, timeout=PATIENT)


async def test_a_hash_that_is_a_wildcard_takes_nobodys_ticket(jetstream: Engine) -> None:
    store = _own(jetstream, prefix="wild")
    await store.put("a", b"value", 30)
    for name in ("*", ">", "", "a.b", "a b", "a\r\n"):
        with pytest.raises(ConfigurationError):
            await store.take(name)
    assert await store.take("a") == b"value"
    await store.close()


async def test_a_nats_that_does_not_encrypt_is_not_told_who_we_are(jetstream: Engine) -> None:
    told: list[bytes] = []

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version":"2.11.0","headers":true,"max_payload":1024,"auth_required":true}\r\n')
        told.append(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(pretend, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = NatsTicketStore(f"tls://zoe:hunter2@127.0.0.1:{port}", timeout=1.0)
        with pytest.raises(AuthenticationUnavailable):
            await store.take("a")
        await eventually(lambda: bool(told))
    assert set(told) == {b""}


async def test_another_user_or_password_is_sent_decoded_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    config = f'authorization {{ {UNHURRIED}, user: "a@b", password: "hun/ter2" }}'
    engine = NatsEngine(config=config, jetstream=True)
    engine.start()
    good = NatsTicketStore(f"nats://a%40b:hun%2Fter2@127.0.0.1:{engine.port}", timeout=PATIENT)
    bad = NatsTicketStore(f"nats://a%40b:hunter3@127.0.0.1:{engine.port}", timeout=PATIENT)
    try:
        await used(good)
        with pytest.raises(AuthenticationUnavailable):
            await used(bad)
        assert "Authorization" in caplog.text
        assert "hunter3" not in caplog.text
    finally:
        await good.close()
        await bad.close()
        engine.close()


def test_servers_of_one_cluster_have_one_password() -> None:
    with pytest.raises(ConfigurationError, match="same user"):
        NatsTicketStore(["nats://a:b@one.example", "nats://c:d@two.example"])
    with pytest.raises(ConfigurationError, match="cannot use this URL"):
        NatsTicketStore("nats://one.example/path")
    with pytest.raises(ConfigurationError, match="longest_ttl"):
        NatsTicketStore("nats://one.example", longest_ttl=0)
    with pytest.raises(ConfigurationError, match="needs a URL"):
        NatsTicketStore([])
    assert str(NatsTicketStore(["nats://a:b@one:1", "nats://a:b@two:2"])) == "NATS at one:1, two:2"
