"""What we ask of nats-py, beside JetStream: one connection, and its end."""

import asyncio
import math
import ssl
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote

from fastapi_rooms.errors import ConfigurationError, MissingExtra
from fastapi_rooms.stores.address import parsed, unusable
from fastapi_rooms.stores.guard import CLOSING

try:
    from nats.aio.client import Client
    from nats.aio.transport import TcpTransport
    from nats.errors import SecureConnWantedError
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsTicketStore") from error


class _SecureTransport(TcpTransport):
    """Writes nothing before the connection is encrypted; nats-py would, if the server says so."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py has left the annotation out

    def __bool__(self) -> bool:
        return True  # else nats-py makes one of its own

    def write(self, payload: bytes) -> None:
        """Write a ping; or, first of all, who we are."""
        if self._io_writer is None or self._io_writer.get_extra_info("ssl_object") is None:
            raise SecureConnWantedError
        self._io_writer.write(payload)


def servers_of(server: str | Sequence[str]) -> tuple[SplitResult, ...]:
    """URLs of one cluster, looked over.

    Raises:
        ConfigurationError: They cannot work. No part of them is in the message.
    """
    urls = (server,) if isinstance(server, str) else tuple(server)
    servers = tuple(parsed(url, schemes=("nats", "tls"), store="NatsTicketStore") for url in urls)
    for one in servers:
        if not one.hostname or one.path.strip("/") or one.query or one.fragment or "," in one.netloc:
            raise unusable("NatsTicketStore")
    if len({one.netloc.rpartition("@")[0] for one in servers}) != 1:
        raise ConfigurationError("NatsTicketStore needs a URL, or several with the same user and password")
    return servers


async def connect(servers: Sequence[SplitResult], *, timeout: float) -> Client:
    """Connect to one of the servers; what goes wrong with the connection later ends it.

    Raises:
        Exception: What the driver raises.
    """
    secure = any(one.scheme == "tls" for one in servers)
    first = servers[0]
    user = None if first.username is None else unquote(first.username)
    password = None if first.password is None else unquote(first.password)
    client = Client()
    if secure:
        client._transport = _SecureTransport()
    try:
        await client.connect(
            [f"nats://{one.netloc.rpartition('@')[2]}" for one in servers],
            name="fastapi-rooms tickets",
            allow_reconnect=False,  # a deletion that waited for it would use up a ticket after the 503
            max_reconnect_attempts=1,  # 0 would be without end
            reconnect_time_wait=0,
            connect_timeout=math.ceil(timeout),
            pending_size=0,  # else a full buffer is waited for in a way that swallows cancellation
            flusher_queue_size=0,  # the same
            error_cb=_ignore,
            tls=ssl.create_default_context() if secure else None,
            user=user if password is not None else None,
            password=password,
            token=user if password is None else None,
        )
    except BaseException:
        await let_go(client)
        raise
    return client


async def _ignore(_error: Exception) -> None:
    """What goes wrong is seen by the operation that it goes wrong for."""


async def let_go(client: Client) -> None:
    """Close a connection; never raises, and does not wait for a peer that is silent."""
    try:
        async with asyncio.timeout(CLOSING):
            await client.close()
    except Exception:  # noqa: BLE001 - it is given up in any case
        return
