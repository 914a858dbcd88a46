"""Events: their names, how they travel, and the frames that clients get for them."""

import json
import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.payload import Payload
from fastapi_rooms.position import Position
from fastapi_rooms.protocol.events import FRAMING, Event, Frame, event_of, frame_for, frame_of
from fastapi_rooms.protocol.server_frames import MessageFrame
from hub.usual import whole

HERE = Position("a", "epoch", 7)
T = TypeVar("T")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
ROOMS = st.text(min_size=1, max_size=255)


class Said(BaseModel):
    text: str = "hi"


class HTTPMovedOn(BaseModel):
    pass


class Step2Done(BaseModel):
    pass


class Plain_name(BaseModel):  # noqa: N801 - what some are called
    pass


class Renamed(BaseModel):
    text: str = Field(serialization_alias="Text")


class Numbers(RootModel[list[int]]):
    pass


class Of(BaseModel, Generic[T]):
    value: T


@dataclass
class Point:
    x: int


def frame(payload: Payload, room: str | None = "a", position: Position | None = None) -> dict[str, Any]:
    """A `message` frame as a client parses it; and it is one by its model."""
    text = frame_of(payload, room, position).data
    assert isinstance(text, str)
    assert "\n" not in text
    assert "\r" not in text
    parsed: dict[str, Any] = json.loads(text)
    MessageFrame.model_validate(parsed)
    return whole(parsed)


@pytest.mark.parametrize(
    ("message", "name", "data"),
    [
        (Said(), "said", {"text": "hi"}),
        (HTTPMovedOn(), "http_moved_on", {}),
        (Step2Done(), "step2_done", {}),
        (Plain_name(), "plain_name", {}),
        (Renamed(text="x"), "renamed", {"Text": "x"}),
        (Numbers([1, 2]), "numbers", [1, 2]),
        (Point(1), "message", {"x": 1}),
        ({"text": "hi"}, "message", {"text": "hi"}),
        ([Said()], "message", [{"text": "hi"}]),
        ("text", "message", "text"),
        ('{"event":"said"}', "message", '{"event":"said"}'),
        ("", "message", ""),
        (None, "message", None),
        (0, "message", 0),
        (math.nan, "message", None),
        ({"event": "said", "data": 1}, "message", {"event": "said", "data": 1}),
        (10**400, "message", 10**400),
    ],
)
def test_what_is_said_has_a_name_and_data(message: object, name: str, data: object) -> None:
    event = Event(message)
    assert json.loads(str(event.data)) == {"event": name, "data": data}
    assert event.size == len(str(event.data).encode())


def test_a_model_of_a_model_has_some_name() -> None:
    assert frame(Event(Of[int](value=1)))["event"] == "of[int]"


@pytest.mark.parametrize("name", ["typing", "ünder way", "", 'a"b\\', "x" * 1000])
def test_a_name_that_is_given_counts(name: str) -> None:
    assert frame(Event(Said(), name))["event"] == name


