"""What is special about Redis Cluster: channels on several nodes, slots that move, nodes that fail alone."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial

import pytest
from redis.asyncio import RedisCluster
from redis.crc import key_slot
from redis.exceptions import MovedError

from fastapi_rooms import Publisher
from fastapi_rooms.brokers.redis import RedisBroker
from fastapi_rooms.brokers.redis_cluster import ClusterConnection
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.stores.redis_tickets import RedisTicketStore
from fastapi_rooms.testing import eventually

from .engines import STEADY, running, until
from .ports import free_port
from .redis_cluster_engine import RedisClusterEngine, RedisNode
from .scale import LONGER
from .test_broker_conformance import PROMPTLY, WITHIN, Ear, failure, listening, soon
from .test_outages import reached
from .workers import SOON, Manager, workers

pytestmark = pytest.mark.xdist_group("redis cluster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisClusterEngine]:
    with running(RedisClusterEngine(keys=False)) as cluster:
        yield cluster


@pytest.fixture
async def ear(cluster: RedisClusterEngine) -> AsyncIterator[Ear]:
    async with listening(cluster.broker()) as ear:
        yield ear


def channel_of(cluster: RedisClusterEngine, node: RedisNode) -> str:
    """One of that node."""
    while cluster.owner(key_slot((channel := f"rooms.room.{secrets.token_hex(4)}").encode())) is not node:
        pass
    return channel


def move(cluster: RedisClusterEngine, channel: str) -> None:
    """Give the channel's slot to another node."""
    slot = key_slot(channel.encode())
    owner = cluster.owner(slot)
    cluster.move(slot, to=next(node for node in cluster.nodes if node is not owner))


def all_have_answered(connection: ClusterConnection) -> bool:
    return all(node.answered for node in connection._nodes.values())


async def ended(ear: Ear) -> BaseException | None:
    """Why `receive` has raised."""
    await asyncio.wait((ear.listening,), timeout=PROMPTLY * LONGER)
    assert ear.listening.done(), "receive was still waiting"
    return ear.listening.exception()


async def test_messages_to_channels_of_several_nodes_keep_the_order_of_each_channel(
    cluster: RedisClusterEngine, ear: Ear
) -> None:
    channels = [channel_of(cluster, node) for node in cluster.nodes] + ["rooms.all"]
    await soon(ear.connection.subscribe(channels))
    messages = [(channels[number % 4], str(number).encode()) for number in range(1000)]
    async with listening(cluster.broker()) as other:
        for start in range(0, 1000, 250):
            await soon(other.connection.publish(messages[start : start + 250]))
    heard: defaultdict[str, list[int]] = defaultdict(list)
    for channel, data in await ear.hear(1000):
        heard[channel].append(int(data))
    assert heard == {channel: list(range(index, 1000, 4)) for index, channel in enumerate(channels)}


async def test_each_node_has_two_connections_and_its_share_of_a_thousand_channels(
    cluster: RedisClusterEngine, ear: Ear
) -> None:
    channels = [f"rooms.room.{number}" for number in range(1000)]
    before = [clients(node) for node in cluster.nodes]
    async with listening(cluster.broker()) as other:
        await soon(other.connection.subscribe(channels))
        await soon(ear.connection.publish([(channel, b"") for channel in channels]))
        assert sorted(channel for channel, _ in await other.hear(1000)) == sorted(channels)
        assert [clients(node) - number for node, number in zip(cluster.nodes, before, strict=True)] == [2, 2, 2]
        shares = [len(node.ask("PUBSUB SHARDCHANNELS")) for node in cluster.nodes]
        assert sum(shares) == 1000
        assert min(shares) > 200


def clients(node: RedisNode) -> int:
    return len(node.ask("CLIENT LIST"))


async def test_a_slot_that_moves_ends_a_connection_that_listens_to_it(
    cluster: RedisClusterEngine, ear: Ear
) -> None:
    channel = "rooms.room.moves"
    await soon(ear.connection.subscribe([channel, "rooms.all"]))
    await asyncio.to_thread(move, cluster, channel)
    assert "rooms.room.moves has moved to another node" in str(await ended(ear))
    async with listening(cluster.broker()) as again:
        await soon(again.connection.subscribe([channel]))
        await soon(again.connection.publish([(channel, b"here")]))
        assert await again.hear() == [(channel, b"here")]


async def test_publishing_by_an_old_map_raises_and_nothing_is_sent_twice(
    cluster: RedisClusterEngine, ear: Ear
) -> None:
    channel = "rooms.room.published"
    await asyncio.to_thread(move, cluster, channel)
    async with listening(cluster.broker()) as other:
        await soon(other.connection.subscribe([channel]))
        with pytest.raises(MovedError):
            await soon(ear.connection.publish([(channel, b"lost")]))
        await soon(other.connection.publish([(channel, b"end")]))
        assert await other.hear() == [(channel, b"end")]


async def test_subscribing_by_an_old_map_ends_the_connection(cluster: RedisClusterEngine, ear: Ear) -> None:
    channel = "rooms.room.subscribed"
    await asyncio.to_thread(move, cluster, channel)
    subscribing = asyncio.create_task(ear.connection.subscribe([channel]))
    try:
        assert isinstance(await ended(ear), MovedError)
    finally:
        subscribing.cancel()
        await asyncio.wait((subscribing,))


