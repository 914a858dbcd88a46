"""What is special about streams in Redis: scripts, keys that end by themselves, reigns, rights, and clusters."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import NoScriptError

from fastapi_rooms import BrokerError, BrokerUnavailable, ConfigurationError
from fastapi_rooms.brokers.redis import RedisBroker
from fastapi_rooms.brokers.redis_requests import Words
from fastapi_rooms.brokers.redis_streams import append_by
from fastapi_rooms.brokers.streams import REMEMBERED, Append, Appended, StreamConnection
from fastapi_rooms.testing import eventually

from .engines import STEADY, Engine, ServerEngine, running, until
from .redis_cluster_engine import RedisClusterEngine
from .redis_engine import RedisEngine, redis_7
from .test_broker_conformance import soon
from .test_redis_cluster import channel_of, move
from .test_redis_servers import CLUSTER, SINGLE, url_for
from .test_stream_conformance import Stream, data_of, streaming
from .workers import SOON

pytestmark = pytest.mark.xdist_group("redis streams")

CHANNEL = "rooms.room.red"
STREAM, META = f"{{{CHANNEL}}}:s", f"{{{CHANNEL}}}:m"

HISTORY = (
    "~{rooms.*}:* +evalsha +script|load +info +time +hmget +hset +del +get +set +pttl +pexpire +pexpireat +xadd "
    "+xrange +xrevrange +xdel"
)
"""What the documentation says that a user needs."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisEngine]:
    with running(RedisEngine()) as engine:
        yield engine


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisClusterEngine]:
    redis_7()
    with running(RedisClusterEngine()) as cluster:
        yield cluster


@pytest.fixture
def redis(server: RedisEngine) -> RedisEngine:
    """Empty, as after its start."""
    server.ask("FLUSHALL")
    server.ask("CONFIG", "RESETSTAT")
    return server


@pytest.fixture
async def one(redis: RedisEngine) -> AsyncIterator[Stream]:
    async with streaming(redis.broker(timings=STEADY), CHANNEL) as one:
        yield one


def appends(channel: str, *data: bytes, seconds: float = 60.0) -> list[Append]:
    return [Append(channel=channel, data=each, messages=1000, seconds=seconds) for each in data]


async def state(engine: RedisEngine, channel: str = CHANNEL) -> tuple[str, int, list[bytes]]:
    """Epoch, last offset, and what is kept."""
    async with streaming(engine.broker(timings=STEADY), channel) as stream:
        page = await stream.read()
        return page.epoch, page.last, data_of(page)


async def test_messages_of_one_call_are_one_request_with_one_command_for_each(
    redis: RedisEngine, one: Stream
) -> None:
    requests: list[int] = []
    ask: Any = one.streams._ask  # type: ignore[attr-defined]

    async def counting(commands: Sequence[Words]) -> Sequence[Any]:
        requests.append(len(commands))
        answers: Sequence[Any] = await ask(commands)
        return answers

    await one.append(b"the script is loaded")
    redis.ask("CONFIG", "RESETSTAT")
    await append_by(counting, appends(CHANNEL, *[b"x"] * 50), command="PUBLISH")
    assert requests == [50]
    stats = redis.ask("INFO", "commandstats")
    assert {name: stats[f"cmdstat_{name}"]["calls"] for name in ("evalsha", "publish")} == {
        "evalsha": 50,
        "publish": 50,
    }
    assert not {"cmdstat_eval", "cmdstat_xrange"} & set(stats)  # and nobody looks for what is too old


async def test_scripts_that_were_removed_are_loaded_again_and_nothing_is_appended_twice(
    redis: RedisEngine, one: Stream
) -> None:
    await one.append(b"before")
    await one.read()
    redis.ask("SCRIPT", "FLUSH")
    appended = await one.append(b"a", b"b", b"c")
    assert [where.offset for where in appended] == [2, 3, 4]
    redis.ask("SCRIPT", "FLUSH")
    assert data_of(await one.read()) == [b"before", b"a", b"b", b"c"]
    assert [data for _, data in await one.hear_places(4)] == [b"before", b"a", b"b", b"c"]


