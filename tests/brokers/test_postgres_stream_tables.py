"""The tables of streams in PostgreSQL: what is deleted when, what ends an epoch, who may create and use them."""

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from fastapi_rooms.brokers import postgres_streams
from fastapi_rooms.brokers.postgres import PostgresBroker
from fastapi_rooms.brokers.postgres_streams import StreamTables
from fastapi_rooms.brokers.postgres_table import PayloadTable
from fastapi_rooms.brokers.streams import Place, split_place
from fastapi_rooms.errors import ConfigurationError

from . import postgres_fixtures
from .engines import STEADY
from .postgres_engine import PostgresEngine
from .postgres_fixtures import CHANNEL, LONG, append_three, connected, look, rows_of, to

pytestmark = pytest.mark.xdist_group("broker postgres")

server, admin = postgres_fixtures.server, postgres_fixtures.admin
table, broker = postgres_fixtures.table, postgres_fixtures.broker


# --- what is too old


async def test_as_many_rows_are_kept_as_the_last_append_says(
    broker: PostgresBroker, admin: Any, table: str
) -> None:
    async with connected(broker) as connection:
        for messages, kept in ((10, 1), (10, 2), (2, 2), (2, 2), (4, 3), (4, 4), (4, 4), (0, 0), (3, 1)):
            await connection.append([to(CHANNEL, messages=messages)])
            assert len(await rows_of(admin, table)) == kept
        await connection.append([to(CHANNEL, messages=6) for _ in range(100)])
        assert await rows_of(admin, table) == list(range(104, 110))


async def test_an_append_deletes_what_is_expired_in_its_channel(
    broker: PostgresBroker, admin: Any, table: str
) -> None:
    async with connected(broker) as connection:
        await connection.append([to(CHANNEL) for _ in range(5)])
        await admin.execute(f"""UPDATE {table}_history SET until = now() WHERE "offset" <= 3""")
        page = await connection.read(CHANNEL, after=0, most=10)
        assert [entry.offset for entry in page.entries] == [4, 5]
        assert not page.has_all_after(2)
        await connection.append([to(CHANNEL)])
        assert await rows_of(admin, table) == [4, 5, 6]


async def test_an_idempotency_key_is_forgotten_in_time(broker: PostgresBroker, admin: Any, table: str) -> None:
    async with connected(broker) as connection:
        await connection.append([to(CHANNEL, idempotency_key="k")])
        await admin.execute(f"UPDATE {table}_keys SET until = now()")
        for repeated in (False, True):
            (again,) = await connection.append([to(CHANNEL, idempotency_key="k")])
            assert (again.offset, again.repeated) == (2, repeated)
        assert await admin.fetchval(f"SELECT until - now() > interval '290 s' FROM {table}_keys")


async def test_a_sweep_deletes_what_is_old_in_channels_that_nobody_uses(
    broker: PostgresBroker, admin: Any, table: str
) -> None:
    async with connected(broker) as connection:
        for channel in ("forgotten", "kept", "current"):
            await connection.append([to(channel, idempotency_key="k"), to(channel)])
    await admin.execute(f"UPDATE {table}_history SET until = now() WHERE channel <> 'kept'")
    await admin.execute(f"UPDATE {table}_keys SET until = now() WHERE channel <> 'kept'")
    await admin.execute(f"UPDATE {table}_streams SET used = now() - interval '25.1 h' WHERE channel <> 'current'")
    async with connected(PostgresBroker(broker._dsn, timings=STEADY, table=table)) as connection:
        await connection.read("elsewhere", after=0, most=1)

    async def channels(part: str) -> list[str]:
        return [name for (name,) in await admin.fetch(f"SELECT DISTINCT channel FROM {table}_{part} ORDER BY 1")]

    assert await channels("history") == ["kept"]
    assert await channels("keys") == ["kept"]
    assert await channels("streams") == ["current", "elsewhere", "kept"]


