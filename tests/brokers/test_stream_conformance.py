"""What every engine that keeps streams does: append and publish in one step, give offsets, forget what is old."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from fastapi_rooms.brokers import Broker
from fastapi_rooms.brokers.streams import Append, Appended, Page, Place, StreamConnection, split_place

from .engines import Engine
from .test_broker_conformance import Ear, soon

EMPTY_FOR = 1.0
"""Seconds after which a message is too old, in tests of that."""


class Stream(Ear):
    """A connection that listens to a channel, and appends to its stream."""

    def __init__(self, connection: StreamConnection, channel: str) -> None:
        super().__init__(connection)
        self.streams = connection
        self.channel = channel

    async def append(
        self,
        *data: bytes,
        messages: int = 100,
        seconds: float = 60.0,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> Sequence[Appended]:
        """Append these in one call."""
        appends = [
            Append(
                channel=self.channel,
                data=one,
                messages=messages,
                seconds=seconds,
                idempotency_key=idempotency_key,
                version=version,
            )
            for one in data
        ]
        return await soon(self.streams.append(appends))

    async def read(self, *, after: int = 0, most: int = 1000) -> Page:
        return await soon(self.streams.read(self.channel, after=after, most=most))

    async def hear_places(self, number: int) -> list[tuple[Place | None, bytes]]:
        """The next messages of the channel."""
        return [split_place(data) for _, data in await self.hear(number)]


@asynccontextmanager
async def streaming(broker: Broker, channel: str) -> AsyncIterator[Stream]:
    connection = await soon(broker.connect())
    assert isinstance(connection, StreamConnection)
    stream = Stream(connection, channel)
    try:
        await soon(connection.subscribe([channel]))
        yield stream
    finally:
        await stream.close()


@pytest.fixture
def channel() -> str:
    return f"rooms.room.{secrets.token_hex(6)}"  # engines are shared, by files too


@pytest.fixture
async def broker(engine: Engine) -> Broker:
    return engine.broker()


@pytest.fixture
async def one(broker: Broker, channel: str) -> AsyncIterator[Stream]:
    async with streaming(broker, channel) as one:
        yield one


@pytest.fixture
async def other(broker: Broker, channel: str) -> AsyncIterator[Stream]:
    async with streaming(broker, channel) as other:
        yield other


def data_of(page: Page) -> list[bytes]:
    return [entry.data for entry in page.entries]


async def test_what_is_appended_comes_to_all_who_listen_with_its_place(one: Stream, other: Stream) -> None:
    appended = [*await one.append(b"first"), *await other.append(b"second"), *await one.append(b"third")]
    epochs = {where.epoch for where in appended}
    assert len(epochs) == 1
    offsets = [where.offset for where in appended]
    assert 0 < offsets[0] < offsets[1] < offsets[2]
    (epoch,) = epochs
    places = [Place(epoch, offset, previous) for previous, offset in itertools.pairwise([0, *offsets])]
    expected = list(zip(places, (b"first", b"second", b"third"), strict=True))
    assert await one.hear_places(3) == expected
    assert await other.hear_places(3) == expected


async def test_several_in_one_call_are_kept_in_order(one: Stream) -> None:
    appended = await one.append(*(b"%d" % number for number in range(50)))
    page = await one.read()
    assert data_of(page) == [b"%d" % number for number in range(50)]
    assert [entry.offset for entry in page.entries] == [where.offset for where in appended]
    assert page.last == appended[-1].offset
    assert [data for _, data in await one.hear_places(50)] == data_of(page)


async def test_those_after_an_offset_are_read(one: Stream, other: Stream) -> None:
    offsets = [where.offset for where in await one.append(b"a", b"b", b"c", b"d")]
    for index, offset in enumerate(offsets):
        page = await other.read(after=offset)
        assert data_of(page) == [b"a", b"b", b"c", b"d"][index + 1 :]
        assert page.has_all_after(offset)
        assert page.last == offsets[-1]
    page = await other.read()
    assert page.entries[0].previous == 0
    assert page.has_all_after(0)


async def test_the_newest_are_read_where_there_are_too_many(one: Stream) -> None:
    offsets = [where.offset for where in await one.append(b"a", b"b", b"c", b"d")]
    page = await one.read(most=2)
    assert data_of(page) == [b"c", b"d"]
    assert not page.has_all_after(offsets[0])
    nothing = await one.read(most=0)
    assert (list(nothing.entries), nothing.last) == ([], offsets[-1])


async def test_a_stream_begins_with_the_first_look_at_it(one: Stream, other: Stream) -> None:
    page = await one.read()
    assert (list(page.entries), page.last) == ([], 0)
    assert page.has_all_after(0)
    assert (await other.read()).epoch == page.epoch
    (appended,) = await other.append(b"first")
    assert appended.epoch == page.epoch
    assert (await one.read()).has_all_after(0)


async def test_the_oldest_go_where_there_are_too_many(one: Stream) -> None:
    offsets = [where.offset for where in await one.append(*(b"%d" % number for number in range(10)), messages=4)]
    page = await one.read()
    assert data_of(page)[-4:] == [b"6", b"7", b"8", b"9"]
    assert not page.has_all_after(0)
    assert (await one.read(after=offsets[6])).has_all_after(offsets[6])
    assert (await one.read(after=offsets[-1])).has_all_after(offsets[-1])
    assert not (await one.read(after=offsets[0])).has_all_after(offsets[0])


async def test_what_is_too_old_is_gone_and_the_last_offset_stays(one: Stream) -> None:
    begun = time.monotonic()
    (old,) = await one.append(b"old", seconds=EMPTY_FOR)
    assert data_of(await one.read()) == [b"old"] or time.monotonic() - begun >= EMPTY_FOR
    async with asyncio.timeout(30 * EMPTY_FOR):
        while (await one.read()).entries:  # noqa: ASYNC110 - an engine tells nobody what it forgets
            await asyncio.sleep(EMPTY_FOR / 20)
    page = await one.read()
    assert not page.has_all_after(0)
    (new,) = await one.append(b"new")
    assert new.epoch != old.epoch or new.offset > old.offset


async def test_the_same_idempotency_key_once_more_is_not_published_again(one: Stream, other: Stream) -> None:
    (first,) = await one.append(b"once", idempotency_key="k")
    for stream in (one, other):
        (again,) = await stream.append(b"once", idempotency_key="k")
        assert again == first._replace(repeated=True)
    (next_one,) = await other.append(b"next", idempotency_key="another")
    assert not next_one.repeated
    assert [data for _, data in await one.hear_places(2)] == [b"once", b"next"]
    assert data_of(await one.read()) == [b"once", b"next"]


async def test_an_idempotency_key_is_of_one_channel(one: Stream, broker: Broker, channel: str) -> None:
    await one.append(b"here", idempotency_key="k")
    async with streaming(broker, f"{channel}-elsewhere") as elsewhere:
        (there,) = await elsewhere.append(b"there", idempotency_key="k")
        assert not there.repeated
        assert await elsewhere.hear_places(1) == [(Place(there.epoch, there.offset, 0), b"there")]


async def test_of_two_at_once_with_one_idempotency_key_one_is_published(one: Stream, other: Stream) -> None:
    results = await asyncio.gather(*(stream.append(b"once", idempotency_key="k") for stream in (one, other)))
    assert sorted(where.repeated for (where,) in results) == [False, True]
    assert len({where.offset for (where,) in results}) == 1
    assert data_of(await one.read()) == [b"once"]


async def test_a_version_that_is_not_newer_is_not_published(one: Stream, other: Stream) -> None:
    (first,) = await one.append(b"version 2", version=2)
    for version in (1, 2):
        (stale,) = await other.append(b"older", version=version)
        assert stale == Appended(first.epoch, first.offset, stale=True)
    await other.append(b"without")
    (newer,) = await other.append(b"version 3", version=3)
    assert not newer.stale
    assert [data for _, data in await one.hear_places(3)] == [b"version 2", b"without", b"version 3"]


async def test_all_see_one_order_and_each_names_the_one_before_it(one: Stream, other: Stream) -> None:
    async def talk(stream: Stream, name: bytes) -> None:
        for number in range(40):
            await stream.append(b"%b%d" % (name, number))

    await asyncio.gather(talk(one, b"one"), talk(other, b"other"))
    heard = await one.hear_places(80)
    assert await other.hear_places(80) == heard
    places = [place for place, _ in heard if place is not None]
    assert [place.previous for place in places] == [0, *(place.offset for place in places[:-1])]
    page = await one.read()
    assert [(entry.offset, entry.data) for entry in page.entries] == [
        (place.offset, data) for place, (_, data) in zip(places, heard, strict=True)
    ]


async def test_what_was_heard_can_be_read(one: Stream, other: Stream) -> None:
    for number in range(20):
        await one.append(b"%d" % number)
        ((place, data),) = await other.hear_places(1)
        assert place is not None
        (entry,) = (await other.read(after=place.previous)).entries
        assert (entry.offset, entry.data) == (place.offset, data)


@pytest.mark.parametrize("size", [0, 1, 7_999, 8_001, 65_536, 900_000])
async def test_a_message_of_any_size_is_kept_and_comes_as_it_was(one: Stream, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    await one.append(data, b"end")
    assert [came for _, came in await one.hear_places(2)] == [data, b"end"]
    assert data_of(await one.read()) == [data, b"end"]


@pytest.mark.parametrize("name", ["a.b", "a", "%2A", "~x", "A" * 200])
async def test_streams_of_different_channels_do_not_mix(broker: Broker, channel: str, name: str) -> None:
    async with (
        streaming(broker, f"{channel}.{name}") as stream,
        streaming(broker, f"{channel}.{name}x") as neighbour,
    ):
        await stream.append(b"here")
        await neighbour.append(b"there")
        assert data_of(await stream.read()) == [b"here"]
        assert data_of(await neighbour.read()) == [b"there"]
        assert [data for _, data in await stream.hear_places(1)] == [b"here"]


async def test_plain_messages_pass_beside_a_stream_and_are_not_kept(one: Stream, other: Stream) -> None:
    await soon(one.connection.publish([(one.channel, b"plain")]))
    await one.append(b"kept")
    heard = await other.hear_places(2)
    assert (heard[0], heard[1][1]) == ((None, b"plain"), b"kept")
    assert data_of(await other.read()) == [b"kept"]


async def test_many_may_read_at_once(one: Stream) -> None:
    await one.append(*(b"%d" % number for number in range(20)))
    pages = await asyncio.gather(*(one.read(after=0) for _ in range(20)), one.append(b"meanwhile"))
    assert all(data_of(page)[:20] == [b"%d" % number for number in range(20)] for page in pages[:-1])  # type: ignore[arg-type]


async def test_after_a_kill_the_epoch_is_another_one_or_nothing_is_lost(faulty: Engine, channel: str) -> None:
    broker = faulty.broker()
    async with streaming(broker, channel) as before:
        appended = await before.append(b"a", b"b", b"c")
        faulty.kill()
        faulty.start()
    async with streaming(broker, channel) as after:
        page = await after.read()
        kept = (page.epoch, page.last) == (appended[-1].epoch, appended[-1].offset)
        assert page.epoch != appended[-1].epoch or (kept and data_of(page) == [b"a", b"b", b"c"])
        (next_one,) = await after.append(b"d")
        assert next_one.epoch == page.epoch
        assert next_one.offset > page.last
