"""What every `BrokerConnection` promises, on each engine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

import pytest

from fastapi_rooms.brokers import Broker, BrokerConnection
from fastapi_rooms.channels import Channels

from .engines import Engine
from .redis_cluster_engine import RedisClusterEngine

WITHIN = 30.0
"""Seconds for what takes milliseconds where nothing is wrong."""

PROMPTLY = 10.0
"""Seconds for what waits for no deadline of a broker's: those are longer."""

T = TypeVar("T")


class Ear:
    """A connection whose `receive` runs, as it does in a cluster."""

    def __init__(self, connection: BrokerConnection) -> None:
        self.connection = connection
        self.heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            self.heard.put_nowait(await self.connection.receive())

    async def hear(self, number: int = 1) -> list[tuple[str, bytes]]:
        """The next messages, as many as asked for."""
        return await soon(self._next(number))

    async def _next(self, number: int) -> list[tuple[str, bytes]]:
        return [await self.heard.get() for _ in range(number)]

    async def close(self) -> None:
        self.listening.cancel()
        await asyncio.wait((self.listening,))
        if not self.listening.cancelled():
            self.listening.exception()
        await self.connection.close()


async def soon(what: Awaitable[T], within: float = WITHIN) -> T:
    async with asyncio.timeout(within):
        return await what


async def failure(what: Awaitable[object], within: float = WITHIN) -> Exception:
    """What it raises: drivers raise what they like."""
    try:
        result = await soon(what, within)
    except Exception as error:
        return error
    pytest.fail(f"nothing was raised, but {result!r} returned")


@asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[Ear]:
    ear = Ear(await soon(broker.connect()))
    try:
        yield ear
    finally:
        await ear.close()


@pytest.fixture(scope="module", autouse=True)
def no_keys_are_needed(engine: Engine) -> Iterator[None]:
    """A cluster that was started again takes keys two seconds after channels, and channels are all that we use."""
    with engine.channels_only() if isinstance(engine, RedisClusterEngine) else nullcontext():
        yield


@pytest.fixture
async def broker(engine: Engine) -> Broker:
    return engine.broker()


@pytest.fixture
async def ear(broker: Broker) -> AsyncIterator[Ear]:
    async with listening(broker) as ear:
        yield ear


@pytest.fixture
async def other(broker: Broker) -> AsyncIterator[Ear]:
    async with listening(broker) as other:
        yield other


async def test_what_is_published_after_subscribe_has_returned_is_received(ear: Ear, other: Ear) -> None:
    for number in range(200):
        channel = f"rooms.room.{number}"
        await soon(ear.connection.subscribe([channel]))
        await soon(other.connection.publish([(channel, b"here")]))
        assert await ear.hear() == [(channel, b"here")]


async def test_a_channel_that_was_subscribed_to_twice_brings_a_message_once(ear: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))
    await soon(ear.connection.subscribe(["rooms.all", "rooms.end"]))
    await soon(ear.connection.publish([("rooms.all", b"once"), ("rooms.end", b"")]))
    assert sorted(await ear.hear(2)) == [("rooms.all", b"once"), ("rooms.end", b"")]
    assert ear.heard.empty()


async def test_messages_of_one_connection_to_one_channel_come_in_order(ear: Ear, other: Ear) -> None:
    messages = [("rooms.room.lobby", str(number).encode()) for number in range(1000)]
    await soon(ear.connection.subscribe(["rooms.room.lobby"]))
    for start in range(0, 1000, 100):
        await soon(other.connection.publish(messages[start : start + 100]))
    assert await ear.hear(1000) == messages


async def test_own_messages_come_back(ear: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))
    await soon(ear.connection.publish([("rooms.all", b"mine")]))
    assert await ear.hear() == [("rooms.all", b"mine")]


async def test_every_listener_of_a_channel_hears_a_message(ear: Ear, other: Ear) -> None:
    for each in (ear, other):
        await soon(each.connection.subscribe(["rooms.all"]))
    await soon(ear.connection.publish([("rooms.all", b"both")]))
    assert await ear.hear() == await other.hear() == [("rooms.all", b"both")]


async def test_a_message_that_nobody_listens_to_is_taken_and_gone(ear: Ear, other: Ear) -> None:
    await soon(other.connection.publish([("rooms.room.empty", b"before")]))
    await soon(ear.connection.subscribe(["rooms.room.empty"]))
    await soon(other.connection.publish([("rooms.room.empty", b"after")]))
    assert await ear.hear() == [("rooms.room.empty", b"after")]