async def test_a_sweep_goes_on_while_there_is_more(
    broker: PostgresBroker, admin: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_streams, "_SWEPT_AT_ONCE", 10)
    await admin.execute(
        f"INSERT INTO {table}_history SELECT 'old', n, 'old', now(), now() FROM generate_series(1, 25) AS n"
    )
    async with connected(broker) as connection:
        for left in (15, 5, 0, 0):
            await connection.append([to(CHANNEL)])
            assert await admin.fetchval(f"SELECT count(*) FROM {table}_history WHERE channel = 'old'") == left


async def test_an_append_waits_for_nobody_who_sweeps(broker: PostgresBroker, admin: Any, table: str) -> None:
    await admin.execute("SELECT pg_advisory_lock($1)", StreamTables(table, fetchable_for=60)._lock)
    await append_three(broker)


async def test_a_sweep_waits_for_nobody_who_appends(broker: PostgresBroker, admin: Any, table: str) -> None:
    await append_three(broker)
    await admin.execute(f"UPDATE {table}_history SET until = now()")
    async with admin.transaction():
        await admin.execute(f"SELECT FROM {table}_history FOR UPDATE")
        async with connected(PostgresBroker(broker._dsn, timings=STEADY, table=table)) as connection:
            await connection.append([to("rooms.room.other")])
    assert len(await rows_of(admin, table)) == 4


async def test_a_stream_that_is_read_now_and_then_is_not_forgotten(
    broker: PostgresBroker, admin: Any, table: str
) -> None:
    epoch = await append_three(broker)
    await admin.execute(f"UPDATE {table}_history SET until = now()")
    await admin.execute(
        f"UPDATE {table}_streams SET used = now() - interval '24 h', written = pg_current_xact_id()::xid"
    )
    page = await look(broker)
    assert (page.epoch, page.last) == (epoch, 3)
    assert await admin.fetchval(f"SELECT now() - used < interval '1 min' FROM {table}_streams")


# --- the epoch


async def test_a_restart_begins_a_new_epoch(server: PostgresEngine, broker: PostgresBroker) -> None:
    epoch = await append_three(broker)
    server.stop()
    server.start()
    page = await look(broker)
    assert (page.epoch != epoch, page.last, list(page.entries)) == (True, 0, [])
    assert await append_three(broker) == page.epoch
    assert (await look(broker)).last == 3


async def test_a_crash_begins_a_new_epoch(server: PostgresEngine, broker: PostgresBroker) -> None:
    epoch = await append_three(broker)
    server.kill()
    server.start()
    assert await append_three(broker) != epoch
    assert (await look(broker)).has_all_after(0)


@pytest.mark.parametrize("restarted", [False, True])
async def test_rows_from_an_older_copy_begin_a_new_epoch(
    server: PostgresEngine, broker: PostgresBroker, table: str, restarted: bool
) -> None:
    epoch = await append_three(broker)
    parts = [f"{table}_{part}" for part in ("streams", "history", "keys")]
    admin = await asyncpg.connect(server.url)
    for part in parts:
        await admin.execute(f"CREATE TABLE {part}_copy AS TABLE {part}")
    await append_three(broker)
    await admin.execute("CHECKPOINT")
    if restarted:
        await admin.close()
        server.kill()
        server.start()
        admin = await asyncpg.connect(server.url)
    for part in parts:
        await admin.execute(f"DELETE FROM {part}; INSERT INTO {part} TABLE {part}_copy")
    await admin.close()
    page = await look(broker)
    assert (page.epoch != epoch, page.last, list(page.entries)) == (True, 0, [])
    assert await append_three(broker) == page.epoch
    assert (await look(broker)).last == 3


async def test_a_key_of_an_older_epoch_does_not_count(broker: PostgresBroker, admin: Any, table: str) -> None:
    async with connected(broker) as connection:
        (before,) = await connection.append([to(CHANNEL, idempotency_key="k", version=3)])
        await admin.execute(f"UPDATE {table}_streams SET last = last")  # somebody else wrote it
        (after,) = await connection.append([to(CHANNEL, idempotency_key="k", version=1)])
        assert (after.epoch != before.epoch, after.repeated, after.stale) == (True, False, False)


