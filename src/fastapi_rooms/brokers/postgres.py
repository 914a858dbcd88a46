"""PostgreSQL: LISTEN and NOTIFY, with asyncpg, and a table for what is too long for a notification."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.brokers.postgres_address import shown
from fastapi_rooms.brokers.postgres_connection import LONGEST_MESSAGE, Notified, PostgresConnection
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

    Each process holds two connections: one listens, one publishes. They must reach the server itself, or a pooler
    that keeps a session for each client: one that does not (PgBouncer's transaction mode) forgets who listens.
    Whoever may connect to the database may listen to it, and may publish.

    Args:
        dsn: `postgresql://user:password@host:port/database`, as asyncpg takes it: several hosts (the primary is
            found), `sslmode` and the like behind `?`. What the password holds of `@ : / ? # %` is percent-encoded.
        prefix: See `Broker`.
        timings: See `BrokerTimings`.
        table: Where long messages are: `table`, or `schema.table`. `create_schema` makes it. Processes that
            talk to each other must name the same.
        kept_for: Seconds for which a long message is kept, at most a day. A process that fetches it later gives
            its connection up, and connects anew. A row may be there for a quarter longer, and the last ones
            until somebody publishes a long message again.

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

    def __str__(self) -> str:
        return f"PostgreSQL at {self._where}"

    async def create_schema(self) -> None:
        """Create the table for long messages, unless it is there. Any number of processes may call it at once.

        Needs a role that may create tables there. Roles that only use it need `SELECT`, `INSERT` and `DELETE`
        on it.

        Raises:
            Exception: Whatever asyncpg raises.
        """
        connection = await _open(self._dsn, within=self.timings.connect)
        try:
            await self._table.create(connection)
        finally:
            connection.terminate()

    async def connect(self) -> PostgresConnection:
        """Connect, once for listening and once for publishing.

        Raises:
            ConfigurationError: The table is missing: `create_schema` makes it.
            Exception: Whatever asyncpg raises.
        """
        listener = await _open(self._dsn, within=self.timings.connect)
        try:
            await self._check(listener)
            publisher = await _open(self._dsn, within=self.timings.connect)
        except BaseException:
            listener.terminate()
            raise
        return PostgresConnection(listener, publisher, self._table, utf8=listener.holds_any_text)

    async def _check(self, connection: "_DriverConnection") -> None:
        if not await self._table.exists(connection):
            raise ConfigurationError(
                f"{self} has no table {self._table.name}: call `await broker.create_schema()` once, "
                "before the app is started, with a role that may create it"
            )


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
        return await super().fetch(query, *args, timeout=timeout, record_class=record_class)

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
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigurationError(f"PostgresBroker: {error}") from None
    return connection


def _each(command: str, channels: Sequence[str]) -> str:
    # Neither takes parameters.
    return ";".join(f'{command} "{channel.replace(chr(34), 2 * chr(34))}"' for channel in channels)
