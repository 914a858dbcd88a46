"""What is PostgreSQL's own; what every broker does is in `test_broker_conformance`."""

import asyncio
from itertools import count
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from fastapi_rooms.brokers import postgres_connection
from fastapi_rooms.brokers.postgres import PostgresBroker
from fastapi_rooms.brokers.postgres_connection import PostgresConnection
from fastapi_rooms.brokers.postgres_table import PayloadTable
from fastapi_rooms.errors import BrokerError, BrokerUnavailable, ConfigurationError
from fastapi_rooms.testing import eventually

from . import postgres_fixtures
from .engines import STEADY
from .postgres_engine import PostgresEngine
from .postgres_fixtures import LONG, connected
from .workers import SOON

pytestmark = pytest.mark.xdist_group("broker postgres")

SECRET = "correct-horse"
_NUMBERS = count()

server, admin = postgres_fixtures.server, postgres_fixtures.admin


async def received(connection: PostgresConnection, number: int) -> list[tuple[str, bytes]]:
    return [await connection.receive() for _ in range(number)]


async def echo(broker: PostgresBroker, data: bytes) -> bytes:
    async with connected(broker) as connection:
        await connection.subscribe(["rooms.all"])
        await connection.publish([("rooms.all", data)])
        return (await connection.receive())[1]


def new_table() -> str:
    return f"payloads_{next(_NUMBERS)}"


async def with_table(server: PostgresEngine, table: str) -> PostgresBroker:
    broker = PostgresBroker(server.url, timings=STEADY, table=table)
    await broker.create_schema()
    return broker


async def age(admin: Any, table: str, *, rows: int) -> None:
    """Put rows there that are an hour old."""
    old = "SELECT gen_random_uuid(), 'old', now() - interval '1 hour' FROM generate_series(1, $1)"
    await admin.execute(f"INSERT INTO {table} {old}", rows)


# --- how messages travel


async def test_equal_messages_of_one_request_all_arrive(server: PostgresEngine) -> None:
    async with connected(server.broker()) as connection:
        await connection.subscribe(["rooms.all"])
        messages = [("rooms.all", b"same")] * 5 + [("rooms.all", LONG)] * 2
        await connection.publish(messages)
        assert await received(connection, 7) == messages


async def test_long_messages_keep_their_place_among_short_ones(server: PostgresEngine) -> None:
    async with connected(server.broker()) as connection:
        await connection.subscribe(["rooms.all"])
        bodies = (b"short", LONG, b"\xff" * 7_000, b"\0", b"")
        messages = [("rooms.all", bodies[number % 5] + b"%d" % number) for number in range(100)]
        for start in range(0, 100, 10):
            await connection.publish(messages[start : start + 10])
        assert await received(connection, 100) == messages


async def test_channels_with_long_names_are_received_under_these(server: PostgresEngine) -> None:
    names = [f"rooms.room.{'n' * 250}{end}" for end in "ab"]
    async with connected(server.broker()) as connection:
        await connection.subscribe(names)
        await connection.publish([(name, name[-1:].encode()) for name in names])
        assert await received(connection, 2) == [(names[0], b"a"), (names[1], b"b")]
        await connection.unsubscribe(names[:1])
        await connection.publish([(name, b"again") for name in names])
        assert await connection.receive() == (names[1], b"again")


async def test_too_much_for_one_request_goes_out_in_several(
    server: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "LONGEST_MESSAGE", 10)
    async with connected(server.broker()) as connection:
        await connection.subscribe(["rooms.all"])
        messages = [("rooms.all", b"x" * size) for size in (4, 4, 4, 30, 1, 9, 1, 0)]
        await connection.publish(messages)
        assert await received(connection, len(messages)) == messages


async def test_hundreds_of_channels_are_one_request(server: PostgresEngine) -> None:
    requests: asyncio.Queue[str] = asyncio.Queue()
    names = [f"rooms.room.{number}" for number in range(500)]
    async with connected(server.broker()) as connection:
        listener: Any = connection._listener
        listener.add_query_logger(lambda request: requests.put_nowait(request.query))
        await connection.subscribe(names)
        await connection.unsubscribe(names)
        assert [(await requests.get()).split()[0] for _ in range(2)] == ["LISTEN", "UNLISTEN"]
        assert [tuple(row) for row in await listener.fetch("SELECT 1")] == [(1,)]


async def test_a_name_cannot_end_its_quotes(server: PostgresEngine) -> None:
    name = 'rooms."; UNLISTEN *; --'
    async with connected(server.broker()) as connection:
        await connection.subscribe(["rooms.all", name])
        await connection.publish([("rooms.all", b"1"), (name, b"2")])
        assert await received(connection, 2) == [("rooms.all", b"1"), (name, b"2")]