@pytest.mark.parametrize("known", [True, False])
async def test_an_order_that_a_script_removed_meanwhile_would_break_is_not_made(known: bool) -> None:
    requests: list[Sequence[Words]] = []

    async def ask(commands: Sequence[Words]) -> Sequence[Any]:
        requests.append(commands)
        if len(requests) == 1:
            return [b"e 1 appended", NoScriptError("gone"), b"e 2 appended" if known else NoScriptError("gone")]
        return [b"loaded", b"e 2 appended", b"e 3 appended"]

    appending = append_by(ask, appends(CHANNEL, b"a", b"b", b"c"), command="PUBLISH")
    if known:
        with pytest.raises(BrokerError, match="loaded again"):
            await appending
    else:
        assert [where.offset for where in await appending] == [1, 2, 3]
        assert [words[0] for words in requests[1]] == ["SCRIPT", "EVALSHA", "EVALSHA"]


async def test_one_that_is_refused_fails_the_call_and_the_answers_after_it_are_still_the_right_ones(
    redis: RedisEngine, one: Stream
) -> None:
    redis.ask("SET", "{rooms.room.broken}:m", "no hash")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await soon(
            one.streams.append(
                [*appends(CHANNEL, b"a"), *appends("rooms.room.broken", b"b"), *appends(CHANNEL, b"c")]
            )
        )
    page = await one.read()
    assert data_of(page) == [b"a", b"c"]
    assert await one.append(b"d") == [Appended(page.epoch, 3)]


async def test_a_server_without_memory_keeps_nothing_and_publishes_nothing(
    redis: RedisEngine, one: Stream
) -> None:
    await one.append(b"before")
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(BrokerError, match="maxmemory"):
            await one.append(b"refused", idempotency_key="k", version=1)
        assert data_of(await one.read()) == [b"before"]
    finally:
        redis.ask("CONFIG", "SET", "maxmemory", "0")
    (after,) = await one.append(b"after", idempotency_key="k", version=1)
    assert (after.offset, after.repeated, after.stale) == (2, False, False)
    assert [data for _, data in await one.hear_places(2)] == [b"before", b"after"]


async def test_all_keys_end_by_themselves_and_a_look_renews_what_is_remembered(
    redis: RedisEngine, one: Stream
) -> None:
    await one.append(b"long", seconds=50, idempotency_key="any \udc80 key" * 1000)
    await one.append(b"short", seconds=5)
    keys = set(redis.ask("KEYS", "*"))
    (marker,) = keys - {STREAM, META}
    assert 45_000 < redis.ask("PTTL", STREAM) <= 110_000  # it goes at the next full minute
    assert 295_000 < redis.ask("PTTL", marker) <= 300_000
    assert redis.ask("PTTL", META) > REMEMBERED * 1000
    assert len(marker) < 100
    assert {key_slot(key.encode()) for key in keys} == {key_slot(CHANNEL.encode())}
    redis.ask("PEXPIRE", META, "1000")
    await one.read()
    assert redis.ask("PTTL", META) > REMEMBERED * 1000
    redis.ask("PEXPIRE", META, "1000")
    await one.append(b"for a week", seconds=7 * REMEMBERED)
    assert redis.ask("PTTL", META) > redis.ask("PTTL", STREAM) > 6 * REMEMBERED * 1000


async def test_a_look_writes_nothing_that_need_not_be_written(redis: RedisEngine, one: Stream) -> None:
    await one.append(b"a")
    redis.ask("CONFIG", "RESETSTAT")
    for _ in range(10):
        await one.read()
    stats = redis.ask("INFO", "commandstats")
    assert not {"cmdstat_pexpire", "cmdstat_hset", "cmdstat_xadd", "cmdstat_del"} & set(stats)


