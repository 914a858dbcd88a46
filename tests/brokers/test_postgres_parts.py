"""The parts of `PostgresBroker`, without a server."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.brokers.postgres import PostgresBroker
from fastapi_rooms.brokers.postgres_connection import PostgresConnection
from fastapi_rooms.brokers.postgres_streams import StreamReader, StreamTables
from fastapi_rooms.brokers.postgres_table import PayloadTable
from fastapi_rooms.brokers.postgres_wire import (
    LONGEST_CHANNEL,
    LONGEST_PAYLOAD,
    short_channel,
    stream_kind,
    unwrap,
    wrap,
    wrap_row,
)
from fastapi_rooms.brokers.streams import Place, placed
from fastapi_rooms.errors import BrokerOverflow, ConfigurationError

SECRET = "correct-horse"


# --- addresses and options


@pytest.mark.parametrize(
    ("dsn", "text"),
    [
        (f"postgresql://me:{SECRET}@db.example:5433/app", "PostgreSQL at db.example:5433/app"),
        (f"postgres://me:{SECRET}@[::1]:5432", "PostgreSQL at [::1]:5432"),
        (f"postgresql://me:{SECRET}@one:1,two:2/app?sslmode=require", "PostgreSQL at one:1,two:2/app"),
        (f"postgresql:///app?host=/run/postgresql&password={SECRET}", "PostgreSQL at /run/postgresql/app"),
        (f"postgresql://?host=db&port=5433&user=a@b&password={SECRET}", "PostgreSQL at db:5433"),
        ("postgresql://", "PostgreSQL at its default address"),
    ],
)
def test_a_broker_says_where_it_is_and_not_how_it_gets_in(dsn: str, text: str) -> None:
    assert str(PostgresBroker(dsn)) == text


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        f"redis://me:{SECRET}@host",
        f"postgresql+asyncpg://me:{SECRET}@host",
        f"postgresql://me:{SECRET}@host:port",
        f"postgresql://me:{SECRET}@host:99999",
        f"postgresql://me:{SECRET}@host:0",
        f"postgresql://me:{SECRET}@one,,two",
        f"postgresql://me:{SECRET}@[::1",
        f"postgresql://me:{SECRET}",
        f"postgresql://me:1@{SECRET}@host",
        f"postgresql://me:12/{SECRET}@host",
        f"postgresql://me:12#{SECRET}@host",
        f"postgresql://me:12?{SECRET}@host",
        f"postgresql://me:12?{SECRET}@host/a?b=c",
        f"postgresql://host/app?port=x&password={SECRET}",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        PostgresBroker(dsn)
    assert SECRET not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("table", ["", "1st", 'a"b', "a.b.c", "a; DROP TABLE b", "ä", "a-b", "x" * 49, "a\n"])
def test_a_table_that_is_no_plain_name_is_refused(table: str) -> None:
    with pytest.raises(ConfigurationError, match="table="):
        PostgresBroker("postgresql://", table=table)


@pytest.mark.parametrize("kept_for", [0.0, -1.0, 86_401.0, float("inf"), float("nan")])
def test_rows_are_kept_for_some_time(kept_for: float) -> None:
    with pytest.raises(ConfigurationError, match="kept_for"):
        PostgresBroker("postgresql://", kept_for=kept_for)


# --- how messages travel


@given(
    st.binary(max_size=9_000) | st.text(max_size=3_000).map(lambda text: text.encode(errors="replace")),
    st.booleans(),
)
def test_what_fits_into_a_notification_comes_out_as_it_went_in(data: bytes, utf8: bool) -> None:
    payload = wrap(data, number=255, utf8=utf8)
    if payload is None:
        assert len(data) > 5_900
        return
    assert "\0" not in payload
    assert len(payload.encode()) <= LONGEST_PAYLOAD
    assert utf8 or payload.isascii()
    assert unwrap(payload) == data


def test_text_fills_a_notification_to_the_last_byte() -> None:
    longest = LONGEST_PAYLOAD - len("t0:")
    assert wrap(b"x" * longest, number=0, utf8=True) is not None
    assert wrap(b"x" * (longest + 1), number=0, utf8=True) is None


def test_a_row_is_named_by_its_notification() -> None:
    row = uuid4()
    assert unwrap(wrap_row(row, number=7)) == row


@given(
    st.binary(max_size=9_000) | st.text(max_size=3_000).map(lambda text: text.encode(errors="replace")),
    st.booleans(),
)
def test_what_is_appended_comes_out_as_it_went_in_or_is_named(data: bytes, utf8: bool) -> None:
    kind, place = stream_kind(data, utf8=utf8), Place("e" * 16, 2**63 - 1, 2**63 - 2)
    body = "" if kind == "r" else data.decode() if kind == "t" else base64.b64encode(data).decode()
    payload = f"s{kind}{place.epoch}:{place.offset}:{body}"
    assert "\0" not in payload
    assert len(payload.encode()) <= LONGEST_PAYLOAD
    assert unwrap(payload) == (place if kind == "r" else placed(place, data))
    assert kind != "r" or len(data) > 5_800


@pytest.mark.parametrize(
    "payload",
    ["", "hello", "t", "tx:y", "b0:***", "r0:no-uuid", "z0:y", "t٣x:", "s", "stepoch", "sb1e:1:***", "st:1:x"],
)
def test_what_others_notify_comes_as_it_is(payload: str) -> None:
    assert unwrap(payload) == payload.encode()


@given(st.integers(min_value=0, max_value=300))
def test_a_channels_name_is_short_enough(length: int) -> None:
    name = short_channel("r" * length)
    assert len(name) <= LONGEST_CHANNEL
    assert (name == "r" * length) == (length <= LONGEST_CHANNEL)


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert short_channel("r" * 200 + "a") != short_channel("r" * 200 + "b")


# --- what waits


class _Driver:
    """A driver's connection that does nothing by itself."""

    def __init__(self) -> None:
        self.notify: Callable[[object, int, str, str], None] = lambda *_: None
        self.terminated = False
        self.requests = 0
        self.rows: dict[UUID, bytes] = {}
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def listen(self, channels: Sequence[str], callback: Callable[[object, int, str, str], None]) -> None:
        self.notify = callback

    async def unlisten(
        self, channels: Sequence[str], callback: Callable[[object, int, str, str], None]
    ) -> None: ...

    async def execute(self, query: str, *args: object) -> str:
        self.requests += 1
        return ""

    async def fetch(self, query: str, *args: object) -> Any:
        self.requests += 1
        return []

    def is_closed(self) -> bool:
        return self.terminated

    async def fetchval(self, query: str, *args: object) -> Any:
        self.asked.set()
        await self.answer.wait()
        return self.rows[args[0]]  # type: ignore[index]

    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...

    def terminate(self) -> None:
        self.terminated = True


