"""The table through which messages travel that are too long for a notification of PostgreSQL."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol
from uuid import UUID

from fastapi_rooms.errors import BrokerError, ConfigurationError

_NAME: Final = re.compile(r"(?:(?P<schema>[A-Za-z_][A-Za-z0-9_]{0,62})\.)?(?P<table>[A-Za-z_][A-Za-z0-9_]{0,47})")

_SWEPT_AT_ONCE: Final = 1_000
"""Rows in one deletion, so that it is over soon; more than one request to publish may add."""

_A_DAY: Final = 86_400.0

_NOTIFY: Final = (
    "SELECT pg_catalog.pg_notify(m.channel, m.payload)"
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m(channel, payload, number) ORDER BY m.number"
)


class Querying(Protocol):
    """What is asked of a connection of the driver."""

    async def execute(self, query: str, *args: object) -> str:
        """The command's status."""
        ...

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value."""
        ...

    async def fetch(self, query: str, *args: object) -> Any:
        """All rows."""
        ...


def quoted(name: str, suffix: str = "") -> str:
    """A `table`, or `schema.table`, as statements have it; with something behind the table's part.

    Raises:
        ConfigurationError: It is no plain name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigurationError(
            f"table={name!r} must be a table, or schema.table: letters, digits and _, "
            "no digit first, and at most 48 in the table's part"
        )
    return ".".join(f'"{part}"' for part in (found["schema"], found["table"] + suffix) if part)


def lock_number(name: str) -> int:
    """An advisory lock of this name: a number that is ours alone, we hope."""
    digest = hashlib.sha256(f"fastapi_rooms {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Sweeper:
    """Says when it is time to look for what is too old.

    Args:
        every: Seconds between two looks.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._at = 0.0

    async def sweep_if_due(self, sweep: Callable[[], Awaitable[bool]]) -> None:
        """Look, if it is time; once more at the next call, while there is more."""
        now = asyncio.get_running_loop().time()
        if now >= self._at:
            self._at = now + self._every
            if await sweep():
                self._at = now


class PayloadTable:
    """Its statements. Its name is the only thing that is written into them.

    Args:
        name: `table`, or `schema.table`: letters, digits and `_`, at most 48 in the table's part.
        kept_for: Seconds after which a row is deleted; at most a day.
    """

    def __init__(self, name: str, *, kept_for: float) -> None:
        self._quoted = quoted(name)
        if not 0 < kept_for <= _A_DAY:
            raise ConfigurationError(f"kept_for={kept_for!r} must be more than 0, and at most a day")
        self.name = name
        self.kept_for = kept_for
        self._index = quoted(name.rsplit(".", maxsplit=1)[-1], "_written")
        self._lock = lock_number(name)

    async def create(self, connection: Querying) -> None:
        """Create what is missing; who comes at the same time waits. One request, so one transaction."""
        await connection.execute(
            f"SELECT pg_catalog.pg_advisory_xact_lock({self._lock});"
            f" CREATE UNLOGGED TABLE IF NOT EXISTS {self._quoted} ("
            " id uuid PRIMARY KEY, data bytea NOT NULL, written timestamptz NOT NULL DEFAULT pg_catalog.now());"
            f" CREATE INDEX IF NOT EXISTS {self._index} ON {self._quoted} (written)"
        )

    async def exists(self, connection: Querying) -> bool:
        """Whether it is there, and in sight."""
        found: bool = await connection.fetchval("SELECT pg_catalog.to_regclass($1) IS NOT NULL", self._quoted)
        return found

    async def notify(self, connection: Querying, channels: list[str], payloads: list[str]) -> None:
        """Send notifications, in this order, in one transaction."""
        if len(channels) == 1:
            await connection.execute("SELECT pg_catalog.pg_notify($1, $2)", channels[0], payloads[0])
            return
        await connection.execute(_NOTIFY, channels, payloads)

    async def keep_and_notify(
        self,
        connection: Querying,
        channels: list[str],
        payloads: list[str],
        *,
        rows: list[UUID],
        messages: list[bytes],
    ) -> None:
        """Keep messages as these rows, and send the notifications that name them, in one transaction."""
        kept = f"INSERT INTO {self._quoted} (id, data) SELECT * FROM unnest($3::uuid[], $4::bytea[])"  # noqa: S608 - a checked name
        await connection.execute(f"WITH kept AS ({kept}) {_NOTIFY}", channels, payloads, rows, messages)

    async def fetch(self, connection: Querying, row: UUID) -> bytes:
        """The message of a row.

        Raises:
            BrokerError: It is not there any more.
        """
        query = f"SELECT data FROM {self._quoted} WHERE id = $1"  # noqa: S608 - a checked name
        data: bytes | None = await connection.fetchval(query, row)
        if data is None:
            raise BrokerError(
                f"a message was gone from {self.name} before it was fetched: "
                f"this process is {self.kept_for:g} s late, or PostgreSQL has started anew"
            )
        return data

    async def sweep(self, connection: Querying) -> bool:
        """Delete rows that are old, unless somebody else is at it; whether there may be more."""
        old = (
            f"SELECT id FROM {self._quoted}"  # noqa: S608 - a checked name
            " WHERE written < pg_catalog.now() - pg_catalog.make_interval(secs => $1)"
            f" ORDER BY written LIMIT {_SWEPT_AT_ONCE}"
        )
        status = await connection.execute(
            f"DELETE FROM {self._quoted}"  # noqa: S608 - a checked name
            f" WHERE (SELECT pg_catalog.pg_try_advisory_xact_lock($2)) AND id IN ({old})",
            self.kept_for,
            self._lock,
        )
        return status == f"DELETE {_SWEPT_AT_ONCE}"