async def test_an_append_says_when_the_stream_goes_only_where_that_is_another_minute_or_it_was_evicted(
    redis: RedisEngine, one: Stream
) -> None:
    await one.append(b"a", seconds=600)
    redis.ask("CONFIG", "RESETSTAT")
    await one.append(*[b"b"] * 10, seconds=60)  # they stay as long as the first one
    stats = redis.ask("INFO", "commandstats")
    assert stats["cmdstat_xadd"]["calls"] == 10
    assert not {"cmdstat_pexpireat", "cmdstat_pexpire", "cmdstat_pttl", "cmdstat_xrange"} & set(stats)
    redis.ask("DEL", STREAM)
    await one.append(b"c", seconds=60)
    assert 590_000 < redis.ask("PTTL", STREAM) <= 660_000
    assert data_of(await one.read()) == [b"c"]


async def test_where_all_are_too_old_the_next_append_begins_with_an_empty_stream(
    redis: RedisEngine, one: Stream
) -> None:
    await one.append(*[b"short"] * 150, messages=1000, seconds=0.05)
    async with asyncio.timeout(30):
        while data_of(await one.read()):
            pass
    assert redis.ask("PTTL", STREAM) > 0 or redis.ask("XLEN", STREAM) == 0  # the minute may be over
    redis.ask("CONFIG", "RESETSTAT")  # a busy server may have taken longer over those than they are kept
    await one.append(b"next")
    assert (redis.ask("XLEN", STREAM), (await one.read()).last) == (1, 151)
    assert "cmdstat_xrange" not in redis.ask("INFO", "commandstats")


async def test_of_ten_thousand_exactly_as_many_are_kept_as_were_asked_for(redis: RedisEngine, one: Stream) -> None:
    for start in range(0, 10_000, 1000):
        await one.append(*(b"%d" % number for number in range(start, start + 1000)), messages=137)
        assert redis.ask("XLEN", STREAM) == 137
    page = await one.read()
    assert data_of(page) == [b"%d" % number for number in range(10_000 - 137, 10_000)]
    assert (page.last, page.entries[0].previous) == (10_000, 10_000 - 137)
    await one.append(b"last", messages=1)
    assert redis.ask("XLEN", STREAM) == 1


async def test_those_that_are_too_old_are_not_read_and_go_a_hundred_at_a_time(
    redis: RedisEngine, one: Stream
) -> None:
    await soon(one.streams.append([*appends(CHANNEL, *[b"short"] * 150, seconds=2.0), *appends(CHANNEL, b"long")]))
    async with asyncio.timeout(30):
        while data_of(page := await one.read()) != [b"long"]:
            assert data_of(page)[-1] == b"long"
            await asyncio.sleep(0.05)  # by the clock, which it is about
    assert page.has_all_after(150)
    assert not page.has_all_after(149)
    assert redis.ask("XLEN", STREAM) == 151
    for kept in (52, 3, 4):
        await one.append(b"more", messages=1000)
        assert redis.ask("XLEN", STREAM) == kept
    assert data_of(await one.read()) == [b"long", b"more", b"more", b"more"]


async def test_versions_are_compared_exactly_however_large_and_too_large_ones_are_refused(one: Stream) -> None:
    for version in (-(10**18) - 1, -(10**18), -1, 0, 2**53, 2**53 + 1, 10**38):
        assert not (await one.append(b"", version=version))[0].stale
        assert (await one.append(b"", version=version))[0].stale
    with pytest.raises(ConfigurationError, match="39 digits"):
        await one.append(b"", version=10**39)


@pytest.mark.parametrize("after", [2**53 + 1, 2**63, 10**19 - 1, 10**30])
async def test_an_offset_that_never_was_has_nothing_after_it(one: Stream, after: int) -> None:
    await one.append(b"a")
    page = await one.read(after=after)
    assert (list(page.entries), page.last, page.has_all_after(after)) == ([], 1, False)


async def test_a_stream_that_was_evicted_is_seen_to_be_gone(redis: RedisEngine, one: Stream) -> None:
    (first,) = await one.append(b"a")
    redis.ask("DEL", STREAM)
    page = await one.read()
    assert (page.epoch, page.last, page.has_all_after(0)) == (first.epoch, 1, False)
    await one.append(b"b", idempotency_key="k")
    redis.ask("DEL", META)
    page = await one.read()
    assert (page.last, data_of(page)) == (0, [])
    assert page.epoch != first.epoch
    assert not (await one.append(b"b", idempotency_key="k"))[0].repeated


