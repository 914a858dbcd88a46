"""What is NATS's own about streams; what every engine does is in `test_stream_conformance`."""

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from fastapi_rooms.brokers import BrokerTimings, nats_history, nats_streams
from fastapi_rooms.brokers.nats import NatsBroker
from fastapi_rooms.brokers.nats_history import HistoryStream
from fastapi_rooms.brokers.nats_jetstream import JetStream, Refused
from fastapi_rooms.brokers.nats_kept import Note, Stored, entries_of, noted
from fastapi_rooms.brokers.streams import Append, Entry, Place
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError, MessageTooLarge
from fastapi_rooms.stores.nats_tickets import NatsTicketStore
from fastapi_rooms.testing import eventually

from .engines import STEADY, running
from .nats_engine import UNHURRIED, NatsEngine
from .test_broker_conformance import PROMPTLY, WITHIN, failure, soon
from .test_stream_conformance import Stream, data_of, streaming

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[NatsEngine]:
    with running(NatsEngine()) as engine:
        yield engine


@pytest.fixture
def own_server() -> Iterator[NatsEngine]:
    with running(NatsEngine()) as engine:
        yield engine


@pytest.fixture
def prefix() -> str:
    return f"own{next(_NUMBERS)}"


@pytest.fixture
def channel(prefix: str) -> str:
    return f"{prefix}.room.lobby"


@pytest.fixture
def broker(server: NatsEngine, prefix: str) -> NatsBroker:
    return broker_at(server, prefix)


@pytest.fixture
async def one(broker: NatsBroker, channel: str) -> AsyncIterator[Stream]:
    async with streaming(broker, channel) as one:
        yield one


@pytest.fixture
async def other(broker: NatsBroker, channel: str) -> AsyncIterator[Stream]:
    async with streaming(broker, channel) as other:
        yield other


@pytest.fixture
async def admin(server: NatsEngine) -> AsyncIterator[Client]:
    async with administrating(server) as admin:
        yield admin


@asynccontextmanager
async def administrating(server: NatsEngine) -> AsyncIterator[Client]:
    client = await nats_py.connect(server.url)
    try:
        yield client
    finally:
        await client.close()


def broker_at(server: NatsEngine, prefix: str = "rooms") -> NatsBroker:
    return NatsBroker(server.url, prefix=prefix, timings=STEADY)


async def configuration(admin: Client, prefix: str) -> Any:
    return (await admin.jetstream().stream_info(f"{prefix}_history")).config


async def purge(admin: Client, channel: str) -> None:
    prefix, _, rest = channel.partition(".")
    await admin.jetstream().purge_stream(f"{prefix}_history", subject=f"{prefix}~history.{rest}")


async def test_without_jetstream_history_is_refused_and_plain_messages_pass() -> None:
    with running(NatsEngine(jetstream=False)) as engine:
        async with streaming(broker_at(engine), "rooms.room.a") as stream:
            for _ in range(2):
                for call in (stream.append(b"kept"), stream.read()):
                    error = await failure(call)
                    assert isinstance(error, ConfigurationError)
                    assert "jetstream {}" in str(error)
            await soon(stream.connection.publish([("rooms.room.a", b"plain")]))
            assert await stream.hear() == [("rooms.room.a", b"plain")]


async def test_an_account_without_jetstream_is_refused_too() -> None:
    config = 'accounts { A { users: [{ user: "u", password: "p" }] }, B { jetstream: enabled } }'
    with running(NatsEngine(config=config, jetstream=True)) as engine:
        broker = NatsBroker(f"nats://u:p@127.0.0.1:{engine.port}", timings=STEADY)
        async with streaming(broker, "rooms.room.a") as stream:
            assert isinstance(await failure(stream.read()), ConfigurationError)


