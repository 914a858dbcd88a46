"""A Redis Cluster of a test's own: primaries, and no replicas unless they are added."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fastapi_rooms.brokers import Broker, BrokerTimings
from fastapi_rooms.brokers.redis import RedisBroker

from .engines import STARTS_WITHIN, STEADY, ServerEngine, ServerProcess, until
from .ports import free_port
from .redis_engine import redis_7

SLOTS = 16_384


class RedisNode(ServerEngine):
    """One server of a cluster; what it knows of the others is in its directory."""

    name = "redis node"
    one_order = True

    def __init__(self, *options: str) -> None:
        super().__init__(ServerProcess(Path(tempfile.mkdtemp(prefix="rooms-redis-node-"))))
        self._options = options
        self.bus = free_port()

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        cluster = ["--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--repl-diskless-sync-delay", "0"]
        self.server.run([redis_7(), *options, *cluster, *self._options])

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None) -> Broker:
        return RedisBroker(self.url, prefix=prefix, timings=timings)

    def ask(self, *command: str | int) -> Any:
        """Its answer to one command, given once: late, where it writes its map to a slow disk."""
        once = Retry(NoBackoff(), 0)
        with Redis(
            port=self.port, protocol=2, decode_responses=True, retry=once, socket_timeout=STARTS_WITHIN
        ) as client:
            return client.execute_command(*command)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER MYID"))

    def slots(self) -> list[tuple[int, int, list[Any]]]:
        """First and last of each range, and host, port and more of the node that has it, as this one knows."""
        with Redis(port=self.port, protocol=2, decode_responses=True) as client:
            client.set_response_callback("CLUSTER SLOTS", lambda answer: answer)
            answer: Any = client.execute_command("CLUSTER SLOTS")
            return [tuple(one[:3]) for one in answer]

    def knows_all(self) -> bool:
        """Whether it knows of each slot who has it."""
        return sum(last - first + 1 for first, last, _ in self.slots()) == SLOTS

    def has_keys(self) -> bool:
        """Whether it takes keys; after a start, channels alone for two seconds."""
        return bool(self.ask("CLUSTER INFO")["cluster_state"] == "ok")


class RedisClusterEngine:
    """Killed, frozen and started as one.

    Attributes:
        nodes: Its primaries.

    Args:
        keys: Whether it has started only when it takes keys: two seconds after channels.
    """

    name = "redis cluster"
    faults = True
    one_order = True

    def __init__(self, *options: str, primaries: int = 3, keys: bool = True) -> None:
        self.nodes: Sequence[RedisNode] = [RedisNode(*options) for _ in range(primaries)]
        self._formed = False
        self._keys = keys

    @property
    def port(self) -> int:
        return self.nodes[0].port

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        if not self._formed:
            self._form()
        for node in self.nodes:
            until(node.knows_all)
        if self._keys:
            self.wait_for_keys()

    @contextmanager
    def channels_only(self) -> Iterator[None]:
        """Meanwhile it has started when it takes channels; in the end it takes keys."""
        self._keys = False
        try:
            yield
        finally:
            self._keys = True
            self.wait_for_keys()

    def wait_for_keys(self) -> None:
        """Returns when it takes keys."""
        for node in self.nodes:
            until(node.has_keys)

    def _form(self) -> None:
        share = -(-SLOTS // len(self.nodes))
        for number, node in enumerate(self.nodes):
            last = min(SLOTS, (number + 1) * share) - 1
            node.ask("CLUSTER ADDSLOTSRANGE", number * share, last)
            node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node, other in itertools.permutations(self.nodes, 2):  # all: what is gossip comes seconds later
            node.ask("CLUSTER MEET", "127.0.0.1", other.port, other.bus)
        self._formed = True

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def freeze(self) -> None:
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        for node in self.nodes:
            node.thaw()

    def broker(self, *, prefix: str = "rooms", timings: BrokerTimings = STEADY, port: int | None = None) -> Broker:
        return RedisBroker(self.url, prefix=prefix, timings=timings)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def add_replica(self, replica: RedisNode, *, of: RedisNode) -> None:
        """Have a node that runs follow a primary, and take over from it."""
        for node in self.nodes:
            node.ask("CLUSTER MEET", "127.0.0.1", replica.port, replica.bus)
        until(replica.knows_all)
        replica.ask("CLUSTER REPLICATE", of.id)
        until(lambda: of.ask("ROLE")[2] != [])

    def owner(self, slot: int) -> RedisNode:
        """Who has a slot, as the first node knows it."""
        for first, last, (_, port, *_) in self.nodes[0].slots():
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(slot)

    def move(self, slot: int, *, to: RedisNode) -> None:
        """Give a slot to another node, with its keys, at most a hundred; returns when all nodes know it."""
        owner = self.owner(slot)
        to.ask("CLUSTER SETSLOT", slot, "IMPORTING", owner.id)  # without it no epoch grows, and gossip may undo it
        owner.ask("CLUSTER SETSLOT", slot, "MIGRATING", to.id)
        if keys := owner.ask("CLUSTER GETKEYSINSLOT", slot, 100):
            owner.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for node in (to, *(node for node in self.nodes if node is not to)):
            node.ask("CLUSTER SETSLOT", slot, "NODE", to.id)
