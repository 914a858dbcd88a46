"""One primary of a Redis Cluster, and what is asked of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

from fastapi_rooms.brokers.redis_requests import Words, ask, connect, send, tell
from fastapi_rooms.errors import BrokerUnavailable, MissingExtra

try:
    from redis.asyncio import Connection
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisBroker") from error

Command: TypeAlias = tuple[str, str] | tuple[str, str, bytes]
"""What to do, the channel, and the message."""

Inbox: TypeAlias = asyncio.Queue[tuple[str, bytes] | Exception]
"""Channels and messages, until there is an error."""


class Node:
    """A connection that listens, one that publishes, and, once a stream was read, one that reads.

    They are bare ones, which do not send again what has failed.

    Args:
        node: Where, and with which options of the cluster's client.
        timeout: Seconds to connect.
    """

    def __init__(self, node: ClusterNode, *, timeout: float) -> None:
        self._listener = _connection_to(node, timeout=timeout)
        self._publisher = _connection_to(node, timeout=timeout)
        self._reader = _connection_to(node, timeout=timeout)
        self._reading = asyncio.Lock()
        self._closed = False
        self._awaited: dict[tuple[bytes, bytes], asyncio.Future[None]] = {}
        self._pong = asyncio.Event()
        self._transports: dict[Connection, asyncio.WriteTransport] = {}

    @property
    def answered(self) -> bool:
        """Whether the last probe was answered."""
        return self._pong.is_set()

    async def open(self) -> None:
        """Connect those that listen and publish."""
        for connection in (self._listener, self._publisher):
            await self._connect(connection)

    async def close(self) -> None:
        """Let go of all."""
        self._closed = True
        for transport in self._transports.values():
            transport.abort()
        for connection in (self._listener, self._publisher, self._reader):
            await connection.disconnect(nowait=True)

    async def publish(self, commands: Sequence[Command]) -> None:
        """Publish these; returns when the node has taken them all."""
        await tell(self._publisher, commands)

    async def ask(self, commands: Sequence[Words]) -> Sequence[Any]:
        """The answers, in order, of the connection that publishes; what is refused is an error among them."""
        return await ask(self._publisher, commands)

    async def ask_beside(self, commands: Sequence[Words]) -> Sequence[Any]:
        """As `ask`, beside it: several calls may run at once, and one that is cancelled harms no other."""
        async with self._reading:
            try:
                await self._open_reader()
                return await ask(self._reader, commands)
            except BaseException:
                await self._reader.disconnect(nowait=True)  # else the next one would get the rest of this answer
                raise

    async def confirmed(self, commands: Sequence[Command]) -> None:
        """Have the listener do this; returns when the node has confirmed it."""
        loop = asyncio.get_running_loop()
        awaited = {
            (command[0].lower().encode("ascii"), command[1].encode("ascii")): loop.create_future()
            for command in commands
        }
        self._awaited.update(awaited)
        await send(self._listener, commands)
        await asyncio.gather(*awaited.values())

    async def probe(self) -> None:
        """Ask whether it is there; returns when it has answered."""
        self._pong.clear()
        await self._listener.send_command("PING", check_health=False)
        await self._pong.wait()

    async def listen(self, inbox: Inbox) -> None:
        """Put messages there, for good.

        Raises:
            BrokerUnavailable: The slot of a channel that is listened to is not this node's any more.
            Exception: Whatever redis-py raises.
        """
        while True:
            match await self._listener.read_response():
                case [b"smessage", bytes() as channel, bytes() as data]:
                    await inbox.put((channel.decode("ascii", "replace"), data))
                case [b"ssubscribe" | b"sunsubscribe" as kind, bytes() as channel, _]:
                    self._confirm(kind, channel)
                case _:
                    self._pong.set()

    async def _open_reader(self) -> None:
        if not self._closed and not self._reader.is_connected:
            await self._connect(self._reader)
        if self._closed:  # meanwhile, too
            raise BrokerUnavailable("the connection is closed")

    async def _connect(self, connection: Connection) -> None:
        transport = await connect(connection)
        if transport is not None:
            self._transports[connection] = transport

    def _confirm(self, kind: bytes, channel: bytes) -> None:
        awaited = self._awaited.pop((kind, channel), None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)
        elif awaited is None and kind == b"sunsubscribe":  # nobody asked for it
            raise BrokerUnavailable(f"the slot of {channel.decode('ascii', 'replace')} has moved to another node")


def _connection_to(node: ClusterNode, *, timeout: float) -> Connection:
    """As the user's client makes them, but for what pub/sub needs."""
    options: dict[str, Any] = {
        name: value for name, value in node.connection_kwargs.items() if "maint_notifications" not in name
    }
    options |= {
        "decode_responses": False,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": timeout,
        "socket_timeout": None,
        "socket_keepalive": True,
        "health_check_interval": 0,
    }
    return node.connection_class(**options)