async def test_after_a_restart_the_epoch_is_another_one_though_all_was_on_disk() -> None:
    with running(RedisEngine("--appendonly", "yes", "--appendfsync", "always")) as engine:
        async with streaming(engine.broker(timings=STEADY), CHANNEL) as stream:
            (before,) = await stream.append(b"a")
        engine.kill()
        engine.start()
        assert engine.ask("HGET", META, "epoch") == before.epoch
        epoch, last, kept = await state(engine)
        assert epoch != before.epoch
        assert (last, kept) == (0, [])


async def test_after_the_restore_of_an_older_copy_the_epoch_is_another_one() -> None:
    with running(RedisEngine()) as engine:
        dump = engine.server.directory / "dump.rdb"
        async with streaming(engine.broker(timings=STEADY), CHANNEL) as stream:
            await stream.append(b"a")
            engine.ask("SAVE")
            shutil.copy(dump, dump.with_suffix(".copy"))
            (lost,) = await stream.append(b"lost", idempotency_key="k")
        engine.kill()
        shutil.copy(dump.with_suffix(".copy"), dump)
        engine.start()
        assert engine.ask("HGET", META, "epoch") == lost.epoch
        async with streaming(engine.broker(timings=STEADY), CHANNEL) as stream:
            (again,) = await stream.append(b"again", idempotency_key="k")
            assert again.epoch != lost.epoch
            assert not again.repeated


def replicate(replica: RedisEngine, primary: RedisEngine) -> None:
    replica.ask("REPLICAOF", "127.0.0.1", str(primary.port))
    until(lambda: replica.ask("ROLE")[3] == "connected")
    until(lambda: replica.ask("ROLE")[4] == primary.ask("ROLE")[1])


async def test_a_primary_that_comes_back_without_a_restart_does_not_go_on_with_what_it_has_lost_the_end_of() -> (
    None
):
    options = ["--repl-diskless-sync-delay", "0"]
    with ExitStack() as stack:
        first, second = (stack.enter_context(running(RedisEngine(*options))) for _ in range(2))
        await asyncio.to_thread(replicate, second, first)
        async with streaming(first.broker(timings=STEADY), CHANNEL) as stream:
            (kept,) = await stream.append(b"kept")
            assert await stream.append(b"kept too") == [Appended(kept.epoch, 2)]
            await asyncio.to_thread(replicate, second, first)
            second.ask("REPLICAOF", "NO", "ONE")
            (lost,) = await stream.append(b"lost")
            assert lost == Appended(kept.epoch, 3)
        await asyncio.to_thread(replicate, first, second)
        assert first.ask("HGET", META, "last") == "2"
        first.ask("REPLICAOF", "NO", "ONE")
        for engine in (first, second):
            assert (await state(engine))[0] != lost.epoch


async def has_sent() -> None:
    """A driver has sent what it was asked for, to a server that stands and says nothing: counted in turns."""
    for _ in range(100):
        await asyncio.sleep(0)


async def cancelled_reads(engine: Engine, server: ServerEngine, channel: str) -> None:
    """Several that are given up while the server is silent; those after them get their own answers."""
    async with (
        streaming(engine.broker(timings=STEADY), channel) as one,
        streaming(engine.broker(timings=STEADY), f"{channel}-other") as other,
    ):
        await one.append(b"one")
        await other.append(b"other")
        await one.read()
        for _ in range(3):
            server.freeze()
            reading = [asyncio.create_task(one.streams.read(channel, after=0, most=10)) for _ in range(3)]
            await has_sent()
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
            server.thaw()
            assert all(task.cancelled() for task in reading)
            page = await soon(one.streams.read(f"{channel}-other", after=0, most=10))
            assert data_of(page) == [b"other"]
            assert data_of(await one.read()) == [b"one"]


async def test_a_read_that_is_cancelled_leaves_no_answer_to_others(redis: RedisEngine) -> None:
    await cancelled_reads(redis, redis, CHANNEL)


