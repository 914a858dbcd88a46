"""Redis Cluster: each channel on the node of its slot, by sharded publish and subscribe."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from fastapi_rooms.brokers.cancelling import cancellable
from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.brokers.redis_cluster_node import Command, Inbox, Node
from fastapi_rooms.brokers.redis_streams import append_by, read_by
from fastapi_rooms.brokers.streams import Append, Appended, Page
from fastapi_rooms.errors import BrokerUnavailable, MissingExtra

try:
    from redis.asyncio import RedisCluster
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisBroker") from error

SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Of URLs of a cluster, and what redis-py calls them."""

_MOST_WAITING: Final = 256
"""Messages that may wait for `receive`; then no more are read from the nodes."""

_CLOSING: Final = 1.0
"""Seconds for own tasks to end."""

_PATIENCE: Final = 0.5
"""What a node that is asked for the map has of the time to connect: a silent one leaves time for others."""


class ClusterServers:
    """The nodes of a cluster: those that a URL names and that were seen last, or a client of the user's own.

    Args:
        server: A URL with one of `SCHEMES`, where several nodes may stand, `HOST:PORT,HOST:PORT`; or a client.
        timings: See `BrokerTimings`.

    Raises:
        ValueError: The URL cannot work; so do `TypeError` and `RedisClusterException`. They may quote a password.
    """

    def __init__(self, server: str | RedisCluster, *, timings: BrokerTimings) -> None:
        self._timings = timings
        self._url, self._named = _split(server) if isinstance(server, str) else ("", [])
        self._seen: list[tuple[str, int]] = []
        self._client = server if isinstance(server, RedisCluster) else None
        known = (self._client or self._from_url()).nodes_manager.startup_nodes
        self._where = ", ".join(sorted(known))

    def __str__(self) -> str:
        return f"Redis Cluster at {self._where}"

    async def connection(self) -> "ClusterConnection":
        """One for the cluster as it is now; it is not open yet."""
        if self._client is None:
            cluster = await self._look()
        else:
            cluster = self._client
            await cancellable(cluster.initialize())
            await cancellable(cluster.nodes_manager.initialize())  # which the line above does the first time alone
        return ClusterConnection(cluster, timings=self._timings)

    async def _look(self) -> RedisCluster:
        cluster = self._from_url()
        try:
            await cancellable(cluster.nodes_manager.initialize())
        finally:
            for nodes in ("nodes_cache", "startup_nodes"):
                await cluster.nodes_manager.aclose(nodes)
        self._seen = [(node.host, int(node.port)) for node in cluster.get_nodes()]
        return cluster

    def _from_url(self) -> RedisCluster:
        """Asks the nodes that were seen, and those of the URL too: all may have got new addresses meanwhile."""
        timeout = self._timings.connect * _PATIENCE
        nodes = [ClusterNode(host, port) for host, port in {*self._seen, *self._named}]
        random.shuffle(nodes)  # silent ones are not always the first
        return RedisCluster.from_url(
            self._url,
            startup_nodes=nodes,
            decode_responses=False,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            ssl_check_hostname=True,
        )