async def test_a_vacuum_does_not_begin_a_new_epoch(broker: PostgresBroker, admin: Any, table: str) -> None:
    epoch = await append_three(broker)
    for how in ("FREEZE", "FULL"):
        await admin.execute(f"VACUUM ({how}) {table}_streams")
    assert (await look(broker)).epoch == epoch
    assert await append_three(broker) == epoch


# --- the schema


async def test_a_schema_of_the_version_before_is_said_to_lack_something_and_completed(
    server: PostgresEngine, admin: Any, table: str
) -> None:
    await PayloadTable(table, kept_for=60).create(admin)
    broker = PostgresBroker(server.url, timings=STEADY, table=table)
    with pytest.raises(ConfigurationError, match=r"streams.*await broker\.create_schema\(\)"):
        await broker.connect()
    await broker.create_schema()
    await append_three(broker)


async def test_the_schema_may_be_created_again_and_at_once(server: PostgresEngine, table: str) -> None:
    brokers = [PostgresBroker(server.url, timings=STEADY, table=table) for _ in range(5)]
    await asyncio.gather(*(broker.create_schema() for broker in brokers))
    epoch = await append_three(brokers[0])
    await asyncio.gather(*(broker.create_schema() for broker in brokers))
    page = await look(brokers[0])
    assert (page.epoch, page.last) == (epoch, 3)


async def test_a_missing_function_is_said(broker: PostgresBroker, admin: Any, table: str) -> None:
    await admin.execute(f"DROP FUNCTION {table}_sweep")
    with pytest.raises(ConfigurationError, match=r"create_schema"):
        await broker.connect()


async def test_a_long_name_in_a_schema_will_do(server: PostgresEngine, admin: Any) -> None:
    await admin.execute('CREATE SCHEMA "Streams"')
    table = "T" * 48
    broker = PostgresBroker(server.url, timings=STEADY, table=f"Streams.{table}")
    await broker.create_schema()
    await append_three(broker)
    assert await admin.fetchval(f'SELECT count(*) FROM "Streams"."{table}_history"') == 3


async def test_a_right_that_is_missing_is_a_matter_of_configuration_and_ends_nothing(
    server: PostgresEngine, broker: PostgresBroker, admin: Any, table: str
) -> None:
    role = f"{table}_role"
    await admin.execute(f"CREATE ROLE {role} LOGIN")
    own = PostgresBroker(server.url.replace("postgres@", f"{role}@"), timings=STEADY, table=table)
    async with connected(own) as connection:
        await connection.subscribe([CHANNEL])
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="create_schema"):
                await connection.append([to(CHANNEL)])
            with pytest.raises(ConfigurationError, match=f"permission denied for table {table}_"):
                await connection.read(CHANNEL, after=0, most=1)
        await connection.publish([(CHANNEL, b"plain")])
        assert await connection.receive() == (CHANNEL, b"plain")


async def test_a_role_that_may_read_and_write_the_tables_suffices(
    server: PostgresEngine, broker: PostgresBroker, admin: Any, table: str
) -> None:
    role = f"{table}_role"
    tables = ", ".join(f"{table}_{part}" for part in ("streams", "history", "keys"))
    await admin.execute(
        f"CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role};"
        f" GRANT SELECT, INSERT, DELETE ON {table} TO {role}"
    )
    own = PostgresBroker(server.url.replace("postgres@", f"{role}@"), timings=STEADY, table=table)
    async with connected(own) as connection:
        await connection.subscribe([CHANNEL])
        (where, _) = await connection.append([to(CHANNEL, LONG, messages=1, idempotency_key="k"), to(CHANNEL)])
        place, data = split_place((await connection.receive())[1])
        assert (place, data) == (Place(where.epoch, 1, 0), LONG)
        assert (await connection.read(CHANNEL, after=0, most=10)).last == 2