async def test_a_node_that_is_killed_ends_all_and_its_start_is_enough(
    cluster: RedisClusterEngine, ear: Ear
) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))
    dead = next(node for node in cluster.nodes if node is not cluster.owner(key_slot(b"rooms.all")))
    broker = cluster.broker()
    dead.kill()
    try:
        assert await ended(ear) is not None
        assert await failure(broker.connect())
    finally:
        dead.start()
    async with listening(broker) as again:
        channel = channel_of(cluster, dead)
        await soon(again.connection.subscribe([channel]))
        await soon(again.connection.publish([(channel, b"back")]))
        assert await again.hear() == [(channel, b"back")]


async def test_a_node_that_is_silent_is_noticed_by_those_who_only_listen_to_it(
    cluster: RedisClusterEngine,
) -> None:
    silent = cluster.nodes[2]
    timings = replace(STEADY, probe_interval=0.3, probe_timeout=4.0)  # others may be late by less
    async with listening(cluster.broker(timings=timings)) as ear:
        await soon(ear.connection.subscribe([channel_of(cluster, silent)]))
        silent.freeze()
        try:
            assert str(await ended(ear)) == f"no answer from 127.0.0.1:{silent.port} in time"
        finally:
            silent.thaw()


async def test_any_node_of_the_url_will_do_and_the_others_are_found(cluster: RedisClusterEngine) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.port}"
    async with listening(RedisBroker(url, timings=STEADY)) as ear:
        channels = [channel_of(cluster, node) for node in cluster.nodes]
        await soon(ear.connection.subscribe(channels))
        await soon(ear.connection.publish([(channel, b"") for channel in channels]))
        assert {channel for channel, _ in await ear.hear(3)} == set(channels)


async def test_rooms_go_on_at_the_replica_of_a_primary_that_was_killed_and_the_url_has_only_that_one() -> None:
    quick = ["--cluster-node-timeout", "5000", "--cluster-replica-validity-factor", "0"]
    with running(RedisClusterEngine(*quick, keys=False)) as cluster, running(RedisNode(*quick)) as replica:
        dead = cluster.nodes[0]
        cluster.add_replica(replica, of=dead)
        room = channel_of(cluster, dead).rpartition(".")[2]
        async with workers(2, lambda: Manager(RedisBroker(dead.url, timings=STEADY))) as two:
            await reached(two)
            sockets = [await worker.join("ann", room) for worker in two]
            dead.kill()
            await asyncio.to_thread(until, lambda: replica.ask("ROLE")[0] == "master")
            for worker in two:
                await worker.manager.logged("lost", "restored", f"continuity {room}")
            await reached(two)
            assert (await two[0].manager.broadcast("again", room=room)).scope == "cluster"
            assert [await socket.receive_text() for socket in sockets] == ["again", "again"]


async def test_a_client_of_the_users_own_is_used_whatever_its_options_and_left_open(
    cluster: RedisClusterEngine,
) -> None:
    client = RedisCluster(host="127.0.0.1", port=cluster.port, decode_responses=True, socket_timeout=4.0)
    try:
        broker = RedisBroker(client, timings=replace(STEADY, probe_interval=4.5))
        assert str(broker) == f"Redis Cluster at 127.0.0.1:{cluster.port}"
        for _ in range(2):
            async with listening(broker) as ear:
                await soon(ear.connection.subscribe(["rooms.all"]))
                connection = ear.connection
                assert isinstance(connection, ClusterConnection)
                # A probe's answer comes after `probe_interval` of silence, for longer than the client waits.
                await eventually(partial(all_have_answered, connection), timeout=SOON)
                await soon(ear.connection.publish([("rooms.all", b"\xff")]))
                assert await ear.hear() == [("rooms.all", b"\xff")]
        assert await client.ping()
    finally:
        await client.aclose()


async def test_rooms_are_joined_again_after_a_slot_has_moved(cluster: RedisClusterEngine) -> None:
    async with workers(2, lambda: Manager(cluster.broker(prefix="moved"))) as two:
        await reached(two)
        sockets = [await worker.join("ann", "red") for worker in two]
        clustered = two[0].manager._across
        assert isinstance(clustered, Clustered)
        await asyncio.to_thread(move, cluster, clustered.cluster.channels.room("red"))
        for worker in two:
            await worker.manager.logged("lost", "restored", "continuity red")
        await reached(two)
        assert (await two[0].manager.broadcast("again", room="red")).scope == "cluster"
        assert [await socket.receive_text() for socket in sockets] == ["again", "again"]
        async with Publisher(cluster.broker(prefix="moved")) as publisher:
            await publisher.publish("red", "from elsewhere")
        assert [await socket.receive_text() for socket in sockets] == ["from elsewhere"] * 2


async def test_tickets_are_kept_in_a_cluster(cluster: RedisClusterEngine) -> None:
    await asyncio.to_thread(cluster.wait_for_keys)
    client = RedisCluster(host="127.0.0.1", port=cluster.port)
    try:
        store = RedisTicketStore(client, prefix="shop", timeout=WITHIN)
        assert str(store) == f"Redis Cluster at 127.0.0.1:{cluster.port}"
        for number in range(30):
            await store.put(str(number), str(number).encode(), 30)
        assert [await store.take(str(number)) for number in range(30)] == [b"%d" % number for number in range(30)]
        assert await store.take("1") is None
    finally:
        await client.aclose()
