"""Tickets in Redis and Valkey, with redis-py."""

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi_rooms.auth.unavailable import TicketStoreFull
from fastapi_rooms.brokers.cancelling import cancellable
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import ConfigurationError, MissingExtra
from fastapi_rooms.stores.address import parsed, shown, unusable
from fastapi_rooms.stores.guard import CLOSING, Guard

try:
    from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import OutOfMemoryError
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisTicketStore") from error

_MOST_CONNECTIONS: Final = 8
"""Of one store; an operation that finds all of them busy waits, within its timeout."""


_VALKEY: Final = re.compile(r"valkey(s?)(?=://)", re.IGNORECASE)


class RedisTicketStore:
    """Keeps tickets in Redis 6.2 or newer, or Valkey, for all processes of an app.

    A ticket is one key, `PREFIX.ticket.HASH`, which Redis forgets by its own clock when the ticket's time is
    over: the rate of tickets times their `ttl` bounds the store, and there is no `max_tickets` here. Taking one
    is `GETDEL`, which is atomic. A Redis that is told to evict keys (`maxmemory-policy`) may forget a ticket
    early; its client is refused, and asks for another. One that is full, and may not, raises `TicketStoreFull`.

    Connects at the first use, and anew after an outage; holds at most 8 connections.

    Args:
        server: A URL as redis-py takes it (`redis://`, `rediss://` for TLS, `unix://`), the same with `valkey://`
            or `valkeys://`, or a `redis.asyncio.Redis` or `RedisCluster` of your own. That must not decode
            responses, and should not retry (`retry=Retry(NoBackoff(), 0)`): a `GETDEL` that is sent again does not
            find what the first one took. `close` leaves it open.
        prefix: Tells apps at one Redis apart: 1 to 32 of `A-Za-z0-9_-`.
        timeout: Seconds for an operation, connecting included.

    Raises:
        ConfigurationError: An option cannot work. No part of the URL is in the message.
    """

    def __init__(self, server: str | Redis | RedisCluster, *, prefix: str = "rooms", timeout: float = 2.0) -> None:
        Channels(prefix)
        self._guard = Guard(self, timeout=timeout)
        self._prefix = prefix
        self._own = isinstance(server, str)
        self._client: Redis | RedisCluster
        self._client, self._where = (
            _from_url(server, timeout) if isinstance(server, str) else (server, _address_of(server))
        )
        if _options_of(self._client).get("decode_responses"):
            raise ConfigurationError("RedisTicketStore needs a client without decode_responses: values are bytes")

    def __str__(self) -> str:
        kind = "Redis Cluster" if isinstance(self._client, RedisCluster) else "Redis"
        return f"{kind} at {self._where}"

    def __repr__(self) -> str:
        return f"<RedisTicketStore: {self}>"

    async def put(self, ticket_hash: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds, to the millisecond above.

        Raises:
            TicketStoreFull: Redis has no memory left.
            AuthenticationUnavailable: Redis is out of reach, or did not answer in time.
        """

        async def put() -> None:
            try:
                await self._client.set(self._key(ticket_hash), value, px=math.ceil(ttl * 1000))
            except OutOfMemoryError as error:
                raise TicketStoreFull("too many tickets are waiting to be used") from error

        await self._guard.run(lambda: cancellable(put()))

    async def take(self, ticket_hash: str) -> bytes | None:
        """The value, removed; `None` where there is none, or its time is over. Atomic.

        Raises:
            AuthenticationUnavailable: Redis is out of reach, or did not answer in time. The ticket may be used up.
        """

        async def take() -> bytes | None:
            value: bytes | None = await self._client.getdel(self._key(ticket_hash))  # type: ignore[assignment]  # not decoded
            return value

        return await self._guard.run(lambda: cancellable(take()))

    async def close(self) -> None:
        """Close what the store has opened; never raises. A later use connects again."""
        if not self._own:
            return
        try:
            async with asyncio.timeout(CLOSING):
                await self._client.aclose()
        except Exception:  # noqa: BLE001 - it is given up in any case
            return

    def _key(self, ticket_hash: str) -> str:
        return f"{self._prefix}.ticket.{ticket_hash}"


def _from_url(url: str, timeout: float) -> tuple[Redis, str]:
    if (named := _VALKEY.match(url)) is not None:
        url = f"redis{named[1]}{url[named.end(1) :]}"
    parts = parsed(url, schemes=("redis", "rediss", "unix", "valkey", "valkeys"), store="RedisTicketStore")
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MOST_CONNECTIONS,
            timeout=timeout,
            decode_responses=False,
            protocol=2,  # with 3, redis-py does not look whether an idle connection is dead before it uses it
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            socket_keepalive=True,
        )
    except ValueError:
        raise unusable("RedisTicketStore") from None
    if parts.scheme == "rediss":  # redis-py before 6.0 does not, unless it is told to
        pool.connection_kwargs.setdefault("ssl_check_hostname", True)
    return Redis.from_pool(pool), shown(parts)


def _options_of(client: Redis | RedisCluster) -> Mapping[str, Any]:
    if isinstance(client, RedisCluster):
        return client.connection_kwargs
    return client.connection_pool.connection_kwargs


def _address_of(client: Redis | RedisCluster) -> str:
    if isinstance(client, RedisCluster):
        return ", ".join(sorted(client.nodes_manager.startup_nodes))
    options = _options_of(client)
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