async def two(connection: PostgresConnection) -> list[tuple[str, bytes]]:
    return [await connection.receive() for _ in range(2)]


def connection_of(listener: _Driver, publisher: _Driver) -> PostgresConnection:
    async def open_reader() -> _Driver:
        return _Driver()

    streams = StreamTables("payloads", fetchable_for=60)
    return PostgresConnection(
        listener,
        publisher,
        StreamReader(streams, open_reader),
        table=PayloadTable("payloads", kept_for=60),
        streams=streams,
        utf8=True,
    )


async def on_a_driver() -> tuple[_Driver, PostgresConnection]:
    driver = _Driver()
    connection = connection_of(driver, _Driver())
    await connection.subscribe(["rooms.all"])
    return driver, connection


async def test_more_than_may_wait_ends_the_connection() -> None:
    driver, connection = await on_a_driver()
    for number in range(10_000):
        driver.notify(None, 1, "rooms.all", f"t{number}:x")
    assert await connection.receive() == ("rooms.all", b"x")
    driver.notify(None, 1, "rooms.all", "t0:x")
    assert not driver.terminated
    driver.notify(None, 1, "rooms.all", "t0:x")
    assert driver.terminated
    driver.notify(None, 1, "rooms.all", "t0:x")
    for _ in range(2):
        with pytest.raises(BrokerOverflow):
            await connection.receive()


async def test_nothing_to_publish_is_no_request() -> None:
    publisher = _Driver()
    connection = connection_of(_Driver(), publisher)
    await connection.publish([])
    assert list(await connection.append([])) == []
    assert publisher.requests == 0


async def test_a_channel_that_is_not_listened_to_any_more_is_not_received() -> None:
    driver, connection = await on_a_driver()
    await connection.unsubscribe(["rooms.all"])
    driver.notify(None, 1, "rooms.all", "t0:late")
    await connection.subscribe(["rooms.all"])
    driver.notify(None, 1, "rooms.all", "t0:on time")
    assert await connection.receive() == ("rooms.all", b"on time")


async def test_a_long_message_is_not_overtaken_while_it_is_fetched() -> None:
    driver, connection = await on_a_driver()
    row = uuid4()
    driver.rows[row] = b"long"
    receiving = asyncio.create_task(two(connection))
    driver.notify(None, 1, "rooms.all", wrap_row(row, number=0))
    driver.notify(None, 1, "rooms.all", "t0:short")
    await driver.asked.wait()
    driver.answer.set()
    assert await receiving == [("rooms.all", b"long"), ("rooms.all", b"short")]
