"""Redis and Valkey: publish and subscribe, with redis-py; see `redis_cluster` for clusters."""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi_rooms.brokers.cancelling import cancellable
from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.brokers.redis_cluster import SCHEMES, ClusterConnection, ClusterServers
from fastapi_rooms.brokers.redis_requests import Words, ask, connect, let_go, tell
from fastapi_rooms.brokers.redis_streams import append_by, read_by
from fastapi_rooms.brokers.streams import Append, Appended, Page
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError, MissingExtra

try:
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.client import PubSub
    from redis.asyncio.connection import AbstractConnection
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import SentinelConnectionPool
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisClusterException
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisBroker") from error

_PATH: Final = re.compile(r"(/\d*)?")

_NEVER: Final = Retry(NoBackoff(), 0, supported_errors=())
"""Else redis-py's pub/sub connects anew by itself, before it says that it was lost."""


class RedisBroker:
    """Carries messages through Redis 6.2 or newer, or Valkey, by `PUBLISH` and `SUBSCRIBE`.

    On one server all members of a room, in every process, get its messages in one order: the server's. What is
    published while a process is not connected is lost to it, unless the room has history.

    On Redis Cluster, 7.0 or newer, it is `SPUBLISH` and `SSUBSCRIBE`: each room is on the primary of its slot,
    which gives its messages their one order. All primaries are connected to; one that fails, or a slot that moves
    to another node, ends all connections, and new ones are made by a new map of the cluster.

    History is a Redis stream for each room; one script appends and publishes. Redis need not keep it on disk:
    after a start of the server, or when a replica has taken over, or a slot has moved, each stream begins anew
    with another epoch, whatever is there of the old one, for its end may be missing. It needs a user who may run
    the scripts, the same database in every process, and one more connection.

    Args:
        server: A URL as redis-py takes it (`redis://`, `rediss://` for TLS, `unix://`; user and password of an
            ACL in it); for a cluster `redis+cluster://HOST:PORT,HOST:PORT`, or `rediss+cluster://`, with one node
            or several. Or a client of your own: a `redis.asyncio.RedisCluster`, or a `redis.asyncio.Redis`, such
            as `Sentinel(...).master_for(...)` makes. A `Redis` must be made with `retry=Retry(NoBackoff(), 0)`,
            or a message might come twice, and without `decode_responses`. What a `RedisCluster` has of such
            options does not matter.
        prefix: See `Broker`.
        timings: See `BrokerTimings`.

    Raises:
        ConfigurationError: The URL cannot work, or the client retries, or decodes. No password is in the text.
    """

    def __init__(
        self, server: str | Redis | RedisCluster, *, prefix: str = "rooms", timings: BrokerTimings | None = None
    ) -> None:
        Channels(prefix)
        self.prefix = prefix
        self.timings = timings or BrokerTimings()
        self.shared = True
        self.message_bytes = 256 * 1024 * 1024
        self._server = self._from_url(server) if isinstance(server, str) else self._from_client(server)

    def __str__(self) -> str:
        return str(self._server)

    async def connect(self) -> "_RedisConnection | ClusterConnection":
        """Connect, once for publishing and once for listening; to each primary of a cluster."""
        connection = await self._server.connection()
        try:
            await cancellable(connection.open())
        except BaseException:
            await connection.close()
            raise
        return connection

    def _from_url(self, url: str) -> "_Server | ClusterServers":
        try:
            parts = urlsplit(url)
            if parts.scheme != "unix" and not _PATH.fullmatch(parts.path):
                raise ConfigurationError(
                    "RedisBroker: behind host and port of the URL comes a number, the database"
                )
            if parts.scheme in SCHEMES:
                return ClusterServers(url, timings=self.timings)
            return _Server(url, timings=self.timings)
        except (ValueError, TypeError, RedisClusterException):
            # What redis-py says may quote a password, or a part of one.
            raise ConfigurationError(
                "RedisBroker cannot use this URL: percent-encode what is special in user and password, and look "
                "at scheme, port and options"
            ) from None

    def _from_client(self, client: Redis | RedisCluster) -> "_Server | ClusterServers":
        if isinstance(client, RedisCluster):
            return ClusterServers(client, timings=self.timings)
        _check(client)
        return _Server(client, timings=self.timings)


