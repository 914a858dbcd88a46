"""NATS: core publish and subscribe, with nats-py."""

import asyncio
import math
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastapi_rooms.brokers.arrivals import MOST_WAITING, Arrivals
from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.brokers.nats_address import Server, parsed
from fastapi_rooms.brokers.nats_credentials import CredentialsFile
from fastapi_rooms.brokers.nats_streams import HARMLESS, NatsStreams
from fastapi_rooms.brokers.nats_transport import AbortingTransport, start
from fastapi_rooms.brokers.streams import Append, Appended, Page
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import BrokerOverflow, BrokerUnavailable, ConfigurationError, MissingExtra

try:
    from nats.aio.client import Client, RawCredentials
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.errors import ConnectionClosedError, Error, NoServersError, SlowConsumerError, UnexpectedEOF
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsBroker") from error

_CLOSING: Final = 1.0
"""Seconds for nats-py to end its tasks; nothing is sent meanwhile."""


class NatsBroker:
    """Carries messages through NATS 2.2 or newer, by core publish and subscribe.

    All that one process publishes to a room comes to everyone in that order; what several processes publish at the
    same time may come to some in another order than to others. NATS keeps nothing: what is published while a
    process is not connected is lost to it. In a cluster of NATS servers a subscription is confirmed by the server
    that it was made at, and the others hear of it a moment later: what is published at those in between is missed.

    History needs JetStream and NATS 2.11; its first use without them raises `ConfigurationError`. It is in the
    stream `PREFIX_history`, from which the server publishes as it stores: in one order for everyone. There each
    message is kept for a day, or as long as was ever asked for, and each channel keeps as many as any asked for,
    though readers get no more than they should. A server that is alone begins all epochs anew when it starts. In a
    cluster they last as long as the stream: one that lost messages, or is an older copy, must be deleted. A
    `version` is compared with the last one that is still kept.

    Attributes:
        message_bytes: The server's `max_payload`; 1 MiB, the default of NATS, until the first connection.

    Args:
        servers: A URL, or several of one NATS cluster: `nats://host:4222`, or `tls://` where nothing may be sent
            unencrypted; `user:password@` or `token@` before the host, percent-encoded. Each attempt to connect
            tries them all in random order, with an equal share of `BrokerTimings.connect` for each.
        prefix: See `Broker`.
        timings: See `BrokerTimings`.
        tls: How to encrypt, and whom to trust; given, it makes every server a `tls://` one. `None`: as the system
            does.
        user_credentials: The path of a credentials file (JWT and NKey seed); read anew at each connection.

    Raises:
        ConfigurationError: A URL that cannot work, no URL at all, or no such file. No password is in the message.
        MissingExtra: There are `user_credentials`, but no nkeys package.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        prefix: str = "rooms",
        timings: BrokerTimings | None = None,
        tls: ssl.SSLContext | None = None,
        user_credentials: str | Path | None = None,
    ) -> None:
        Channels(prefix)
        self.prefix = prefix
        self.timings = timings or BrokerTimings()
        self.shared = True
        self.message_bytes: int | None = 1024 * 1024
        urls = (servers,) if isinstance(servers, str) else tuple(servers)
        if not urls:
            raise ConfigurationError("NatsBroker needs a server")
        self._servers = tuple(parsed(url, secure=tls is not None) for url in urls)
        self._tls = tls
        self._credentials = None if user_credentials is None else CredentialsFile(user_credentials)

    def __str__(self) -> str:
        return f"NATS at {', '.join(map(str, self._servers))}"

    async def connect(self) -> "_NatsConnection":
        """Connect to one of the servers."""
        failed: Exception | None = None
        credentials = None if self._credentials is None else self._credentials.read()
        for server in random.sample(self._servers, len(self._servers)):
            connection = _NatsConnection(server, prefix=self.prefix, timeout=self.timings.publish)
            try:
                async with asyncio.timeout(self.timings.connect / len(self._servers)):
                    self.message_bytes = await connection.open(self._tls, credentials, self.timings.connect)
            except Exception as error:  # noqa: BLE001 - one server's failure is not the others'
                failed = error
                await connection.close()
            except BaseException:
                await connection.close()
                raise
            else:
                return connection
        raise failed or BrokerUnavailable(f"{self} is out of reach")


class _NatsConnection:
    """One connection; the first thing that goes wrong with it ends it, and nats-py does not make another."""

    def __init__(self, server: Server, *, timeout: float, prefix: str = "rooms") -> None:
        self._server = server
        self._timeout = timeout
        self._client = Client()
        self._transport = AbortingTransport(self._lose, secure=server.secure)
        self._streams = NatsStreams(self._client, prefix=prefix, lose=self._lose)
        self._subscriptions: dict[str, Subscription] = {}
        self._deadlines: set[asyncio.Timeout] = set()
        self._arrivals: Arrivals[tuple[str, bytes]] = Arrivals()
        self._refused: Exception | None = None
        self._closed = asyncio.Event()

    async def open(self, tls: ssl.SSLContext | None, credentials: RawCredentials | None, timeout: float) -> int:
        """Connect; returns how long a message may be."""
        self._client._transport = self._transport
        try:
            await start(
                self._client,
                [str(self._server)],
                name="fastapi-rooms",
                timeout=timeout,
                login=replace(self._server.login, credentials=credentials),
                tls=tls,
                failed=self._failed,
                ended=self._ended,
            )
        except NoServersError as error:
            raise self._refused or error from None
        if self._arrivals.error is not None or not self._client.is_connected:
            raise self._arrivals.error or ConnectionClosedError
        return self._client.max_payload

    async def subscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.subscribe`."""
        for channel in channels:
            if channel not in self._subscriptions:
                self._subscriptions[channel] = await self._client.subscribe(
                    channel, cb=self._came, pending_msgs_limit=MOST_WAITING
                )
        await self._confirmed()

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.unsubscribe`."""
        for channel in channels:
            subscription = self._subscriptions.pop(channel, None)
            if subscription is not None:
                await subscription.unsubscribe()
        await self._confirmed()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See `BrokerConnection.publish`."""
        for channel, data in messages:
            await self._client.publish(channel, data)
        await self._confirmed()

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        """See `StreamConnection.append`."""
        async with self._answered():
            return await self._streams.append(messages)

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`."""
        async with self._answered():
            return await self._streams.read(channel, after=after, most=most)

    async def receive(self) -> tuple[str, bytes]:
        """See `BrokerConnection.receive`."""
        return await self._arrivals.get()

    async def close(self) -> None:
        """See `BrokerConnection.close`."""
        self._lose(ConnectionClosedError())
        try:
            async with asyncio.timeout(_CLOSING):
                await self._client.close()
                await self._closed.wait()
        except Exception:  # noqa: BLE001 - it is given up in any case
            return

    async def _confirmed(self) -> None:
        """Returns when the server has taken what was written before; raises as soon as that cannot be any more."""
        try:
            async with self._in_time():
                await self._flush()
        except BaseException as error:
            # An answer to a ping that nobody waits for would end nats-py's reader, silently.
            self._lose(self._silence())
            if not isinstance(error, Exception):
                raise
        if self._arrivals.error is not None:
            raise self._arrivals.error

    @asynccontextmanager
    async def _answered(self) -> AsyncIterator[None]:
        """What goes wrong in it ends the connection."""
        try:
            async with self._in_time():
                yield
        except HARMLESS:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised, or what it came from
            self._lose(self._silence() if isinstance(error, TimeoutError) else error)
            raise self._arrivals.error or error from None

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """What is done in it ends in time, and as soon as the connection does."""
        if self._arrivals.error is not None:
            raise self._arrivals.error
        async with asyncio.timeout(self._timeout) as deadline:
            self._deadlines.add(deadline)
            try:
                yield
            finally:
                self._deadlines.discard(deadline)

    def _silence(self) -> BrokerUnavailable:
        return BrokerUnavailable(f"NATS at {self._server} has not confirmed in time", maybe_published=True)

    async def _flush(self) -> None:
        """Have a ping answered that was written after all commands.

        nats-py writes a ping at once, ahead of commands that its flusher still holds back. The flusher writes in
        the next turn of the loop; or, where it waits for the socket, before the next ping is answered.
        """
        await asyncio.sleep(0)
        if self._client.pending_data_size:
            await self._client.flush(math.ceil(self._timeout))
        await self._client.flush(math.ceil(self._timeout))

    async def _came(self, message: Msg) -> None:
        data = self._streams.placed(message)
        if data is not None:
            self._arrivals.put((message.subject, data))
        if self._arrivals.error is not None:  # there are too many
            self._hang_up()

    async def _failed(self, error: Exception) -> None:
        """Whatever nats-py reports: it goes on without what failed, and we do not."""
        if not self._client.is_connected:
            self._refused = self._refused or error
        elif isinstance(error, SlowConsumerError):
            self._lose(BrokerOverflow(waiting=MOST_WAITING))
        else:
            self._lose(error)

    async def _ended(self) -> None:
        self._lose(self._client.last_error or ConnectionClosedError())
        self._closed.set()

    def _lose(self, error: Exception) -> None:
        if self._arrivals.error is not None:
            return
        said = self._client.last_error
        if isinstance(error, (UnexpectedEOF, OSError)) and isinstance(said, Error):
            error = said  # before it hung up
        self._arrivals.end(error)
        self._hang_up()

    def _hang_up(self) -> None:
        self._transport.close()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(0)