async def test_a_read_at_a_node_that_is_cancelled_leaves_no_answer_to_others(cluster: RedisClusterEngine) -> None:
    node = cluster.nodes[1]
    channel = channel_of(cluster, node)
    await cancelled_reads(cluster, node, channel)


def connections(redis: RedisEngine) -> int:
    return str(redis.ask("CLIENT", "LIST")).count("id=") - 1  # without who asks


@asynccontextmanager
async def server_of(redis: RedisEngine, whose: str) -> AsyncIterator[str | Redis]:
    """What a broker may be made of: a URL, or a client of the user's own."""
    if whose == "ours":
        yield redis.url
        return
    async with Redis(port=redis.port, retry=Retry(NoBackoff(), 0)) as client:
        yield client


WHOSE = pytest.mark.parametrize("whose", ["ours", "the user's"])


@WHOSE
async def test_appends_have_the_connection_that_publishes_and_a_read_makes_a_third(
    redis: RedisEngine, whose: str
) -> None:
    async with server_of(redis, whose) as server:
        async with streaming(RedisBroker(server, timings=STEADY), CHANNEL) as stream:
            await soon(stream.connection.publish([(CHANNEL, b"plain")]))
            await stream.append(b"kept")
            assert connections(redis) == 2
            await stream.read()
            assert connections(redis) == 3
        left = 0 if whose == "ours" else 1  # what read is the pool's
        await eventually(lambda: connections(redis) == left, timeout=SOON)
    await eventually(lambda: connections(redis) == 0, timeout=SOON)


@WHOSE
async def test_an_append_that_is_cancelled_leaves_no_answer_to_the_next_and_the_connection_is_over(
    redis: RedisEngine, whose: str
) -> None:
    async with (
        server_of(redis, whose) as server,
        streaming(RedisBroker(server, timings=STEADY), CHANNEL) as stream,
    ):
        await stream.append(b"first")
        redis.freeze()
        appending = asyncio.create_task(stream.streams.append(appends(CHANNEL, b"cancelled")))
        await has_sent()
        appending.cancel()
        await asyncio.wait((appending,))
        redis.thaw()
        for late in (stream.append(b"late"), stream.connection.publish([(CHANNEL, b"late")])):
            with pytest.raises(BrokerUnavailable):
                await late
        assert data_of(await stream.read()) in ([b"first"], [b"first", b"cancelled"])


@WHOSE
@pytest.mark.parametrize("silent", ["from the beginning", "once it is connected"])
async def test_who_is_cancelled_while_connecting_leaves_no_connection(
    redis: RedisEngine, whose: str, silent: str
) -> None:
    async with server_of(redis, whose) as server:
        broker = RedisBroker(server, timings=STEADY)
        if silent == "from the beginning":
            redis.freeze()
        connecting = asyncio.create_task(broker.connect())
        for _ in range(8 if silent == "once it is connected" else 0):
            await asyncio.sleep(0)
        redis.freeze()
        await has_sent()
        connecting.cancel()
        await asyncio.wait((connecting,))
        if not connecting.cancelled():
            await connecting.result().close()
        redis.thaw()
    await eventually(lambda: connections(redis) == 0, timeout=SOON)


async def test_histories_work_through_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with running(RedisEngine("--unixsocket", str(path))) as engine:
        engine.ask("PING")  # who answers has opened all that it was asked to
        async with streaming(RedisBroker(f"unix://{path}", timings=STEADY), CHANNEL) as stream:
            await stream.append(b"a")
            assert data_of(await stream.read()) == [b"a"]


async def test_after_close_nothing_is_read_and_no_connection_is_made(redis: RedisEngine) -> None:
    connection = await redis.broker(timings=STEADY).connect()
    assert isinstance(connection, StreamConnection)
    reading = [asyncio.create_task(connection.read(CHANNEL, after=0, most=1)) for _ in range(5)]
    await asyncio.sleep(0)
    await connection.close()
    results = await asyncio.gather(*reading, return_exceptions=True)
    assert isinstance(results[-1], Exception)
    await eventually(lambda: connections(redis) == 0, timeout=SOON)


