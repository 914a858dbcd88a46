"""Redis and Valkey: publish and subscribe, with redis-py."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import ConfigurationError, MissingExtra

try:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisBroker") from error

_PATH: Final = re.compile(r"(/\d*)?")

_CLOSING: Final = 1.0
"""Seconds for a goodbye to an engine that may be silent."""


class RedisBroker:
    """Carries messages through Redis 6.2 or newer, or Valkey, by `PUBLISH` and `SUBSCRIBE`.

    On one server all members of a room, in every process, get its messages in one order: the server's. Redis keeps
    nothing: what is published while a process is not connected is lost to it.

    Args:
        server: A URL as redis-py takes it (`redis://`, `rediss://` for TLS, `unix://`; user and password of an
            ACL in it), or a `redis.asyncio.Redis` of your own, such as `Sentinel(...).master_for(...)` makes. A
            client of your own must not retry (`retry=Retry(NoBackoff(), 0)`), or a message may come twice.
        prefix: See `Broker`.
        timings: See `BrokerTimings`.
    """

    def __init__(
        self, server: str | Redis, *, prefix: str = "rooms", timings: BrokerTimings | None = None
    ) -> None:
        Channels(prefix)
        self.prefix = prefix
        self.timings = timings or BrokerTimings()
        self.shared = True
        self.message_bytes = 256 * 1024 * 1024
        if (
            isinstance(server, str)
            and not server.startswith("unix:")
            and not _PATH.fullmatch(urlsplit(server).path)
        ):
            raise ConfigurationError("RedisBroker: behind host and port of the URL comes a number, the database")
        self._url = server if isinstance(server, str) else None
        self._client = self._from_url(server) if isinstance(server, str) else server

    def __str__(self) -> str:
        options = self._client.connection_pool.connection_kwargs
        where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        return f"Redis at {where}"

    async def connect(self) -> "_RedisConnection":
        """Connect, once for publishing and once for listening."""
        own = self._client if self._url is None else self._from_url(self._url)
        connection = _RedisConnection(own, own=self._url is not None)
        try:
            await connection.open()
        except BaseException:
            await connection.close()
            raise
        return connection

    def _from_url(self, url: str) -> Redis:
        try:
            return Redis.from_url(
                url,
                decode_responses=False,
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=self.timings.connect,
                socket_timeout=None,
                socket_keepalive=True,
                health_check_interval=0,
            )
        except ValueError:
            # What redis-py says may quote a password, or a part of one.
            raise ConfigurationError(
                "RedisBroker cannot use this URL: percent-encode what is special in user and password, and look "
                "at scheme, port and options"
            ) from None


class _RedisConnection:
    """One connection that listens, and one that publishes."""

    def __init__(self, client: Redis, *, own: bool) -> None:
        self._client = client
        self._own = own
        self._pubsub: PubSub = client.pubsub()
        self._awaited: dict[bytes, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Connect both."""
        await self._client.ping()
        await self._pubsub.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there

    async def subscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.subscribe`."""
        await self._confirmed(channels, self._pubsub.subscribe)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.unsubscribe`."""
        await self._confirmed(channels, self._pubsub.unsubscribe)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See `BrokerConnection.publish`."""
        if len(messages) == 1:
            await self._client.publish(*messages[0])
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            for channel, data in messages:
                pipeline.publish(channel, data)
            await pipeline.execute()

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
        try:
            async with asyncio.timeout(_CLOSING):
                await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # as above
                if self._own:
                    await self._client.aclose()
        except Exception:  # noqa: BLE001 - it is given up in any case
            return

    async def _confirmed(self, channels: Sequence[str], ask: Any) -> None:
        loop = asyncio.get_running_loop()
        awaited = {channel.encode("ascii"): loop.create_future() for channel in channels}
        self._awaited.update(awaited)
        await ask(*channels)
        await asyncio.gather(*awaited.values())
