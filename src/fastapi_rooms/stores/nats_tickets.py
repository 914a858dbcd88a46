"""Tickets in NATS, in a key-value bucket of JetStream, with nats-py."""

import asyncio
import math
import re
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from fastapi_rooms.auth.unavailable import AuthenticationUnavailable
from fastapi_rooms.brokers.cancelling import cancellable
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import ConfigurationError, MissingExtra
from fastapi_rooms.stores.address import shown
from fastapi_rooms.stores.guard import Guard
from fastapi_rooms.stores.nats_client import connect, let_go, servers_of

try:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import KeyValueConfig
    from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
    from nats.js.errors import Error as JetStreamError
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsTicketStore") from error

_T = TypeVar("_T")

_KEY: Final = re.compile(r"[A-Za-z0-9_=-]{1,128}")

_TTL: Final = struct.Struct(">d")
"""What stands before each value: its time in seconds."""

_WRONG_REVISION: Final = frozenset({10071, 10164})
"""JetStream's error codes where a key was not at the revision that was expected."""

_MARK_KEPT_FOR: Final = 60
"""Seconds for which a deletion is marked, where the server can forget single messages (2.11)."""


class NatsTicketStore:
    """Keeps tickets in a key-value bucket of NATS, for all processes of an app.

    Needs JetStream (`nats-server -js`). The bucket is `PREFIX-tickets`. It is made at the first use, unless it is
    there already: `nats kv add PREFIX-tickets --history=1 --ttl=1h`. Taking a ticket is a deletion of the very
    revision that was read, so one of any number of takers succeeds. Its time is counted by the clock of NATS.

    The bucket forgets everything after `longest_ttl` seconds, so the rate of tickets times that bounds it. NATS
    2.11 or newer forgets a ticket when its own time is over, and the mark of its deletion after a minute, where
    the store has made the bucket. There is no `max_tickets` here.

    Connects at the first use, and anew after an outage; holds one connection.

    Args:
        server: A URL, or several of one NATS cluster: `nats://host:4222`, or `tls://` where nothing may be sent
            unencrypted; `user:password@` or `token@` before the host, percent-encoded, the same in all of them.
            Or a connected `nats.aio.client.Client` of your own, which `close` leaves open.
        prefix: Tells apps at one NATS apart: 1 to 32 of `A-Za-z0-9_-`.
        timeout: Seconds for an operation, connecting included.
        longest_ttl: Seconds for which the bucket keeps anything, if the store makes it; at least the `ttl` of
            `Tickets`.
        replicas: Servers of the cluster that keep the bucket, if the store makes it.

    Raises:
        ConfigurationError: An option cannot work. No part of a URL is in the message.
    """

    def __init__(
        self,
        server: str | Sequence[str] | Client,
        *,
        prefix: str = "rooms",
        timeout: float = 2.0,
        longest_ttl: float = 3600.0,
        replicas: int = 1,
    ) -> None:
        Channels(prefix)
        if not 1 <= longest_ttl < math.inf:
            raise ConfigurationError(f"longest_ttl={longest_ttl!r} must be at least 1 second, and finite")
        self._guard = Guard(self, timeout=timeout)
        self._bucket = KeyValueConfig(bucket=f"{prefix}-tickets", history=1, ttl=longest_ttl, replicas=replicas)
        self._theirs = server if isinstance(server, Client) else None
        self._servers = () if isinstance(server, Client) else servers_of(server)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._ready: Client | None = None
        self._longest = longest_ttl
        self._forgets_single = False

    def __str__(self) -> str:
        return f"NATS at {', '.join(map(shown, self._servers)) or 'an address of the client'}"

    def __repr__(self) -> str:
        return f"<NatsTicketStore: {self}>"

    async def put(self, ticket_hash: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds.

        Raises:
            AuthenticationUnavailable: NATS is out of reach, or has no JetStream, or did not answer in time.
            ConfigurationError: `ttl` is more than the bucket's, or the bucket keeps for ever.
        """
        subject = self._subject(ticket_hash)

        async def put(stream: JetStreamContext) -> None:
            if ttl > self._longest:
                raise ConfigurationError(
                    f"the bucket {self._bucket.bucket} forgets after {self._longest:g} s, "
                    f"and a ticket was to be kept for {ttl:g} s: give it a longer TTL"
                )
            await stream.publish(subject, _TTL.pack(ttl) + value, headers=self._forgotten_after(ttl))

        await self._run(put)

    async def take(self, ticket_hash: str) -> bytes | None:
        """The value, removed; `None` where there is none, or its time is over. Atomic.

        Raises:
            AuthenticationUnavailable: NATS is out of reach, or has no JetStream, or did not answer in time. The
                ticket may be used up.
        """
        subject = self._subject(ticket_hash)

        async def take(stream: JetStreamContext) -> bytes | None:
            try:
                return await self._take(stream, subject)
            except NotFoundError:
                return None
            except APIError as error:
                if error.err_code in _WRONG_REVISION:  # somebody else has taken it
                    return None
                raise

        return await self._run(take)

    async def close(self) -> None:
        """Close what the store has opened; never raises. A later use connects again."""
        client, self._client = self._client, None
        if client is not None:
            await let_go(client)

    async def _take(self, stream: JetStreamContext, subject: str) -> bytes | None:
        kept = await stream.get_msg(self._stream, subject=subject)
        if kept.data is None or (kept.headers and "KV-Operation" in kept.headers):
            return None  # the mark of a deletion
        mark = {
            "KV-Operation": "DEL",
            "Nats-Expected-Last-Subject-Sequence": str(kept.seq),
            **self._forgotten_after(_MARK_KEPT_FOR),
        }
        deleted = await stream.publish(subject, headers=mark)
        # Only what is stored has a time, and it is the server's: hosts whose clocks differ agree on it.
        marked = await stream.get_msg(self._stream, seq=deleted.seq)
        if marked.time is None or kept.time is None:
            return None
        (ttl,) = _TTL.unpack_from(kept.data)
        in_time = (marked.time - kept.time).total_seconds() < ttl
        return kept.data[_TTL.size :] if in_time else None

    @property
    def _stream(self) -> str:
        return f"KV_{self._bucket.bucket}"

    def _subject(self, ticket_hash: str) -> str:
        if not _KEY.fullmatch(ticket_hash):  # a wildcard would take anybody's ticket
            raise ConfigurationError("NatsTicketStore: a ticket's hash is 1 to 128 of A-Z a-z 0-9 _ = -")
        return f"$KV.{self._bucket.bucket}.{ticket_hash}"

    def _forgotten_after(self, ttl: float) -> dict[str, str]:
        return {"Nats-TTL": str(math.ceil(ttl))} if self._forgets_single else {}

    async def _run(self, ask: Callable[[JetStreamContext], Coroutine[Any, Any, _T]]) -> _T:
        client: Client | None = None

        async def run() -> _T:
            nonlocal client
            client = await self._connected()
            return await cancellable(ask(client.jetstream(timeout=self._guard.timeout)))

        try:
            return await self._guard.run(run)
        except AuthenticationUnavailable as error:
            if client is not None:
                await self._failed(client, error.__cause__)
            raise

    async def _failed(self, client: Client, error: BaseException | None) -> None:
        """What NATS answers leaves the connection as it is; the bucket may be gone."""
        if self._ready is client:
            self._ready = None
        if client is self._client and not isinstance(error, JetStreamError):
            await self.close()

    async def _connected(self) -> Client:
        async with self._connecting:
            client = self._theirs or self._client
            if client is None or (client is self._client and not client.is_connected):
                await self.close()
                client = self._client = await connect(self._servers, timeout=self._guard.timeout)
            if self._ready is not client:
                await cancellable(self._find_bucket(client.jetstream(timeout=self._guard.timeout)))
                self._ready = client
            return client

    async def _find_bucket(self, stream: JetStreamContext) -> None:
        try:
            found = await stream.stream_info(self._stream)
        except NotFoundError:
            await stream.create_key_value(self._bucket)
            found = await stream.stream_info(self._stream)
        except ServiceUnavailableError as error:
            raise JetStreamError("is not there: start nats-server with -js") from error
        if not found.config.max_age:
            raise ConfigurationError(f"the bucket {self._bucket.bucket} keeps tickets for ever: give it a TTL")
        self._longest = found.config.max_age
        self._forgets_single = bool(found.config.allow_msg_ttl)