async def test_a_user_needs_no_more_rights_than_the_documentation_says() -> None:
    publish = ["shop.>", "shop~history.>", "$JS.API.DIRECT.GET.shop_history"]
    publish += [f"$JS.API.STREAM.{call}.shop_history" for call in ("INFO", "CREATE", "UPDATE", "MSG.GET")]
    subscribe = ["shop.>", "_INBOX.>", "$JS.EVENT.ADVISORY.STREAM.*.shop_history"]
    rights = json.dumps({"publish": publish, "subscribe": subscribe})
    user = f'{{ user: "u", password: "p", permissions: {rights} }}'
    config = f"authorization {{ {UNHURRIED}, users: [{user}] }}"
    with running(NatsEngine(config=config, jetstream=True)) as engine:
        broker = NatsBroker(f"nats://u:p@127.0.0.1:{engine.port}", prefix="shop", timings=STEADY)
        async with streaming(broker, "shop.room.a") as stream:
            await stream.append(b"a", idempotency_key="k", messages=3)
            await stream.append(b"b", version=1)
            assert data_of(await stream.read()) == [b"a", b"b"]
            assert [data for _, data in await stream.hear_places(2)] == [b"a", b"b"]


async def test_a_store_of_tickets_needs_no_more_rights_than_the_documentation_says() -> None:
    publish = ["$KV.shop-tickets.>"]
    publish += [f"$JS.API.STREAM.{call}.KV_shop-tickets" for call in ("INFO", "CREATE", "MSG.GET")]
    rights = json.dumps({"publish": publish, "subscribe": ["_INBOX.>"]})
    user = f'{{ user: "u", password: "p", permissions: {rights} }}'
    config = f"authorization {{ {UNHURRIED}, users: [{user}] }}"
    with running(NatsEngine(config=config, jetstream=True)) as engine:
        store = NatsTicketStore(f"nats://u:p@127.0.0.1:{engine.port}", prefix="shop", timeout=WITHIN)
        await store.put("hash", b"value", 30)
        assert await store.take("hash") == b"value"
        await store.close()


async def test_an_older_server_is_refused(one: Stream) -> None:
    one.connection._client._current_server.server_version = "2.10.29"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"2\.11 or newer, and this is 2\.10"):
        await one.append(b"")


@pytest.mark.parametrize(
    ("name", "subjects", "text"),
    [("{}_history", "elsewhere.{}", "not one of"), ("another-{}", "{}~history.>", "cannot be made")],
)
async def test_a_stream_in_the_way_is_an_error(
    one: Stream, admin: Client, prefix: str, name: str, subjects: str, text: str
) -> None:
    await admin.jetstream().add_stream(name=name.format(prefix), subjects=[subjects.format(prefix)])
    with pytest.raises(ConfigurationError, match=text):
        await one.append(b"")


async def test_a_message_too_long_for_its_headers_is_refused_and_the_connection_goes_on(one: Stream) -> None:
    longest = 1024 * 1024 - nats_streams.HEADERS
    with pytest.raises(MessageTooLarge):
        await one.append(b"short", bytes(longest + 1), idempotency_key="k", version=1 << 62)
    await one.append(bytes(longest), idempotency_key="k", version=1 << 62, seconds=12345.678901234567)
    assert [len(data) for data in data_of(await one.read())] == [longest]


async def test_connections_that_begin_at_once_begin_one_stream(broker: NatsBroker, channel: str) -> None:
    async with (
        streaming(broker, channel) as one,
        streaming(broker, channel) as two,
        streaming(broker, channel) as three,
        streaming(broker, channel) as four,
    ):
        page, (first,), another, (second,) = await asyncio.gather(
            one.read(), two.append(b"a"), three.read(), four.append(b"b")
        )
        assert len({page.epoch, first.epoch, another.epoch, second.epoch}) == 1
        earlier, later = sorted((first.offset, second.offset))
        assert [place for place, _ in await one.hear_places(2)] == [
            Place(page.epoch, earlier, 0),
            Place(page.epoch, later, earlier),
        ]
        page = await three.read()
        assert sorted(data_of(page)) == [b"a", b"b"]
        assert page.has_all_after(0)


async def test_what_is_kept_outlives_the_server_and_its_epoch_does_not(own_server: NatsEngine) -> None:
    async with streaming(broker_at(own_server), "rooms.room.a") as before:
        (first,) = await before.append(b"first")
        own_server.server.end()
    own_server.start()
    async with streaming(broker_at(own_server), "rooms.room.a") as after:
        page = await after.read()
        assert data_of(page) == [b"first"]
        assert page.epoch != first.epoch


