"""PostgreSQL: LISTEN and NOTIFY, with asyncpg, and a table for what is too long for a notification."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.brokers.postgres_address import shown
from fastapi_rooms.brokers.postgres_connection import LONGEST_MESSAGE, Notified, PostgresConnection
from fastapi_rooms.brokers.postgres_streams import StreamReader, StreamTables
from fastapi_rooms.brokers.postgres_table import PayloadTable
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import ConfigurationError, MissingExtra

try:
    import asyncpg  # type: ignore[import-untyped]  # it ships no types
except ImportError as error:
    raise MissingExtra(extra="postgres", feature="PostgresBroker") from error


class PostgresBroker:
    """Carries messages through PostgreSQL 13 or newer, by `LISTEN` and `NOTIFY`.

    All members of a room, in every process, get its messages in one order: that of the commits. What is published
    while a process is not connected is lost to it. Messages of up to some 8,000 bytes travel within the
    notification (binary ones up to some 5,900), longer ones as rows of a table. Rows are deleted some time later
    by those who write new ones.

    Rooms with history have tables beside that one: `<table>_streams`, `<table>_history` and `<table>_keys`. A
    function in PL/pgSQL keeps a message and notifies, in one transaction and one request. Offsets are 1, 2, 3 and
    so on, in the order of the commits. All tables are `UNLOGGED`: a crash empties them. What was kept is given up,
    with a new epoch, whenever the server starts, and where rows come from a copy.

    Each process holds two connections, one listens and one publishes, and a third from its first look at a history
    on. They must reach the server itself, or a pooler that keeps a session for each client: one that does not
    (PgBouncer's transaction mode) forgets who listens. Whoever may connect to the database may listen to it, and
    may publish.

    Args:
        dsn: `postgresql://user:password@host:port/database`, as asyncpg takes it: several hosts (the primary is
            found), `sslmode` and the like behind `?`. What the password holds of `@ : / ? # %` is percent-encoded.
        prefix: See `Broker`.
        timings: See `BrokerTimings`.
        table: Where long messages are: `table`, or `schema.table`. `create_schema` makes it. Processes that
            talk to each other must name the same. What keeps history is named after it.
        kept_for: Seconds for which a long message is kept, at most a day; in a room with history for at least as
            long. A process that fetches it later gives its connection up, and connects anew. A row may be there
            for a quarter longer, and the last ones until somebody publishes a long message again.

    Raises:
        ConfigurationError: The URL, or another option, cannot work.
    """

    def __init__(
        self,
        dsn: str,
        *,
        prefix: str = "rooms",
        timings: BrokerTimings | None = None,
        table: str = "fastapi_rooms_payloads",
        kept_for: float = 60.0,
    ) -> None:
        Channels(prefix)
        self.prefix = prefix
        self.timings = timings or BrokerTimings()
        self.shared = True
        self.message_bytes = LONGEST_MESSAGE
        self._dsn = dsn
        self._where = shown(dsn)
        self._table = PayloadTable(table, kept_for=kept_for)
        self._streams = StreamTables(table, fetchable_for=kept_for)

    def __str__(self) -> str:
        return f"PostgreSQL at {self._where}"

    async def create_schema(self) -> None:
        """Create the tables and functions that are missing. Any number of processes may call it at once.

        Needs a role that may create both there, and owns those that an earlier version has made; and PL/pgSQL,
        which a database has unless somebody has dropped it. Roles that only use them need `SELECT`, `INSERT` and
        `DELETE` on the table for long messages; for history these and `UPDATE` on `<table>_streams`,
        `<table>_history` and `<table>_keys`, and `EXECUTE` on the functions, which everybody has by default.

        Raises:
            Exception: Whatever asyncpg raises.
        """
        connection = await self._open()
        try:
            await self._table.create(connection)
            await self._streams.create(connection)
        finally:
            connection.terminate()

    async def connect(self) -> PostgresConnection:
        """Connect, once for listening and once for publishing.

        Raises:
            ConfigurationError: A table or a function is missing: `create_schema` makes it.
            Exception: Whatever asyncpg raises.
        """
        listener = await self._open()
        try:
            await self._check(listener)
            publisher = await self._open()
        except BaseException:
            listener.terminate()
            raise
        return PostgresConnection(
            listener,
            publisher,
            StreamReader(self._streams, self._open),
            table=self._table,
            streams=self._streams,
            utf8=listener.holds_any_text,
        )

    async def _open(self) -> "_DriverConnection":
        return await _open(self._dsn, within=self.timings.connect)

    async def _check(self, connection: "_DriverConnection") -> None:
        for missing, found in (
            (f"table {self._table.name}", await self._table.exists(connection)),
            (f"tables for streams, {self._table.name}_streams and others", await self._streams.exist(connection)),
        ):
            if not found:
                raise ConfigurationError(
                    f"{self} has no {missing}: call `await broker.create_schema()` once, "
                    "before the app is started, with a role that may create it"
                )


_ISOLATION: Final = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""The default, unless the database has another: then appends at the same time would fail."""


class _DriverConnection(asyncpg.Connection):  # type: ignore[misc]  # the driver ships no types
    """A connection that listens to many channels in one request, and is over when a request is cancelled.

    The driver asks for one channel after the other; and it cancels a request over a connection of its own, which
    is of no use with a server that is silent.
    """

    _asked = False

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """The command's status."""
        try:
            status: str = await super().execute(query, *args, timeout=timeout)
        except asyncio.CancelledError:
            self.terminate()
            raise
        return status

    async def fetchval(self, query: str, *args: object, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row."""
        try:
            return await super().fetchval(query, *args, column=column, timeout=timeout)
        except asyncio.CancelledError:
            self.terminate()
            raise

    async def listen(self, channels: Sequence[str], callback: Notified) -> None:
        """Listen to these too; returns when the server has confirmed it."""
        await self.execute(_each("LISTEN", channels))
        self._asked = True
        try:
            for channel in channels:  # nothing here waits, so no notification is missed
                await self.add_listener(channel, callback)
        finally:
            self._asked = False

    async def unlisten(self, channels: Sequence[str], callback: Notified) -> None:
        """Listen to these no more."""
        await self.execute(_each("UNLISTEN", channels))
        self._asked = True
        try:
            for channel in channels:
                await self.remove_listener(channel, callback)
        finally:
            self._asked = False

    async def fetch(self, query: str, *args: Any, timeout: float | None = None, record_class: Any = None) -> Any:
        """As ever, but for the driver's own LISTEN and UNLISTEN, where ours has been confirmed."""
        if self._asked and query.startswith(("LISTEN ", "UNLISTEN ")):
            return []
        try:
            return await super().fetch(query, *args, timeout=timeout, record_class=record_class)
        except asyncio.CancelledError:
            self.terminate()
            raise

    @property
    def holds_any_text(self) -> bool:
        """Whether the database holds any text."""
        return bool(self.get_settings().server_encoding == "UTF8")


async def _open(dsn: str, *, within: float) -> _DriverConnection:
    try:
        async with asyncio.timeout(within):
            connection: _DriverConnection = await asyncpg.connect(
                dsn, connection_class=_DriverConnection, target_session_attrs="primary"
            )
            await connection.execute(_ISOLATION)
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigurationError(f"PostgresBroker: {error}") from None
    return connection


def _each(command: str, channels: Sequence[str]) -> str:
    # Neither takes parameters.
    return ";".join(f'{command} "{channel.replace(chr(34), 2 * chr(34))}"' for channel in channels)