async def test_a_channel_that_was_left_brings_nothing_more(ear: Ear, other: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.room.left", "rooms.end"]))
    await soon(ear.connection.unsubscribe(["rooms.room.left"]))
    await soon(other.connection.publish([("rooms.room.left", b"may come"), ("rooms.end", b"1")]))
    while await ear.hear() != [("rooms.end", b"1")]:
        pass
    await soon(other.connection.publish([("rooms.room.left", b"must not come"), ("rooms.end", b"2")]))
    assert await ear.hear() == [("rooms.end", b"2")]


async def test_a_channel_can_be_left_and_heard_again_many_times(ear: Ear, other: Ear) -> None:
    for number in range(50):
        await soon(ear.connection.subscribe(["rooms.room.back"]))
        await soon(other.connection.publish([("rooms.room.back", str(number).encode())]))
        assert await ear.hear() == [("rooms.room.back", str(number).encode())]
        await soon(ear.connection.unsubscribe(["rooms.room.back"]))


async def test_leaving_a_channel_that_was_never_heard_does_no_harm(ear: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))
    await soon(ear.connection.unsubscribe(["rooms.room.never"]))
    await soon(ear.connection.publish([("rooms.all", b"well")]))
    assert await ear.hear() == [("rooms.all", b"well")]


@pytest.mark.parametrize("size", [0, 1, 7_999, 8_000, 8_001, 65_536, 1024 * 1024])
async def test_a_message_of_any_size_comes_as_it_was(ear: Ear, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    await soon(ear.connection.subscribe(["rooms.all"]))
    await soon(ear.connection.publish([("rooms.all", data)]))
    assert await ear.hear() == [("rooms.all", data)]


@pytest.mark.parametrize(
    "data", [bytes([number]) for number in (0, 10, 13, 39, 92, 128, 255)] + [b"\r\n", b"MSG a 1 1\r\n", b"'; --"]
)
async def test_no_byte_means_anything_to_the_engine(ear: Ear, data: bytes) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))
    await soon(ear.connection.publish([("rooms.all", data), ("rooms.all", data + data)]))
    assert await ear.hear(2) == [("rooms.all", data), ("rooms.all", data + data)]


ODD = [
    *("a", "a.b", "a.*", "a.>", "*", ">", ".", "..", "", " ", "a b", "a\tb", "a\nb", "a\r\nPUB x 1", "A", "a%20b"),
    *("~", "%", "x" * 300, "x" * 299 + "y", "ß" * 100, "🚀", "👩\u200d👩\u200d👧", "'; DROP TABLE rooms; --"),
    *('"quoted"', "$SYS.>", "[a-z]?", "\\", "\x00", "\x7f", "\ud800", "\udfff", "\u202e", "é", "e\u0301"),
]


async def test_odd_names_reach_only_their_own_room(ear: Ear, other: Ear) -> None:
    channels = [Channels("rooms").room(name) for name in ODD]
    await soon(ear.connection.subscribe([*channels, "rooms.end"]))
    await soon(other.connection.publish([(channel, channel.encode()) for channel in channels]))
    heard = await ear.hear(len(channels))
    assert sorted(heard) == sorted((channel, channel.encode()) for channel in channels)
    await soon(other.connection.publish([("rooms.end", b"")]))
    assert await ear.hear() == [("rooms.end", b"")]


async def test_no_odd_name_hears_an_ordinary_one(ear: Ear, other: Ear) -> None:
    channels = Channels("rooms")
    await soon(ear.connection.subscribe([channels.room(name) for name in ODD] + ["rooms.end"]))
    ordinary = [channels.room("lobby"), channels.room("x" * 298), channels.user("a"), channels.everyone]
    await soon(other.connection.publish([(channel, b"not yours") for channel in ordinary]))
    await soon(other.connection.publish([("rooms.end", b"")]))
    assert await ear.hear() == [("rooms.end", b"")]


async def test_two_prefixes_do_not_hear_each_other(engine: Engine) -> None:
    async with listening(engine.broker(prefix="one")) as one, listening(engine.broker(prefix="two")) as two:
        await soon(one.connection.subscribe([Channels("one").room("lobby")]))
        await soon(two.connection.subscribe([Channels("two").room("lobby")]))
        await soon(one.connection.publish([(Channels("one").room("lobby"), b"of one")]))
        await soon(two.connection.publish([(Channels("two").room("lobby"), b"of two")]))
        assert await one.hear() == [("one.room.lobby", b"of one")]
        assert await two.hear() == [("two.room.lobby", b"of two")]
        assert one.heard.empty()
        assert two.heard.empty()