async def test_what_somebody_else_notifies_is_received_and_does_no_harm(
    server: PostgresEngine, admin: Any
) -> None:
    async with connected(server.broker()) as connection:
        await connection.subscribe(["rooms.all"])
        await admin.execute("SELECT pg_notify('rooms.all', 'b0:not base64')")
        assert await connection.receive() == ("rooms.all", b"b0:not base64")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_any_encoding_carries_any_message(
    server: PostgresEngine, admin: Any, encoding: str
) -> None:
    database = encoding.lower()
    await admin.execute(f"CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    broker = PostgresBroker(server.url.removesuffix("postgres") + database, timings=STEADY)
    await broker.create_schema()
    for text in ("plain", "café", "雪 ☃"):
        assert await echo(broker, text.encode()) == text.encode()


# --- the table


async def test_a_missing_table_is_said_with_the_call_that_makes_it(server: PostgresEngine) -> None:
    broker = PostgresBroker(server.url, timings=STEADY, table=new_table())
    with pytest.raises(ConfigurationError, match=r"await broker\.create_schema\(\)"):
        await broker.connect()
    await broker.create_schema()
    assert await echo(broker, LONG) == LONG


async def test_several_processes_may_create_the_schema_at_once_and_again(server: PostgresEngine) -> None:
    table = new_table()
    brokers = [PostgresBroker(server.url, timings=STEADY, table=table) for _ in range(10)]
    for _ in range(2):
        await asyncio.gather(*(broker.create_schema() for broker in brokers))
    assert await echo(brokers[0], LONG) == LONG


async def test_the_table_may_be_in_a_schema_and_have_capitals(server: PostgresEngine, admin: Any) -> None:
    await admin.execute('CREATE SCHEMA IF NOT EXISTS "Live"')
    broker = await with_table(server, "Live.Select")
    assert await echo(broker, LONG) == LONG
    assert await admin.fetchval('SELECT count(*) FROM "Live"."Select"') == 1


async def test_a_role_that_may_only_read_add_and_delete_suffices(server: PostgresEngine, admin: Any) -> None:
    table, role = new_table(), f"role_{next(_NUMBERS)}"
    await with_table(server, table)
    await age(admin, table, rows=3)
    await admin.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, DELETE ON {table} TO {role}")
    broker = PostgresBroker(server.url.replace("postgres@", f"{role}@"), timings=STEADY, table=table)
    assert await echo(broker, LONG) == LONG
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 1


async def test_short_messages_leave_no_rows(server: PostgresEngine, admin: Any) -> None:
    table = new_table()
    assert await echo(await with_table(server, table), b"short") == b"short"
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_old_rows_are_deleted_faster_than_new_ones_are_added(server: PostgresEngine, admin: Any) -> None:
    table = new_table()
    broker = await with_table(server, table)
    await age(admin, table, rows=2_500)
    async with connected(broker) as connection:
        for left in (1_501, 502, 3, 4):  # the fourth looks for none: there were fewer than it may delete
            await connection.publish([("rooms.all", LONG)])
            assert await admin.fetchval(f"SELECT count(*) FROM {table}") == left


async def test_a_publisher_waits_for_nobody_who_deletes(server: PostgresEngine, admin: Any) -> None:
    table = new_table()
    broker = await with_table(server, table)
    await age(admin, table, rows=1)
    await admin.execute("SELECT pg_advisory_lock($1)", PayloadTable(table, kept_for=60)._lock)
    assert await echo(broker, LONG) == LONG
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 2


async def test_a_row_that_is_gone_ends_the_connection(server: PostgresEngine, admin: Any) -> None:
    table = new_table()
    async with connected(await with_table(server, table)) as connection:
        await connection.subscribe(["rooms.all"])
        await connection.publish([("rooms.all", LONG), ("rooms.all", b"next")])
        await admin.execute(f"DELETE FROM {table}")
        for _ in range(2):
            with pytest.raises(BrokerError, match="gone"):
                await connection.receive()


# --- the end of a connection


@pytest.mark.parametrize("which", ["_listener", "_publisher"])
async def test_receive_raises_when_either_connection_is_gone(
    server: PostgresEngine, admin: Any, which: str
) -> None:
    async with connected(server.broker()) as connection:
        receiving = asyncio.create_task(connection.receive())
        await asyncio.sleep(0)
        await admin.execute("SELECT pg_terminate_backend($1)", getattr(connection, which).get_server_pid())
        with pytest.raises(BrokerUnavailable):
            await receiving


async def test_a_long_message_that_cannot_be_fetched_holds_nobody_up(server: PostgresEngine) -> None:
    async with connected(server.broker()) as connection:
        await connection.subscribe(["rooms.all"])
        await connection.publish([("rooms.all", LONG)])
        await eventually(lambda: len(connection._arrivals) > 0, timeout=SOON)
        server.freeze()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connection.receive()
            with pytest.raises((BrokerUnavailable, asyncpg.InterfaceError)):
                async with asyncio.timeout(STEADY.publish / 2):
                    await connection.receive()
        finally:
            server.thaw()


async def test_a_request_that_is_given_up_ends_the_connection(server: PostgresEngine) -> None:
    async with connected(server.broker()) as connection:
        server.freeze()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connection.publish([("rooms.all", b"lost?")])
            with pytest.raises(BrokerUnavailable):
                await connection.receive()
        finally:
            server.thaw()


async def test_a_setting_that_the_driver_refuses_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="sslmode"):
        await PostgresBroker(f"postgresql://me:{SECRET}@127.0.0.1:1/app?sslmode=maybe").connect()
