"""What is PostgreSQL's own about streams; what every engine does is in `test_stream_conformance`."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from fastapi_rooms.brokers import postgres_connection
from fastapi_rooms.brokers.memory_streams import MemoryStreams
from fastapi_rooms.brokers.postgres import PostgresBroker
from fastapi_rooms.brokers.postgres_connection import PostgresConnection
from fastapi_rooms.brokers.streams import Append, split_place
from fastapi_rooms.errors import BrokerError, BrokerUnavailable

from . import postgres_fixtures
from .engines import STEADY
from .postgres_engine import PostgresEngine
from .postgres_fixtures import CHANNEL, LONG, connected, requests_of, to

pytestmark = pytest.mark.xdist_group("broker postgres")

server, admin = postgres_fixtures.server, postgres_fixtures.admin
table, broker = postgres_fixtures.table, postgres_fixtures.broker


# --- requests


async def test_a_call_is_one_request_and_one_transaction(broker: PostgresBroker) -> None:
    async with connected(broker) as connection:
        await connection.append([to(CHANNEL)])  # and a look for what is too old
        await connection.read(CHANNEL, after=0, most=1)
        publisher: Any = connection._publisher
        reader: Any = connection._reader._connection
        appending, reading = requests_of(publisher), requests_of(reader)
        await connection.append([to(CHANNEL)])
        await connection.append([to(f"{CHANNEL}{number % 7}", LONG, idempotency_key="k") for number in range(20)])
        await connection.read(CHANNEL, after=0, most=10)
        await connection.read("rooms.room.new", after=0, most=10)
        await asyncio.sleep(0)  # the driver tells its loggers later
        assert [request.split("(")[0].split(".")[-1][:6] for request in appending] == ["SELECT"] * 2
        assert len(reading) == 2


async def test_answers_are_in_order_and_each_channel_counts_for_itself(broker: PostgresBroker) -> None:
    channels = [f"rooms.room.{name}" for name in "cabacbca"]
    async with connected(broker) as connection:
        await connection.subscribe(sorted(set(channels)))
        appended = await connection.append([to(name, b"%d" % at) for at, name in enumerate(channels)])
        assert [where.offset for where in appended] == [1, 1, 1, 2, 2, 2, 3, 3]
        heard = [await connection.receive() for _ in channels]
        assert heard == [
            (name, b"@%b:%d:%d\n%d" % (where.epoch.encode(), where.offset, where.offset - 1, at))
            for at, (name, where) in enumerate(zip(channels, appended, strict=True))
        ]


async def test_keys_and_versions_count_within_one_call(broker: PostgresBroker) -> None:
    async with connected(broker) as connection:
        appended = await connection.append(
            [
                to(CHANNEL, b"1", idempotency_key="k", version=5),
                to(CHANNEL, b"1", idempotency_key="k", version=6),
                to(CHANNEL, b"2", version=5),
                to(CHANNEL, b"3", idempotency_key="other", version=6),
            ]
        )
        assert [(where.offset, where.repeated, where.stale) for where in appended] == [
            (1, False, False),
            (1, True, False),
            (1, False, True),
            (2, False, False),
        ]
        page = await connection.read(CHANNEL, after=0, most=10)
        assert [entry.data for entry in page.entries] == [b"1", b"3"]


@pytest.mark.parametrize("seed", range(5))
async def test_it_answers_as_the_streams_in_memory_do(broker: PostgresBroker, seed: int) -> None:
    random, model = Random(seed), MemoryStreams(lambda: 0.0)
    channels = ["rooms.room.a", "rooms.room.b", "rooms.room.c"]

    def anything() -> Append:
        return to(
            random.choice(channels),
            random.choice([b"", b"text", b"\xff", LONG]),
            messages=random.choice([0, 1, 3, 20]),
            idempotency_key=random.choice([None, str(random.randrange(30))]),
            version=random.choice([None, random.randrange(100)]),
        )

    async with connected(broker) as connection:
        for _ in range(40):
            messages = [anything() for _ in range(random.randrange(1, 8))]
            appended = await connection.append(messages)
            assert [where[1:] for where in appended] == [model.append(message)[0][1:] for message in messages]
            wanted, after, most = random.choice(channels), random.randrange(40), random.choice([0, 2, 100])
            page = await connection.read(wanted, after=after, most=most)
            assert page[1:] == model.read(wanted, after=after, most=most)[1:]


async def test_a_version_may_be_any_number(broker: PostgresBroker) -> None:
    async with connected(broker) as connection:
        versions = (-(10**30), 0, 10**30, 10**30 - 1)
        appended = await connection.append([to(CHANNEL, version=version) for version in versions])
        assert [where.stale for where in appended] == [False, False, False, True]


async def test_a_failure_of_another_kind_comes_as_it_is(broker: PostgresBroker, admin: Any, table: str) -> None:
    await admin.execute(f"ALTER TABLE {table}_history ADD CHECK (data <> 'bad')")
    async with connected(broker) as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.append([to(CHANNEL, b"good"), to(CHANNEL, b"bad")])
        assert (await connection.read(CHANNEL, after=0, most=10)).last == 0


async def test_too_much_for_one_request_is_appended_in_several(
    broker: PostgresBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "LONGEST_MESSAGE", 10)
    async with connected(broker) as connection:
        appended = await connection.append([to(CHANNEL, b"x" * size) for size in (4, 4, 4, 30, 1)])
        assert [where.offset for where in appended] == [1, 2, 3, 4, 5]


async def test_appends_to_many_channels_in_opposite_orders_do_not_deadlock(broker: PostgresBroker) -> None:
    channels = [f"rooms.room.{number}" for number in range(30)]

    async def talk(connection: PostgresConnection, order: Sequence[str]) -> None:
        for _ in range(20):
            await connection.append([to(channel, messages=5) for channel in order])

    async with connected(broker) as one, connected(broker) as other, connected(broker) as third:
        await asyncio.gather(talk(one, channels), talk(other, channels[::-1]), talk(third, channels[::2]))
        assert [(await one.read(channel, after=0, most=0)).last for channel in channels] == [60, 40] * 15


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_the_database_may_have_another_isolation_by_default(
    server: PostgresEngine, admin: Any, isolation: str
) -> None:
    name = isolation.replace(" ", "_")
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    broker = PostgresBroker(server.url.removesuffix("postgres") + name, timings=STEADY)
    await broker.create_schema()
    async with connected(broker) as one, connected(broker) as other:

        async def talk(connection: PostgresConnection) -> None:
            for _ in range(50):
                await connection.append([to(CHANNEL)])

        await asyncio.gather(talk(one), talk(other))
        assert (await one.read(CHANNEL, after=0, most=0)).last == 100


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_any_encoding_keeps_any_message(
    server: PostgresEngine, admin: Any, encoding: str
) -> None:
    database = f"streams_{encoding.lower()}"
    await admin.execute(f"CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    broker = PostgresBroker(server.url.removesuffix("postgres") + database, timings=STEADY)
    await broker.create_schema()
    bodies = [b"plain", "café".encode(), "雪 ☃".encode(), bytes(range(256)) * 20, b"\\", b"\n"]
    async with connected(broker) as connection:
        await connection.subscribe([CHANNEL])
        await connection.append([to(CHANNEL, body) for body in bodies])
        assert [split_place((await connection.receive())[1])[1] for _ in bodies] == bodies
        assert [entry.data for entry in (await connection.read(CHANNEL, after=0, most=10)).entries] == bodies


# --- reads


async def test_a_read_that_is_given_up_ends_no_more_than_its_own_connection(
    server: PostgresEngine, broker: PostgresBroker, admin: Any, table: str
) -> None:
    async with connected(broker) as connection:
        await connection.subscribe([CHANNEL])
        await connection.append([to(CHANNEL)])
        await connection.read(CHANNEL, after=0, most=1)
        async with admin.transaction():
            await admin.execute(f"LOCK TABLE {table}_streams")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connection.read(CHANNEL, after=0, most=1)
        assert (await connection.read(CHANNEL, after=0, most=1)).last == 1
        await connection.append([to(CHANNEL)])
        assert [(await connection.receive())[0] for _ in range(2)] == [CHANNEL] * 2


async def test_a_reading_connection_that_was_lost_is_made_anew(broker: PostgresBroker, admin: Any) -> None:
    async with connected(broker) as connection:
        await connection.append([to(CHANNEL)])
        await connection.read(CHANNEL, after=0, most=1)
        lost = asyncio.Event()
        reader: Any = connection._reader._connection
        reader.add_termination_listener(lambda _: lost.set())
        await admin.execute("SELECT pg_terminate_backend($1)", reader.get_server_pid())
        await lost.wait()
        assert (await connection.read(CHANNEL, after=0, most=1)).last == 1


async def test_no_connection_for_reads_is_opened_before_the_first_or_after_the_end(broker: PostgresBroker) -> None:
    async with connected(broker) as connection:
        await connection.append([to(CHANNEL)])
        assert connection._reader._connection is None
        await connection.close()
        with pytest.raises(BrokerUnavailable):
            await connection.read(CHANNEL, after=0, most=1)


async def test_a_read_that_was_connecting_at_the_end_raises(broker: PostgresBroker) -> None:
    async with connected(broker) as connection:
        reading = asyncio.create_task(connection.read(CHANNEL, after=0, most=1))
        await asyncio.sleep(0)
        await connection.close()
        with pytest.raises(BrokerUnavailable):
            await reading


async def test_an_append_that_is_given_up_ends_the_connection(
    broker: PostgresBroker, admin: Any, table: str
) -> None:
    async with connected(broker) as connection:
        await connection.append([to(CHANNEL)])
        async with admin.transaction():
            await admin.execute(f"LOCK TABLE {table}_streams")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await connection.append([to(CHANNEL)])
        with pytest.raises(BrokerUnavailable):
            await connection.receive()


# --- long messages


async def test_a_long_message_is_there_once_and_can_be_fetched_when_the_stream_has_dropped_it(
    broker: PostgresBroker, admin: Any, table: str
) -> None:
    async with connected(broker) as connection:
        await connection.subscribe([CHANNEL])
        for number in range(5):
            await connection.append([to(CHANNEL, LONG + b"%d" % number, messages=1)])
        page = await connection.read(CHANNEL, after=0, most=10)
        assert [entry.offset for entry in page.entries] == [5]
        assert [await connection.receive() for _ in range(5)] == [
            (CHANNEL, b"@%b:%d:%d\n%b%d" % (page.epoch.encode(), number + 1, number, LONG, number))
            for number in range(5)
        ]
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 0
    held = await admin.fetch(f'SELECT until <= held FROM {table}_history WHERE "offset" < 5')
    assert [tuple(row) for row in held] == [(True,)] * 4


@pytest.mark.parametrize("change", ["DELETE FROM {table}_history", "UPDATE {table}_streams SET epoch = 'another'"])
async def test_a_long_message_that_is_gone_ends_the_connection(
    broker: PostgresBroker, admin: Any, table: str, change: str
) -> None:
    async with connected(broker) as connection:
        await connection.subscribe([CHANNEL])
        await connection.append([to(CHANNEL, LONG), to(CHANNEL, b"next")])
        await admin.execute(change.format(table=table))
        for _ in range(2):
            with pytest.raises(BrokerError, match="gone"):
                await connection.receive()