async def test_a_store_that_was_restored_from_an_older_copy_has_another_epoch(
    own_server: NatsEngine, tmp_path: Path
) -> None:
    async def append(data: bytes) -> Any:
        async with streaming(broker_at(own_server), "rooms.room.a") as stream:
            (appended,) = await stream.append(data)
            own_server.server.end()
        return appended

    await append(b"copied")
    shutil.copytree(own_server.store, tmp_path / "copy")
    own_server.start()
    lost = await append(b"lost")
    shutil.rmtree(own_server.store)
    shutil.copytree(tmp_path / "copy", own_server.store)
    own_server.start()
    async with streaming(broker_at(own_server), "rooms.room.a") as stream:
        (instead,) = await stream.append(b"instead")
        assert instead.offset == lost.offset
        assert instead.epoch != lost.epoch
        assert data_of(await stream.read()) == [b"copied", b"instead"]


async def test_a_stream_that_is_deleted_ends_the_connections_and_begins_anew(
    broker: NatsBroker, channel: str, prefix: str, admin: Client
) -> None:
    async with streaming(broker, channel) as one, streaming(broker, channel) as reader:
        (old,) = await one.append(b"old")
        await reader.read()
        await admin.jetstream().delete_stream(f"{prefix}_history")
        for stream in (one, reader):
            with pytest.raises(BrokerUnavailable, match="was deleted"):
                await soon(stream.listening)
            with pytest.raises(BrokerUnavailable, match="was deleted"):
                await stream.append(b"into the void")
    async with streaming(broker, channel) as one:
        page = await one.read(after=old.offset)
        assert page.epoch != old.epoch
        assert not page.has_all_after(old.offset)
        (new,) = await one.append(b"new")
        assert new.offset > old.offset


async def test_it_keeps_as_much_as_was_ever_asked_for(
    one: Stream, other: Stream, admin: Client, prefix: str
) -> None:
    await one.append(b"few", messages=5, seconds=10)
    assert (await configuration(admin, prefix)).max_msgs_per_subject == 6
    await other.append(b"more", messages=50, seconds=100_000)
    await one.append(b"fewer", messages=2, seconds=1)
    config = await configuration(admin, prefix)
    assert (config.max_msgs_per_subject, config.max_age) == (51, 100_000)


async def test_of_two_that_ask_for_more_at_once_both_get_it_as_soon_as_they_have_heard_of_each_other(
    one: Stream, other: Stream, admin: Client, prefix: str
) -> None:
    await asyncio.gather(one.append(b"", messages=70, seconds=90_000), other.append(b"", messages=90, seconds=10))
    kept = (0, 0.0)
    async with asyncio.timeout(WITHIN):
        while kept != (91, 90_000):
            await one.append(b"", messages=70, seconds=90_000)
            await other.append(b"", messages=90, seconds=10)
            config = await configuration(admin, prefix)
            kept = (config.max_msgs_per_subject, config.max_age)