async def test_two_thousand_channels_are_heard_at_once(ear: Ear, other: Ear) -> None:
    channels = [f"rooms.room.{number}" for number in range(2000)]
    for start in range(0, 2000, 500):
        await soon(ear.connection.subscribe(channels[start : start + 500]))
    for start in range(0, 2000, 250):
        await soon(other.connection.publish([(one, one.encode()) for one in channels[start : start + 250]]))
    heard = await ear.hear(2000)
    assert sorted(heard) == sorted((one, one.encode()) for one in channels)
    for start in range(0, 2000, 500):
        await soon(ear.connection.unsubscribe(channels[start : start + 500]))


async def test_subscribing_and_publishing_at_the_same_time_do_not_disturb_each_other(ear: Ear, other: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))

    async def come_and_go() -> None:
        for number in range(100):
            await ear.connection.subscribe([f"rooms.room.{number}"])
            await ear.connection.unsubscribe([f"rooms.room.{number}"])

    async def publish() -> None:
        for number in range(100):
            await ear.connection.publish([("rooms.all", str(number).encode())])

    await soon(asyncio.gather(come_and_go(), publish()))
    assert await ear.hear(100) == [("rooms.all", str(number).encode()) for number in range(100)]


async def test_a_closed_connection_hears_nothing_and_can_be_closed_again(broker: Broker, other: Ear) -> None:
    connection = await soon(broker.connect())
    await soon(connection.close(), PROMPTLY)
    await soon(connection.close(), PROMPTLY)
    await soon(other.connection.subscribe(["rooms.all"]))
    await soon(other.connection.publish([("rooms.all", b"still here")]))
    assert await other.hear() == [("rooms.all", b"still here")]


async def test_receive_raises_promptly_once_the_server_is_killed(faulty: Engine, ear: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))
    try:
        faulty.kill()
        await asyncio.wait((ear.listening,), timeout=PROMPTLY)
        assert ear.listening.done(), "receive was still waiting"
    finally:
        faulty.start()


async def test_receive_raises_promptly_where_the_server_is_killed_amid_messages(faulty: Engine, ear: Ear) -> None:
    await soon(ear.connection.subscribe(["rooms.all"]))

    async def publish() -> None:
        while True:
            await ear.connection.publish([("rooms.all", bytes(10_000))] * 50)

    publishing = asyncio.create_task(publish())
    try:
        await ear.hear(100)
        faulty.kill()
        await asyncio.wait((ear.listening,), timeout=PROMPTLY)
        assert ear.listening.done(), "receive was still waiting"
    finally:
        publishing.cancel()
        await asyncio.wait((publishing,))
        if not publishing.cancelled():
            publishing.exception()
        faulty.start()


async def test_a_killed_server_does_not_keep_a_connection_from_closing(faulty: Engine, broker: Broker) -> None:
    connection = await soon(broker.connect())
    try:
        faulty.kill()
        await soon(connection.close(), PROMPTLY)
    finally:
        faulty.start()


async def test_a_frozen_server_does_not_keep_a_connection_from_closing(faulty: Engine, broker: Broker) -> None:
    connection = await soon(broker.connect())
    faulty.freeze()
    try:
        await soon(connection.close(), PROMPTLY)
    finally:
        faulty.thaw()


async def test_a_connection_closes_quickly_while_a_frozen_server_takes_nothing(
    faulty: Engine, broker: Broker
) -> None:
    async with listening(broker) as ear:
        await soon(ear.connection.subscribe(["rooms.all"]))
        faulty.freeze()
        try:
            with pytest.raises(TimeoutError):
                await soon(ear.connection.publish([("rooms.all", bytes(500_000))] * 40), 0.5)
            await soon(ear.close(), PROMPTLY)
        finally:
            faulty.thaw()


async def test_connecting_to_a_frozen_server_can_be_given_up(faulty: Engine, broker: Broker) -> None:
    faulty.freeze()
    try:
        assert await failure(broker.connect(), 0.5)
    finally:
        faulty.thaw()
    connection = await soon(broker.connect())
    await connection.close()


async def test_a_broker_connects_again_once_its_server_is_back(faulty: Engine, broker: Broker) -> None:
    faulty.kill()
    try:
        assert await failure(broker.connect())
    finally:
        faulty.start()
    async with listening(broker) as ear:
        await soon(ear.connection.subscribe(["rooms.all"]))
        await soon(ear.connection.publish([("rooms.all", b"back")]))
        assert await ear.hear() == [("rooms.all", b"back")]
