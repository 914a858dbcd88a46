"""Streams in memory forget what is old, and never grow without bound."""

import pytest

from fastapi_rooms.brokers import memory_streams as module
from fastapi_rooms.brokers.memory_streams import MemoryStreams
from fastapi_rooms.brokers.streams import IDEMPOTENT_FOR, REMEMBERED, Append, Place, placed, split_place


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def streams(clock: Clock) -> MemoryStreams:
    return MemoryStreams(clock)


def message(data: bytes = b"x", *, channel: str = "a", key: str | None = None, seconds: float = 60.0) -> Append:
    return Append(channel=channel, data=data, messages=3, seconds=seconds, idempotency_key=key)


def kept(streams: MemoryStreams, channel: str = "a") -> list[bytes]:
    return [entry.data for entry in streams.read(channel, after=0, most=100).entries]


def test_what_is_too_old_is_gone(streams: MemoryStreams, clock: Clock) -> None:
    streams.append(message(b"old", seconds=10.0))
    clock.now += 5
    streams.append(message(b"new", seconds=10.0))
    clock.now += 5
    assert kept(streams) == [b"new"]
    assert streams.read("a", after=0, most=0).last == 2


def test_a_key_is_remembered_for_its_time(streams: MemoryStreams, clock: Clock) -> None:
    first, _ = streams.append(message(key="k"))
    clock.now += IDEMPOTENT_FOR - 1
    again, place = streams.append(message(key="k"))
    assert (again, place) == (first._replace(repeated=True), None)
    clock.now += 1
    later, place = streams.append(message(key="k"))
    assert not later.repeated
    assert place is not None


def test_a_stream_that_nobody_used_for_a_day_begins_anew(streams: MemoryStreams, clock: Clock) -> None:
    first, _ = streams.append(message())
    clock.now += REMEMBERED
    assert streams.read("a", after=0, most=0).epoch == first.epoch
    clock.now += REMEMBERED + 1
    page = streams.read("a", after=0, most=0)
    assert page.epoch != first.epoch
    assert page.last == 0


def test_streams_and_keys_have_a_bound(streams: MemoryStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STREAMS", 2)
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    epochs = {channel: streams.append(message(channel=channel, key="k"))[0].epoch for channel in "abc"}
    assert streams.read("c", after=0, most=0).epoch == epochs["c"]
    assert streams.read("b", after=0, most=0).epoch == epochs["b"]
    assert streams.read("a", after=0, most=0).epoch != epochs["a"]
    assert not streams.append(message(channel="a", key="k"))[0].repeated


@pytest.mark.parametrize(
    "data", [b"", b"@", b"@e:1\n", b"@e:1:x\nhello", b"@e!:1:0\nx", b"@e:1:0", b"fastapi-rooms/1 {}\n"]
)
def test_what_has_no_place_comes_as_it_is(data: bytes) -> None:
    assert split_place(data) == (None, data)


def test_a_place_travels_before_its_message() -> None:
    place = Place("epoch-1_x", 12, 11)
    assert split_place(placed(place, b"@e:1:0\nhello\n")) == (place, b"@e:1:0\nhello\n")
