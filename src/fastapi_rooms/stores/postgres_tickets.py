"""Tickets in PostgreSQL, with asyncpg."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import ConfigurationError, MissingExtra
from fastapi_rooms.stores.address import parsed, shown, unusable
from fastapi_rooms.stores.guard import Guard

try:
    import asyncpg  # type: ignore[import-untyped]  # it ships no types
except ImportError as error:
    raise MissingExtra(extra="postgres", feature="PostgresTicketStore") from error

_T = TypeVar("_T")

_SWEEP_EVERY: Final = 30.0
"""Seconds between two looks for expired rows, of one process; none while many are found."""

_SWEPT_AT_ONCE: Final = 1_000
"""Rows in one deletion, so that it is over soon; it comes with a request that adds one."""

_LOCK: Final = 7_208_853_091_664_310_611
"""Of who creates the table: a number that is ours alone, we hope."""

_CREATE: Final = (
    f"SELECT pg_catalog.pg_advisory_xact_lock({_LOCK});"
    " CREATE UNLOGGED TABLE IF NOT EXISTS fastapi_rooms_tickets ("
    " prefix text NOT NULL, hash text NOT NULL, value bytea NOT NULL, expires timestamptz NOT NULL,"
    " PRIMARY KEY (prefix, hash));"
    " CREATE INDEX IF NOT EXISTS fastapi_rooms_tickets_expires ON fastapi_rooms_tickets (expires)"
)

_PUT: Final = (
    "INSERT INTO fastapi_rooms_tickets (prefix, hash, value, expires)"
    " VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))"
    " ON CONFLICT (prefix, hash) DO UPDATE SET value = excluded.value, expires = excluded.expires"
)

_TAKE: Final = (
    "DELETE FROM fastapi_rooms_tickets WHERE prefix = $1 AND hash = $2"
    " RETURNING CASE WHEN clock_timestamp() < expires THEN value END"
)

_SWEEP: Final = (
    "WITH old AS (SELECT prefix, hash FROM fastapi_rooms_tickets WHERE expires < clock_timestamp()"
    " ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED)"
    " DELETE FROM fastapi_rooms_tickets AS t USING old WHERE t.prefix = old.prefix AND t.hash = old.hash"
)


class _Querying(Protocol):
    """What is asked of a connection of the driver, or of a pool."""

    async def execute(self, query: str, *args: object) -> str: ...

    async def fetchval(self, query: str, *args: object) -> Any: ...


class PostgresTicketStore:
    """Keeps tickets in PostgreSQL 13 or newer, for all processes of an app.

    A ticket is one row of the table `fastapi_rooms_tickets`, good until its time is over by the server's clock.
    Taking it is `DELETE ... RETURNING`, which is atomic. Every 30 seconds a `put` deletes expired rows, up to
    1,000 of them; while there are more, so does each `put` that follows. So the rate of tickets times their
    `ttl`, and those 30 seconds, bounds the table; the last rows stay until somebody puts again. There is no
    `max_tickets` here. The table is `UNLOGGED`: a crash of PostgreSQL empties it, and clients ask for new tickets.

    Connects at the first use, and anew after an outage; holds one connection, which operations share in turn.

    Args:
        server: `postgresql://user:password@host:port/database`, as asyncpg takes it (with several hosts, the
            primary is found); or an `asyncpg.Pool` of your own, which `close` leaves open.
        prefix: Tells apps at one database apart: 1 to 32 of `A-Za-z0-9_-`.
        timeout: Seconds for an operation, connecting included.

    Raises:
        ConfigurationError: An option cannot work. No part of the URL is in the message.
    """

    def __init__(self, server: str | asyncpg.Pool, *, prefix: str = "rooms", timeout: float = 2.0) -> None:
        Channels(prefix)
        self._guard = Guard(self, timeout=timeout)
        self._prefix = prefix
        self._dsn = server if isinstance(server, str) else None
        self._pool: _Querying | None = None if isinstance(server, str) else server
        self._where = "an address of the pool's"
        if isinstance(server, str):
            self._where = shown(parsed(server, schemes=("postgresql", "postgres"), store="PostgresTicketStore"))
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._sweep_at = 0.0

    def __str__(self) -> str:
        return f"PostgreSQL at {self._where}"

    def __repr__(self) -> str:
        return f"<PostgresTicketStore: {self}>"

    async def create_schema(self) -> None:
        """Create the table, unless it is there. Any number of processes may call it at once.

        Needs a role that may create tables. Roles that only use it need `SELECT`, `INSERT`, `UPDATE` and `DELETE`.

        Raises:
            AuthenticationUnavailable: PostgreSQL is out of reach, did not answer in time, or refused.
        """
        await self._run(lambda connection: connection.execute(_CREATE))

    async def put(self, ticket_hash: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds; now and then, delete expired ones first.

        Raises:
            AuthenticationUnavailable: PostgreSQL is out of reach, or did not answer in time.
            ConfigurationError: There is no table: see `create_schema`.
        """

        async def put(connection: _Querying) -> None:
            await self._sweep_if_due(connection)
            await connection.execute(_PUT, self._prefix, ticket_hash, value, ttl)

        await self._run(put)

    async def take(self, ticket_hash: str) -> bytes | None:
        """The value, removed; `None` where there is none, or its time is over. Atomic.

        Raises:
            AuthenticationUnavailable: PostgreSQL is out of reach, or did not answer in time. The ticket may be
                used up.
            ConfigurationError: There is no table: see `create_schema`.
        """

        async def take(connection: _Querying) -> bytes | None:
            try:
                value: bytes | None = await connection.fetchval(_TAKE, self._prefix, ticket_hash)
            except asyncpg.SerializationError:  # isolation above READ COMMITTED: somebody else has taken it
                return None
            return value

        return await self._run(take)

    async def close(self) -> None:
        """Close the store's connection; never raises, and waits for nobody. A later use connects again."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _run(self, ask: Callable[[_Querying], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            try:
                if self._pool is not None:
                    return await ask(self._pool)
                async with self._turn:
                    return await self._ask(ask)
            except asyncpg.UndefinedTableError:
                raise ConfigurationError(
                    f"{self} has no table fastapi_rooms_tickets: call `await store.create_schema()` once, "
                    "before the app is started, with a role that may create it"
                ) from None

        return await self._guard.run(run)

    async def _ask(self, ask: Callable[[_Querying], Awaitable[_T]]) -> _T:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        try:
            return await ask(self._connection)
        except BaseException:
            await self.close()  # an answer may still come; or this server is no primary any more
            raise

    async def _connect(self) -> Any:
        try:
            return await asyncpg.connect(self._dsn, target_session_attrs="primary")
        except asyncpg.ClientConfigurationError:
            raise unusable("PostgresTicketStore") from None

    async def _sweep_if_due(self, connection: _Querying) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP_EVERY
        if await connection.execute(_SWEEP, _SWEPT_AT_ONCE) == f"DELETE {_SWEPT_AT_ONCE}":
            self._sweep_at = now
