"""What we ask of nats-py, beside JetStream: one connection, and its end."""

import asyncio
import ssl
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote

from fastapi_rooms.brokers.nats_transport import Login, SecureTransport, start
from fastapi_rooms.errors import ConfigurationError, MissingExtra
from fastapi_rooms.stores.address import parsed, unusable
from fastapi_rooms.stores.guard import CLOSING

try:
    from nats.aio.client import Client
except ImportError as error:
    raise MissingExtra(extra="nats", feature="NatsTicketStore") from error


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
    login = Login(
        user=None if first.username is None else unquote(first.username),
        password=None if first.password is None else unquote(first.password),
    )
    client = Client()
    if secure:
        client._transport = SecureTransport(secure=True)
    try:
        # One that nats-py made anew would let a deletion that waited for it use up a ticket after the 503.
        await start(
            client,
            [one.netloc.rpartition("@")[2] for one in servers],
            name="fastapi-rooms tickets",
            timeout=timeout,
            login=login,
            tls=ssl.create_default_context() if secure else None,
            failed=_ignore,
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
