"""The tables in which PostgreSQL keeps streams, beside the one for long messages."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from fastapi_rooms.brokers import postgres_streams_schema as schema
from fastapi_rooms.brokers.postgres_table import Querying, Sweeper, lock_number, quoted
from fastapi_rooms.brokers.postgres_wire import short_channel, stream_kind
from fastapi_rooms.brokers.streams import IDEMPOTENT_FOR, REMEMBERED, Append, Appended, Entry, Page, Place
from fastapi_rooms.errors import BrokerError, BrokerUnavailable, ConfigurationError

_SWEEP_EVERY: Final = 30.0
"""Seconds between two looks for what is too old, of one process; none while much is found."""

_SWEPT_AT_ONCE: Final = 1_000
"""Rows of each table in one deletion, so that it is over soon."""

_UNUSED_FOR: Final = REMEMBERED + 3_600.0
"""What says when a stream was used is up to an hour late."""

_TABLES: Final = ("streams", "history", "keys")

_FUNCTIONS: Final = {
    "append": "text[],text[],integer[],bytea[],text[],bigint[],double precision[],bytea[],numeric[],"
    "double precision,double precision",
    "read": "text,bigint,bigint",
    "sweep": "bigint,integer,double precision",
}
"""Those that are called from here, and what they take."""

_REFUSED: Final = ("42501", "42P01", "42883")
"""What PostgreSQL says of a right, a table or a function that is missing."""


class Reading(Querying, Protocol):
    """What is asked of the driver's connection that reads."""

    def is_closed(self) -> bool:
        """Whether it is gone."""
        ...

    def terminate(self) -> None:
        """Let go of it at once."""
        ...