class ClusterConnection:
    """Connections to each primary, to listen, to publish and to read; all end with the first that fails.

    Args:
        cluster: Says which node has a channel.
        timings: How often nodes are asked whether they are there, and how long they have to answer.
    """

    def __init__(self, cluster: RedisCluster, *, timings: BrokerTimings) -> None:
        self._cluster = cluster
        self._timings = timings
        self._nodes = {node.name: Node(node, timeout=timings.connect) for node in cluster.get_primaries()}
        self._tasks: list[asyncio.Task[None]] = []
        self._inbox: Inbox = asyncio.Queue(_MOST_WAITING)

    async def open(self) -> None:
        """Connect to all primaries."""
        async with asyncio.TaskGroup() as tasks:
            for node in self._nodes.values():
                tasks.create_task(node.open())
        for node in self._nodes.values():
            self._tasks.append(asyncio.create_task(self._listen(node), name="fastapi_rooms cluster listener"))
        self._tasks.append(asyncio.create_task(self._watch(), name="fastapi_rooms cluster watcher"))

    async def subscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.subscribe`."""
        await self._confirmed("SSUBSCRIBE", channels)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.unsubscribe`."""
        await self._confirmed("SUNSUBSCRIBE", channels)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See `BrokerConnection.publish`. Several nodes get theirs at the same time, each in order."""
        nodes = self._by_node(("SPUBLISH", channel, data) for channel, data in messages)
        if len(nodes) == 1:
            ((node, commands),) = nodes.items()
            await node.publish(commands)
            return
        async with asyncio.TaskGroup() as tasks:
            for node, commands in nodes.items():
                tasks.create_task(node.publish(commands))

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        """See `StreamConnection.append`. Several nodes get theirs at the same time, each in order."""
        nodes: dict[Node, list[int]] = {}
        for number, message in enumerate(messages):
            nodes.setdefault(self._node_of(message.channel), []).append(number)
        if len(nodes) == 1:
            return await _append(next(iter(nodes)), messages)
        asked = (_append(node, [messages[number] for number in numbers]) for node, numbers in nodes.items())
        places: dict[int, Appended] = {}
        for numbers, answers in zip(
            nodes.values(), await asyncio.gather(*asked, return_exceptions=True), strict=True
        ):
            if isinstance(answers, BaseException):
                raise answers  # all others have ended too, so that no answer is left for the next call
            places.update(zip(numbers, answers, strict=True))
        return [places[number] for number in range(len(messages))]

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`."""
        return await read_by(self._node_of(channel).ask_beside, channel, after=after, most=most)

    async def receive(self) -> tuple[str, bytes]:
        """See `BrokerConnection.receive`."""
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def close(self) -> None:
        """See `BrokerConnection.close`."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSING)
        for node in self._nodes.values():
            with suppress(Exception):  # it is given up in any case
                await node.close()

    async def _confirmed(self, command: str, channels: Sequence[str]) -> None:
        nodes = self._by_node((command, channel) for channel in dict.fromkeys(channels))
        async with asyncio.TaskGroup() as tasks:
            for node, commands in nodes.items():
                tasks.create_task(node.confirmed(commands))

    def _by_node(self, commands: Iterable[Command]) -> dict[Node, list[Command]]:
        nodes: dict[Node, list[Command]] = {}
        for command in commands:
            nodes.setdefault(self._node_of(command[1]), []).append(command)
        return nodes

    def _node_of(self, channel: str) -> Node:
        owner = self._cluster.get_node_from_key(channel)
        node = None if owner is None else self._nodes.get(owner.name)
        if node is None:  # the user's own client has seen a change before we have
            raise BrokerUnavailable("the nodes of the cluster have changed")
        return node

    async def _listen(self, node: Node) -> None:
        try:
            await node.listen(self._inbox)
        except Exception as error:  # noqa: BLE001 - whatever it is, `receive` raises it
            await self._inbox.put(error)

    async def _watch(self) -> None:
        """Notice a node that is silent: the proof of the cluster layer goes through one node alone."""
        try:
            while True:
                await asyncio.sleep(self._timings.probe_interval)
                async with asyncio.timeout(self._timings.probe_timeout), asyncio.TaskGroup() as tasks:
                    for node in self._nodes.values():
                        tasks.create_task(node.probe())
        except TimeoutError:
            silent = ", ".join(name for name, node in self._nodes.items() if not node.answered)
            await self._inbox.put(BrokerUnavailable(f"no answer from {silent or 'a node'} in time"))
        except Exception as error:  # noqa: BLE001 - whatever it is, `receive` raises it
            await self._inbox.put(error)


async def _append(node: Node, messages: Sequence[Append]) -> Sequence[Appended]:
    return await append_by(node.ask, messages, command="SPUBLISH")


def _split(url: str) -> tuple[str, Sequence[tuple[str, int]]]:
    """A URL as redis-py takes it, with the first node alone, and where all of them are."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",")]
    if "@" in user or not all(address.hostname for address in addresses):
        raise ValueError("not one user, and a list of hosts")
    first = parts._replace(scheme=SCHEMES[parts.scheme], netloc=f"{user}{at}{hosts.split(',')[0]}")
    return first.geturl(), [(address.hostname or "", address.port or 6379) for address in addresses]