@pytest.mark.parametrize("data", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_binary_is_no_event(data: object) -> None:
    with pytest.raises(UnencodableMessage, match="JSON"):
        Event(data)


@pytest.mark.parametrize("data", [object(), {"a": object()}, "\ud800", [b"\xff"]])
def test_what_is_not_json_able_is_no_event(data: object) -> None:
    with pytest.raises(UnencodableMessage):
        Event(data)


def test_an_event_is_one_already_and_keeps_its_name() -> None:
    event = Event("x", "mine")
    assert event_of(event, "yours") is event
    assert json.loads(str(event_of("x", "yours").data)) == {"event": "yours", "data": "x"}


def test_a_frame_says_where_and_which_is_its_place() -> None:
    event = Event(1, "e")
    assert frame_of(event, "a").data == '{"room":"a","event":"e","data":1}'
    assert frame_of(event, None).data == '{"event":"e","data":1}'
    framed = frame_of(event, "a", HERE)
    assert framed.data == f'{{"room":"a","event":"e","data":1,"position":"{HERE}"}}'
    assert isinstance(framed, Frame)
    assert framed.event_id == str(HERE)


def test_what_is_usual_is_left_out_of_a_frame() -> None:
    assert frame_of(Event(1, "message"), "a").data == '{"room":"a","data":1}'
    assert frame_for(1, None, None).data == '{"data":1}'
    assert frame_of(Payload('{"event":"message","data":1}'), "a").data == '{"room":"a","data":1}'


def test_a_frame_without_a_place_has_no_id_on_a_stream() -> None:
    framed = frame_of(Event(1), "a")
    assert isinstance(framed, Frame)
    assert framed.event_id is None


def test_nothing_is_framed_twice() -> None:
    once = frame_of(Event(1), "a", HERE)
    assert frame_of(once, "b") is once
    assert frame_of(once, None) is once


@pytest.mark.parametrize(
    ("published", "name", "data"),
    [
        ("hello", "message", "hello"),
        ("", "message", ""),
        ("{not json", "message", "{not json"),
        ("NaN", "message", "NaN"),
        ('"\\ud800"', "message", '"\\ud800"'),
        ("\ufeff1", "message", "\ufeff1"),
        ("[" * 300 + "]" * 300, "message", "[" * 300 + "]" * 300),
        ("7", "message", 7),
        ("null", "message", None),
        ('"text"', "message", "text"),
        ("[1]", "message", [1]),
        ('{"text":"hi"}', "message", {"text": "hi"}),
        ('{"event":"said","data":{"text":"hi"}}', "said", {"text": "hi"}),
        ('{"data":1,"event":"said"}', "said", 1),
        (' \t{"event":"said", "data":null}\r\n', "said", None),
        ('{\n "event": "said",\r\n "data": [1,\n 2]\n}', "said", [1, 2]),
        ('{\n "text": "a\\nb"\n}', "message", {"text": "a\nb"}),
        ('{"\\u0065vent":"said","data":1}', "said", 1),
        ('{"event":"said","data":1,"data":2}', "said", 2),
        ('{"event":"said"}', "message", {"event": "said"}),
        ('{"event":1,"data":1}', "message", {"event": 1, "data": 1}),
        ('{"event":"e","data":1,"room":"b"}', "message", {"event": "e", "data": 1, "room": "b"}),
        ('{"event":"e","data":1,"type":"left"}', "message", {"event": "e", "data": 1, "type": "left"}),
    ],
)
def test_what_others_publish_gets_to_clients_as_an_event(published: str, name: str, data: object) -> None:
    found = frame(Payload(published), "a", HERE)
    assert found == {"type": "message", "room": "a", "event": name, "data": data, "position": str(HERE)}


def test_a_publisher_may_send_events_models_and_values() -> None:
    assert frame(Payload.of(Event(Said())))["event"] == "said"
    assert frame(Payload.of(Said())) == {
        "type": "message",
        "room": "a",
        "event": "message",
        "data": {"text": "hi"},
    }
    assert frame(Payload.of({"event": "said", "data": 1}))["event"] == "said"


def test_numbers_that_python_would_change_are_passed_on_as_they_are() -> None:
    for number in ("1e400", "0.10000000000000000001", "123456789012345678901234567890", "-0.0", "1.0"):
        assert f'"data":{number}}}' in str(frame_of(Payload(number), "a").data)
        assert f'"data":{number}}}' in str(frame_of(Payload(f'{{"event":"e","data":{number}}}'), "a").data)


def test_binary_that_others_publish_is_refused() -> None:
    with pytest.raises(UnencodableMessage, match="binary"):
        frame_of(Payload(b"\x00"), "a")


@given(st.none() | ROOMS, st.none() | st.text(max_size=200), JSON | st.just(Said()) | st.just(Event(1, "mine")))
def test_a_frame_that_is_made_at_once_is_the_same(room: str | None, name: str | None, message: Any) -> None:
    at_once, framed = frame_for(message, name, room), frame_of(event_of(message, name), room)
    assert (at_once.data, at_once.size) == (framed.data, framed.size)
    assert frame_of(at_once, "elsewhere") is at_once


@pytest.mark.parametrize("message", [b"x", object(), "\ud800"])
def test_what_is_no_event_is_no_frame_either(message: object) -> None:
    with pytest.raises(UnencodableMessage):
        frame_for(message, None, "a")


@given(ROOMS, st.text(max_size=200), JSON)
@example('a","type":"left', '"', "}")
@example("\x00" * 255, "", None)
@example("\U0001f600" * 255, "\u2028", "\u2029")
def test_a_client_parses_exactly_what_was_said_and_where(room: str, name: str, data: Any) -> None:
    event = Event(data, name)
    assert frame(event, room, HERE) == {
        "type": "message",
        "room": room,
        "event": name,
        "data": data,
        "position": str(HERE),
    }
    through_the_broker = Payload(str(event.data))
    assert frame(through_the_broker, room) == frame(event, room)
    assert frame_of(event, room, HERE).size <= event.size + FRAMING + 6 * len(room)


@given(st.text())
def test_any_text_that_others_publish_is_some_event(text: str) -> None:
    found = frame(Payload(text))
    assert found.keys() == {"type", "room", "event", "data"}
    assert found["room"] == "a"


@given(JSON)
def test_any_value_that_others_publish_is_the_data_of_one(value: Any) -> None:
    found = frame(Payload.json(value))
    if isinstance(value, dict) and value.keys() == {"event", "data"} and isinstance(value["event"], str):
        value = value["data"]
    assert found["data"] == value


@given(st.text(max_size=20), JSON)
def test_an_event_that_travelled_as_text_is_the_same(name: str, data: Any) -> None:
    event = Event(data, name)
    assert frame_of(Payload(str(event.data)), None).data == frame_of(event, None).data


@given(data=JSON, room=st.none() | ROOMS, name=st.none() | st.text(min_size=1, max_size=20))
@example(data=Said(), room="a", name=None)
@example(data=Event({"x": 1}, "moved"), room="a", name="another")
def test_a_frame_at_once_is_the_frame_of_the_event(data: Any, room: str | None, name: str | None) -> None:
    at_once, by_way = frame_for(data, name, room), frame_of(event_of(data, name), room)

    assert isinstance(at_once, Frame)
    assert (at_once.data, at_once.size, at_once.event_id) == (by_way.data, by_way.size, None)


def test_bytes_are_no_frame_either() -> None:
    with pytest.raises(UnencodableMessage, match="encode bytes"):
        frame_for(b"x", None, "a")