class StreamTables:
    """Their statements. Their names are the only thing that is written into them.

    Args:
        name: What theirs begin with, as `PayloadTable` takes it.
        fetchable_for: Seconds for which a message can be fetched that was too long for its notification.
    """

    def __init__(self, name: str, *, fetchable_for: float) -> None:
        self._name = name
        self._fetchable_for = fetchable_for
        self._lock = lock_number(f"{name} streams")
        self._sweeper = Sweeper(_SWEEP_EVERY)
        objects = (*_TABLES, *_FUNCTIONS, "stream", "trim")
        self._names = {part: quoted(name, f"_{part}") for part in objects}
        self._append = f"SELECT epochs, offsets, repeated, stale FROM {self._names['append']}({_parameters(11)})"  # noqa: S608 - a checked name
        self._read = f"SELECT epoch, last, place, message FROM {self._names['read']}({_parameters(3)})"  # noqa: S608 - a checked name
        self._sweep = f"SELECT {self._names['sweep']}({_parameters(3)})"
        self._fetch = (
            f"SELECT h.data FROM {self._names['history']} h JOIN {self._names['streams']} s USING (channel)"  # noqa: S608 - a checked name
            ' WHERE h.channel = $1 AND h."offset" = $2 AND s.epoch = $3'
        )

    async def create(self, connection: Querying) -> None:
        """Create what is missing; who comes at the same time waits. One request, so one transaction."""
        table = self._name.split(".")[-1]
        indexes = {f"{part}_index": quoted(table, f"_{part}_old") for part in _TABLES}
        parts = (schema.TABLES, schema.STREAM, schema.TRIM, schema.APPEND, schema.READ, schema.SWEEP)
        made = "".join(part.format(**self._names, **indexes) for part in parts)
        await connection.execute(f"SELECT pg_catalog.pg_advisory_xact_lock({self._lock});{made}")

    async def exist(self, connection: Querying) -> bool:
        """Whether they are there, and in sight."""
        found: bool = await connection.fetchval(
            "SELECT pg_catalog.bool_and(pg_catalog.to_regclass(t) IS NOT NULL)"
            " AND pg_catalog.bool_and(pg_catalog.to_regprocedure(f) IS NOT NULL)"
            " FROM unnest($1::text[], $2::text[]) AS u(t, f)",
            [self._names[table] for table in _TABLES],
            [f"{self._names[function]}({takes})" for function, takes in _FUNCTIONS.items()],
        )
        return found

    async def append(self, connection: Querying, messages: Sequence[Append], *, utf8: bool) -> list[Appended]:
        """Keep them and notify, in one transaction and one request; where each went, in their order.

        Raises:
            ConfigurationError: The role lacks a right, or the schema a part. The connection is as good as before.
        """
        order = sorted(range(len(messages)), key=lambda index: messages[index].channel)
        by_channel = [messages[index] for index in order]
        with self._refusals():
            ((epochs, offsets, repeated, stale),) = await connection.fetch(
                self._append,
                [message.channel for message in by_channel],
                [short_channel(message.channel) for message in by_channel],
                [index + 1 for index in order],
                [message.data for message in by_channel],
                [stream_kind(message.data, utf8=utf8) for message in by_channel],
                [message.messages for message in by_channel],
                [message.seconds for message in by_channel],
                [_hashed(message.idempotency_key) for message in by_channel],
                [message.version for message in by_channel],
                IDEMPOTENT_FOR,
                self._fetchable_for,
            )
        return [Appended(*where) for where in zip(epochs, offsets, repeated, stale, strict=True)]

    async def read(self, connection: Querying, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`. One request.

        Raises:
            ConfigurationError: As `append`.
        """
        with self._refusals():
            rows = await connection.fetch(self._read, channel, after, most)
        entries = [Entry(offset, offset - 1, data) for _, _, offset, data in rows if offset is not None]
        return Page(rows[0][0], rows[0][1], entries)

    async def fetch(self, connection: Querying, channel: str, place: Place) -> bytes:
        """The message at a place that a notification named.

        Raises:
            BrokerError: It is not there any more.
        """
        data: bytes | None = await connection.fetchval(self._fetch, channel, place.offset, place.epoch)
        if data is None:
            raise BrokerError(
                f"a message was gone from {self._name}_history before it was fetched: "
                f"this process is more than {self._fetchable_for:g} s late, or the stream has begun anew"
            )
        return data

    async def sweep_if_due(self, connection: Querying) -> None:
        """Now and then, delete some of what is too old, unless somebody else is at it.

        Raises:
            ConfigurationError: As `append`.
        """

        async def sweep() -> bool:
            more: bool = await connection.fetchval(self._sweep, self._lock, _SWEPT_AT_ONCE, _UNUSED_FOR)
            return more

        with self._refusals():
            await self._sweeper.sweep_if_due(sweep)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if getattr(error, "sqlstate", None) not in _REFUSED:
                raise
            raise ConfigurationError(
                f"PostgresBroker: history needs the tables and functions that begin with {self._name}, "
                f"which `create_schema` makes, and the right to use them: {error}"
            ) from error


class StreamReader:
    """Reads streams over a connection of its own, opened at the first read, and anew after one that was cancelled.

    Args:
        tables: Where they are.
        opening: Opens a connection.
    """

    def __init__(self, tables: StreamTables, opening: Callable[[], Awaitable[Reading]]) -> None:
        self._tables = tables
        self._opening = opening
        self._turn = asyncio.Lock()
        self._connection: Reading | None = None
        self._closed = False

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`; one after the other."""
        async with self._turn:
            connection = await self._connected()
            await self._tables.sweep_if_due(connection)
            return await self._tables.read(connection, channel, after=after, most=most)

    def close(self) -> None:
        """Let go of it at once; reads that wait raise."""
        self._closed = True
        if self._connection is not None:
            self._connection.terminate()

    async def _connected(self) -> Reading:
        if self._closed:
            raise BrokerUnavailable("the connection to PostgreSQL is closed")
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._opening()
            if self._closed:
                self._connection.terminate()
                raise BrokerUnavailable("the connection to PostgreSQL is closed")
        return self._connection


def _parameters(number: int) -> str:
    return ", ".join(f"${index}" for index in range(1, number + 1))


def _hashed(key: str | None) -> bytes | None:
    return None if key is None else hashlib.sha256(key.encode()).digest()