async def test_messages_for_several_nodes_in_one_call_get_their_places_in_order(
    cluster: RedisClusterEngine,
) -> None:
    channels = [channel_of(cluster, node) for node in cluster.nodes]
    async with streaming(cluster.broker(timings=STEADY), channels[0]) as stream:
        messages = [each for number in range(30) for each in appends(channels[number % 3], b"%d" % number)]
        appended = await soon(stream.streams.append(messages))
        assert [where.offset for where in appended] == [number // 3 + 1 for number in range(30)]
        assert len({where.epoch for where in appended}) == 3
        for index, channel in enumerate(channels):
            page = await soon(stream.streams.read(channel, after=0, most=100))
            assert page.epoch == appended[index].epoch
            assert data_of(page) == [b"%d" % number for number in range(index, 30, 3)]
        assert await soon(stream.streams.append([])) == []


async def test_a_user_with_the_rights_of_the_documentation_is_enough(redis: RedisEngine) -> None:
    broker = RedisBroker(url_for(redis, f"resetchannels &rooms.* {SINGLE} {HISTORY}"), timings=STEADY)
    async with streaming(broker, CHANNEL) as stream:
        await soon(stream.streams.append([*appends(CHANNEL, b"short", seconds=0.05), *appends(CHANNEL, b"a")]))
        async with asyncio.timeout(30):
            while data_of(await stream.read()) != [b"a"]:
                pass
        await stream.append(b"b", idempotency_key="k", version=1)
        assert data_of(await stream.read()) == [b"a", b"b"]
    assert redis.ask("XLEN", STREAM) == 2


async def test_a_user_of_a_cluster_needs_the_same() -> None:
    redis_7()
    with running(RedisClusterEngine(primaries=1)) as cluster:
        node = cluster.nodes[0]
        rights = ["resetchannels", "&rooms.*", *CLUSTER.split(), *HISTORY.split()]
        node.ask("ACL SETUSER", "ann", "reset", "on", ">hunter2", *rights)
        broker = RedisBroker(f"redis+cluster://ann:hunter2@127.0.0.1:{node.port}", timings=STEADY)
        async with streaming(broker, CHANNEL) as stream:
            await stream.append(b"a", idempotency_key="k")
            assert data_of(await stream.read()) == [b"a"]


async def test_appending_by_an_old_map_raises_and_the_stream_begins_anew_at_the_next_node(
    cluster: RedisClusterEngine,
) -> None:
    channel = channel_of(cluster, cluster.nodes[0])
    async with streaming(cluster.broker(timings=STEADY), channel) as stream:
        (before,) = await stream.append(b"a")
        await asyncio.to_thread(move, cluster, channel)
        for refused in (stream.append(b"b"), stream.read()):
            with pytest.raises(BrokerError):
                await refused
    async with streaming(cluster.broker(timings=STEADY), channel) as stream:
        owner = cluster.owner(key_slot(channel.encode()))
        assert owner.ask("HGET", f"{{{channel}}}:m", "epoch") == before.epoch
        (after,) = await stream.append(b"b")
        assert (after.epoch != before.epoch, after.offset) == (True, 1)


@pytest.mark.parametrize("missing", ["~{rooms.*}:*", "+evalsha", "+script|load", "+info", "+xadd"])
async def test_a_right_that_is_missing_is_told_at_the_first_use_and_the_connection_goes_on(
    redis: RedisEngine, missing: str
) -> None:
    redis.ask("SCRIPT", "FLUSH")
    rights = [right for right in f"resetchannels &rooms.* {SINGLE} {HISTORY}".split() if right != missing]
    broker = RedisBroker(url_for(redis, " ".join(rights)), timings=STEADY)
    async with streaming(broker, CHANNEL) as stream:
        with pytest.raises(ConfigurationError, match="rights"):
            await stream.append(b"a")
        await soon(stream.connection.publish([(CHANNEL, b"plain")]))
        assert await stream.hear() == [(CHANNEL, b"plain")]