class _Server:
    """One server, or the primary that Sentinel names: by a URL, or a client of the user's own."""

    def __init__(self, server: str | Redis, *, timings: BrokerTimings) -> None:
        self._timings = timings
        self._url = server if isinstance(server, str) else None
        self._client = self._from_url(server) if isinstance(server, str) else server

    def __str__(self) -> str:
        pool = self._client.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            return f"Redis, {pool.service_name} of Sentinel"
        options = pool.connection_kwargs
        where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return f"Redis at {where}"

    async def connection(self) -> "_RedisConnection":
        """A new one; it is not open yet."""
        if self._url is None:
            return _RedisConnection(self._client, own=False)
        return _RedisConnection(self._from_url(self._url), own=True)

    def _from_url(self, url: str) -> Redis:
        client = Redis.from_url(
            url,
            decode_responses=False,
            retry=_NEVER,
            socket_connect_timeout=self._timings.connect,
            socket_timeout=None,
            socket_keepalive=True,
            health_check_interval=0,
        )
        options = client.connection_pool.connection_kwargs
        if url.startswith("rediss:"):  # redis-py before 6.0 does not, unless it is told to
            options.setdefault("ssl_check_hostname", True)
        if url.startswith("unix:"):  # which has no such thing, and would refuse it
            options.pop("socket_keepalive")
        return client


def _check(client: Redis) -> None:
    pool = client.connection_pool
    if pool.connection_kwargs.get("decode_responses"):
        raise ConfigurationError("RedisBroker needs a client without decode_responses: messages are bytes")
    if pool.connection_class(**pool.connection_kwargs).retry._retries:
        raise ConfigurationError(
            "RedisBroker needs a client that does not retry, or a message might come twice: make it with "
            "retry=Retry(NoBackoff(), 0), of redis.asyncio.retry and redis.backoff, and without retry_on_timeout "
            "and retry_on_error"
        )


class _RedisConnection:
    """One connection that listens, one that publishes, and, once a stream was read, one that reads."""

    def __init__(self, client: Redis, *, own: bool) -> None:
        self._client = client
        self._own = own
        self._closed = False
        self._reading = asyncio.Lock()
        self._pubsub: PubSub = client.pubsub()
        pool = client.connection_pool
        self._publisher: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py has none
        self._transport: asyncio.WriteTransport | None = None
        self._ask = partial(ask, self._publisher)
        self._awaited: dict[bytes, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Connect both."""
        self._transport = await connect(self._publisher)
        await tell(self._publisher, [("PING",)])
        await self._pubsub.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
        if self._pubsub.connection is not None:
            self._pubsub.connection.retry = _NEVER

    async def subscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.subscribe`."""
        await self._confirmed(channels, self._pubsub.subscribe)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.unsubscribe`."""
        await self._confirmed(channels, self._pubsub.unsubscribe)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See `BrokerConnection.publish`."""
        await tell(self._publisher, [("PUBLISH", *message) for message in messages])

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        """See `StreamConnection.append`."""
        return await append_by(self._ask, messages, command="PUBLISH")

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`."""
        async with self._reading:
            if self._closed:
                raise BrokerUnavailable("the connection is closed")
            try:
                return await read_by(self._ask_beside, channel, after=after, most=most)
            finally:
                if self._closed and self._own:  # its connection may have been made after the others were closed
                    await self._client.aclose()

    async def receive(self) -> tuple[str, bytes]:
        """See `BrokerConnection.receive`."""
        while True:
            message = await self._pubsub.get_message(timeout=None)
            if message is None:
                continue
            channel: bytes = message["channel"]
            if message["type"] == "message":
                return channel.decode("ascii", "replace"), message["data"]
            confirmed = self._awaited.pop(channel, None)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)

    async def close(self) -> None:
        """See `BrokerConnection.close`."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        await let_go(self._publisher.disconnect(nowait=True))
        await let_go(self._pubsub.aclose())  # type: ignore[no-untyped-call]  # redis-py has no types there
        if self._own:
            await let_go(self._client.aclose())

    async def _ask_beside(self, commands: Sequence[Words]) -> Sequence[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)

    async def _confirmed(self, channels: Sequence[str], ask: Any) -> None:
        loop = asyncio.get_running_loop()
        awaited = {channel.encode("ascii"): loop.create_future() for channel in channels}
        self._awaited.update(awaited)
        await ask(*channels)
        await asyncio.gather(*awaited.values())