async def test_what_is_changed_while_it_is_looked_at_is_looked_at_again(
    one: Stream, other: Stream, admin: Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.append(b"", messages=10, seconds=10)
    stream = other.connection._streams._stream  # type: ignore[attr-defined]
    look = stream._info

    async def look_late() -> dict[str, Any]:
        monkeypatch.undo()
        seen: dict[str, Any] = await look()
        changes = stream._changes
        config = await configuration(admin, prefix)
        config.max_msgs_per_subject, config.max_age = 5, 0
        await admin.jetstream().update_stream(config)
        await eventually(lambda: stream._changes > changes, timeout=WITHIN)
        return seen

    monkeypatch.setattr(stream, "_info", look_late)
    await other.append(b"", messages=8, seconds=10)  # as it was seen, it keeps ten
    await other.append(b"", messages=8, seconds=10)
    assert (await configuration(admin, prefix)).max_msgs_per_subject == 9


async def test_what_an_operator_has_set_stays(one: Stream, admin: Client, prefix: str) -> None:
    await one.append(b"")
    config = await configuration(admin, prefix)
    config.max_msgs_per_subject, config.max_age, config.description = -1, 0, "theirs"
    await admin.jetstream().update_stream(config)
    await one.append(b"", messages=1000, seconds=1_000_000)
    config = await configuration(admin, prefix)
    assert (config.max_msgs_per_subject, config.max_age, config.description) == (-1, 0, "theirs")


async def test_a_reader_gets_no_more_than_the_newest_message_says(one: Stream) -> None:
    await one.append(*(b"%d" % number for number in range(10)), messages=10)
    await one.append(b"last", messages=3)
    assert data_of(await one.read()) == [b"8", b"9", b"last"]


async def test_a_long_stream_is_read_in_several_requests(one: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_history, "_BATCH_BYTES", 300)
    await one.append(*(b"%03d" % number for number in range(60)))
    page = await one.read()
    assert data_of(page) == [b"%03d" % number for number in range(60)]
    assert page.has_all_after(0)


async def test_pages_are_whole_while_the_oldest_go(one: Stream, other: Stream) -> None:
    await one.append(*(b"%d" % number for number in range(20)), messages=20)

    async def talk() -> None:
        for number in range(20, 620, 3):
            await other.append(*(b"%d" % (number + more) for more in range(3)), messages=20)

    talking = asyncio.create_task(talk())
    seen = 0
    while not talking.done():
        page = await one.read(after=seen, most=20)
        numbers = [int(data) for data in data_of(page)]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        assert [entry.previous for entry in page.entries[1:]] == [entry.offset for entry in page.entries[:-1]]
        seen = page.last
    await talking


async def test_what_went_while_a_page_was_read_makes_it_careful(
    one: Stream, other: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await one.append(b"first", messages=3)
    await one.append(b"second", b"third", messages=3)
    stored = HistoryStream.stored

    async def slow(self: HistoryStream, subject: str, start: int, *, until: int) -> list[Stored]:
        found = await stored(self, subject, start, until=until)
        await other.append(b"fourth", b"fifth", b"sixth", messages=3)
        return found

    monkeypatch.setattr(HistoryStream, "stored", slow)
    page = await one.read(after=first.offset)
    assert data_of(page) == [b"third"]
    assert not page.has_all_after(first.offset)


async def test_messages_that_an_operator_purged_are_not_claimed_to_be_there(
    one: Stream, other: Stream, admin: Client, channel: str
) -> None:
    (before,) = await one.append(b"before")
    ((place, _),) = await other.hear_places(1)
    assert place == Place(before.epoch, before.offset, 0)
    await one.append(b"gone")
    await purge(admin, channel)
    (after,) = await one.append(b"after")
    page = await other.read()
    assert data_of(page) == [b"after"]
    assert not page.has_all_after(0)
    assert not (await other.read(after=before.offset)).has_all_after(before.offset)
    assert (await other.read(after=after.offset)).has_all_after(after.offset)
    (_, (place, _)) = await other.hear_places(2)
    assert place == Place(after.epoch, after.offset, after.offset - 1)


async def test_a_beginning_that_may_be_forgotten_is_looked_up_again(
    one: Stream, admin: Client, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = await one.append(b"before")
    await purge(admin, channel)
    monkeypatch.setattr(nats_streams, "REMEMBERED", 0.0)
    (after,) = await one.append(b"after")
    assert after.epoch != before.epoch
    assert (await one.read()).has_all_after(0)


async def test_beginnings_are_remembered_of_the_channels_used_last(
    one: Stream, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_streams, "MOST_KNOWN", 2)
    for name in ("a", "b", "a", "c"):
        await soon(one.streams.append([Append(channel=f"{channel}.{name}", data=b"", messages=1, seconds=1.0)]))
    assert list(one.connection._streams._births) == [f"{channel}.a", f"{channel}.c"]  # type: ignore[attr-defined]


async def test_a_message_that_is_not_ours_is_given_to_nobody(
    one: Stream, admin: Client, channel: str, prefix: str
) -> None:
    (before,) = await one.append(b"ours")
    for headers in (None, {"Fastapi-Rooms": "1 2 three -"}):  # answered once it is kept
        await admin.jetstream().publish(f"{prefix}~history.room.lobby", b"theirs", headers=headers)
    begun = await one.read()
    assert (list(begun.entries), begun.last) == ([], 0)
    assert begun.epoch != before.epoch
    await one.append(b"ours again")
    assert [data for _, data in await one.hear_places(2)] == [b"ours", b"ours again"]
    page = await one.read()
    assert (data_of(page), page.epoch) == ([b"ours again"], begun.epoch)


async def test_a_plain_message_with_headers_is_a_plain_message(one: Stream, admin: Client, channel: str) -> None:
    await admin.publish(channel, b"plain", headers={"Fastapi-Rooms": "1 2 3 4"})
    assert await one.hear_places(1) == [(None, b"plain")]


async def test_a_version_is_known_as_long_as_its_message_is_kept(one: Stream) -> None:
    await one.append(b"version 2", version=2, messages=4)
    await one.append(b"without", b"without", messages=4)
    assert (await one.append(b"version 1", version=1, messages=4))[0].stale
    await one.append(b"without", b"without", b"without", messages=4)
    assert not (await one.append(b"version 1", version=1, messages=4))[0].stale


async def test_of_several_versions_at_once_none_passes_a_newer_one(broker: NatsBroker, channel: str) -> None:
    async with (
        streaming(broker, channel) as one,
        streaming(broker, channel) as two,
        streaming(broker, channel) as three,
    ):
        streams = (one, two, three)
        for start in range(0, 45, 3):
            await asyncio.gather(
                *(
                    stream.append(b"%d" % version, version=version)
                    for version, stream in enumerate(streams, start=start)
                )
            )
        versions = [int(data) for data in data_of(await one.read())]
        assert versions == sorted(versions)
        assert versions[-1] == 44


async def test_a_stale_version_with_a_key_that_was_used_is_a_repetition(one: Stream) -> None:
    (first,) = await one.append(b"version 1", version=1, idempotency_key="k")
    await one.append(b"version 2", version=2)
    assert await one.append(b"version 1", version=1, idempotency_key="k") == [first._replace(repeated=True)]
    (stale,) = await one.append(b"version 1", version=1, idempotency_key="another")
    assert stale.stale


async def test_one_whose_repetition_is_being_stored_in_a_cluster_is_sent_again(
    one: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await one.append(b"once", idempotency_key="k")
    refusals = [Refused("in process", code=400, error_code=10158)]
    result = JetStream.result

    def cluster(self: JetStream, answer: Msg) -> dict[str, Any]:
        said = result(self, answer)
        if refusals and "seq" in said:  # of a message; the stream may be asked about, too, if that was long ago
            raise refusals.pop()
        return said

    monkeypatch.setattr(JetStream, "result", cluster)
    assert await one.append(b"once", idempotency_key="k") == [first._replace(repeated=True)]


async def test_what_the_server_refuses_ends_the_connection(one: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: JetStream, answer: Msg) -> dict[str, Any]:
        raise Refused("insufficient storage", code=500, error_code=10047)

    monkeypatch.setattr(JetStream, "result", full)
    with pytest.raises(BrokerUnavailable, match="insufficient storage"):
        await one.append(b"once")
    with pytest.raises(BrokerUnavailable, match="insufficient storage"):
        await soon(one.listening)


async def test_order_holds_across_channels_and_versions_in_one_call(one: Stream, channel: str) -> None:
    await soon(one.connection.subscribe([f"{channel}.second"]))
    messages = [
        Append(
            channel=channel if number % 2 else f"{channel}.second",
            data=b"%d" % number,
            messages=300,
            seconds=60.0,
            version=number if number % 7 == 0 else None,
        )
        for number in range(200)
    ]
    appended = await soon(one.streams.append(messages))
    offsets = [where.offset for where in appended]
    assert offsets == sorted(offsets)
    heard = await one.hear(200)
    for name in (channel, f"{channel}.second"):
        assert [data.partition(b"\n")[2] for came, data in heard if came == name] == [
            message.data for message in messages if message.channel == name
        ]


async def test_nothing_to_append_is_nothing(one: Stream) -> None:
    assert await one.append() == ()


@pytest.mark.parametrize("call", [lambda stream: stream.append(b"x"), lambda stream: stream.read()])
async def test_a_server_that_does_not_answer_ends_the_connection(
    own_server: NatsEngine, call: Callable[[Stream], Any]
) -> None:
    async with streaming(broker_at(own_server), "rooms.room.a") as stream:
        stream.connection._timeout = 0.2  # type: ignore[attr-defined]
        own_server.freeze()
        try:
            with pytest.raises(BrokerUnavailable, match="not confirmed in time"):
                await call(stream)
            with pytest.raises(BrokerUnavailable):
                await soon(stream.listening)
        finally:
            own_server.thaw()


async def test_whoever_waits_for_an_answer_hears_at_once_that_the_server_is_gone(own_server: NatsEngine) -> None:
    broker = NatsBroker(own_server.url, timings=BrokerTimings(publish=60))
    async with streaming(broker, "rooms.room.a") as stream:
        own_server.freeze()
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        own_server.kill()
        assert not isinstance(await failure(reading, PROMPTLY), TimeoutError)


async def test_a_call_that_is_cancelled_leaves_the_connection_as_it_was(own_server: NatsEngine) -> None:
    async with streaming(broker_at(own_server), "rooms.room.a") as stream:
        await stream.append(b"a")
        own_server.freeze()
        for call in (stream.read(), stream.append(b"b")):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await call
        own_server.thaw()
        await stream.append(b"c")
        assert [data for data in data_of(await stream.read()) if data != b"b"] == [b"a", b"c"]
        assert stream.connection._streams._js._waiting == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", [None, "", "1 2 3", "a 2 3.0 -", "1 2 3.0 x"])
def test_a_header_that_is_not_ours_says_nothing(text: str | None) -> None:
    assert noted(text) is None


@pytest.mark.parametrize("note", [Note(), Note(17, 100, 0.1, -3), Note(17, 100, 1e9, 1 << 70)])
def test_a_header_says_what_it_was_made_of(note: Note) -> None:
    assert noted(note.text()) == note


def messages(*seqs: int, birth: int = 10, at: float = 0.0) -> list[Stored]:
    return [
        Stored(seq, at, Note(0 if seq == birth else birth, messages=100, seconds=60.0), b"%d" % seq)
        for seq in seqs
    ]


def offsets(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    return [(entry.offset, entry.previous) for entry in entries]


def test_the_first_message_after_the_record_has_none_before_it() -> None:
    assert offsets(entries_of(messages(10, 12, 15), oldest=10, after=0, most=9, now=0)) == [(12, 0), (15, 12)]


def test_without_the_record_the_one_before_is_taken_to_be_right_before() -> None:
    assert offsets(entries_of(messages(12, 15), oldest=12, after=0, most=9, now=0)) == [(12, 11), (15, 12)]


def test_the_message_that_was_seen_last_is_the_one_before() -> None:
    assert offsets(entries_of(messages(12, 15), oldest=12, after=12, most=9, now=0)) == [(15, 12)]


def test_what_went_while_it_was_read_is_no_proof() -> None:
    assert offsets(entries_of(messages(10, 12, 15, 17), oldest=15, after=0, most=9, now=0)) == [(15, 14), (17, 15)]


def test_messages_of_a_stream_that_was_forgotten_are_left_out() -> None:
    found = [*messages(10, 12), *messages(15, birth=3), *messages(17)]
    assert offsets(entries_of(found, oldest=10, after=0, most=9, now=0)) == [(17, 16)]


def test_what_is_too_old_is_left_out_from_the_oldest_on() -> None:
    found = [*messages(10, 12), *messages(15, at=50.0), *messages(17, at=10.0)]
    assert offsets(entries_of(found, oldest=10, after=0, most=9, now=100)) == [(15, 12), (17, 15)]
    assert entries_of(found, oldest=10, after=0, most=9, now=1000) == []


def test_the_newest_are_taken_with_the_one_before_them() -> None:
    found = messages(10, 12, 15, 17)
    assert offsets(entries_of(found, oldest=10, after=0, most=1, now=0)) == [(17, 15)]
    assert entries_of(found, oldest=10, after=0, most=0, now=0) == []
