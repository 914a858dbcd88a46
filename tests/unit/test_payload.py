import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fastapi_rooms import payload as payload_module
from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.payload import Payload, encode_json
from unit.frame_fakes import BINARY, TEXT, OnWire, inflate, split_frames

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    at: datetime
    number: float = 1.0


@dataclass
class Point:
    x: int
    at: datetime


class Text(str):
    __slots__ = ()


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.uuids()
    | st.just(Colour.RED)
    | st.builds(Point, st.integers(), st.datetimes())
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(min_value=-(2**40), max_value=2**40), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(params=["with orjson", "without orjson"], autouse=True)
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without orjson":
        monkeypatch.setattr(payload_module, "_orjson", None)
    else:
        assert payload_module._orjson is not None


def encoded_both_ways(value: object) -> list[Any]:
    found = payload_module._orjson
    results: list[Any] = []
    for encoder in (orjson, None):
        payload_module._orjson = encoder  # type: ignore[assignment]  # as the loader casts it
        try:
            results.append(json.loads(encode_json(value)))
        except UnencodableMessage:
            results.append(UnencodableMessage)
        finally:
            payload_module._orjson = found
    return results


@given(VALUES)
def test_json_means_the_same_with_and_without_orjson(value: object) -> None:
    fast, standard = encoded_both_ways(value)
    assert fast == standard


def test_text_and_binary_go_out_as_they_are() -> None:
    assert Payload.of("hallo").event == {"type": "websocket.send", "text": "hallo"}
    assert Payload.of(b"\x00").event == {"type": "websocket.send", "bytes": b"\x00"}
    assert Payload.of(bytearray(b"ab")).data == b"ab"
    assert Payload.of(memoryview(b"ab")).data == b"ab"
    assert Payload.of("").data == ""
    assert Payload.of(b"").data == b""


def test_a_payload_is_its_own_encoding() -> None:
    payload = Payload("x")
    assert Payload.of(payload) is payload


@pytest.mark.parametrize(("text", "size"), [("", 0), ("abc", 3), ("ü", 2), ("𝄞", 4)])
def test_size_is_counted_in_bytes_of_utf_8(text: str, size: int) -> None:
    assert Payload(text).size == size
    assert Payload.json(text).size == size + 2


def test_binary_size_is_its_length() -> None:
    assert Payload(b"abc").size == 3


def test_json_is_compact_and_not_escaped() -> None:
    assert Payload.of({"a": [1, 2.5], "ü": None}).data == '{"a":[1,2.5],"ü":null}'


def test_json_encodes_a_str_that_of_would_send_as_it_is() -> None:
    assert Payload.json("a").data == '"a"'
    assert Payload.of("a").data == "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Model(at=MOMENT), '{"at":"2030-01-02T03:04:05.000678Z","number":1.0}'),
        ([Model(at=MOMENT)], '[{"at":"2030-01-02T03:04:05.000678Z","number":1.0}]'),
        ({"at": MOMENT}, '{"at":"2030-01-02T03:04:05.000678Z"}'),
        ([date(2030, 1, 2)], '["2030-01-02"]'),
        (Point(1, MOMENT), '{"x":1,"at":"2030-01-02T03:04:05.000678Z"}'),
        ([UUID(int=1)], '["00000000-0000-0000-0000-000000000001"]'),
        ([Colour.RED], '["red"]'),
        ([Decimal("1.10")], '["1.10"]'),
        ([{1}], "[[1]]"),
        ((1, 2), "[1,2]"),
        ([Text("x")], '["x"]'),
        ({1: "a"}, '{"1":"a"}'),
        ([math.nan, math.inf, -math.inf], "[null,null,null]"),
        ({"p": Point(1, MOMENT), "n": [math.nan]}, '{"p":{"x":1,"at":"2030-01-02T03:04:05.000678Z"},"n":[null]}'),
        ([2**63, 2**200], f"[{2**63},{2**200}]"),
        ([-(2**64)], f"[{-(2**64)}]"),
    ],
)
def test_what_pydantic_takes_is_taken(value: object, text: str) -> None:
    assert encode_json(value).decode() == text


def test_a_models_nan_is_null_too() -> None:
    assert encode_json(Model(at=MOMENT, number=math.nan)) == b'{"at":"2030-01-02T03:04:05.000678Z","number":null}'


@pytest.mark.parametrize("message", [object(), {"a": object()}, [lambda: None], {"a": "\ud800"}, ["\udfff"]])
def test_what_is_not_json_able_is_refused(message: object) -> None:
    with pytest.raises(UnencodableMessage) as caught:
        Payload.of(message)
    assert caught.value.message_type is type(message)


def test_lone_surrogates_are_refused_in_text_too() -> None:
    for make in (Payload, Payload.of, Payload.json):
        with pytest.raises(UnencodableMessage):
            make("a\ud800")


def test_lone_surrogates_in_a_model_are_refused() -> None:
    class Free(BaseModel):
        text: Any

    with pytest.raises(UnencodableMessage, match="Free"):
        Payload.of(Free(text="\ud800"))


def test_a_circle_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(UnencodableMessage):
        Payload.of(circle)


def test_what_nests_too_deeply_is_refused_or_encoded_but_breaks_nothing() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnencodableMessage):
        Payload.of(deep)


def test_orjson_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(payload_module, "import_module", missing)
    assert payload_module._load_orjson() == (None, 0)


@pytest.mark.parametrize(
    ("message", "frame"),
    [("", OnWire(TEXT, b"")), ("ü", OnWire(TEXT, "ü".encode())), (b"\xff", OnWire(BINARY, b"\xff"))],
)
@pytest.mark.parametrize("window_bits", [0, 9, 15])
def test_its_frame_holds_text_as_text_and_binary_as_binary(
    message: str | bytes, frame: OnWire, window_bits: int
) -> None:
    assert split_frames(Payload(message).frame(window_bits)) == [frame]


def test_jsons_frame_is_its_text() -> None:
    assert split_frames(Payload.of({"a": "ü"}).frame(0)) == [OnWire(TEXT, '{"a":"ü"}'.encode())]


@pytest.mark.parametrize("window_bits", [0, 8, 9, 15])
def test_its_frame_is_built_once(window_bits: int) -> None:
    payload = Payload("x" * 5000)
    assert payload.frame(window_bits) is payload.frame(window_bits)


def test_all_windows_share_a_small_messages_frame() -> None:
    payload = Payload("x" * 255)
    assert len({id(payload.frame(window_bits)) for window_bits in (0, 8, 9, 12, 15)}) == 1


def test_windows_that_a_message_does_not_fill_share_its_compressed_frame() -> None:
    payload = Payload("x" * 300)
    assert payload.frame(9) is payload.frame(12) is payload.frame(15)
    assert payload.frame(0) is not payload.frame(9)


@pytest.mark.parametrize("message", ["x" * 5000, b"x" * 5000])
def test_each_window_that_matters_has_a_frame_of_its_own(message: str | bytes) -> None:
    payload = Payload(message)
    frames = {window_bits: split_frames(payload.frame(window_bits))[0] for window_bits in (0, 9, 12)}
    assert [frame.compressed for frame in frames.values()] == [False, True, True]
    for window_bits in (9, 12):
        assert inflate(frames[window_bits].data, window_bits) == b"x" * 5000
    assert payload.frame(12) is payload.frame(15) is not payload.frame(9)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('{"ü":1}', 'data: {"ü":1}\n\n'),
        ("", "data: \n\n"),
        (" a: b", "data:  a: b\n\n"),
        ("a\nb\r\nc\rd\n", "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        ("a\u2028b\x0bc\x85", "data: a\u2028b\x0bc\x85\n\n"),
    ],
)
def test_as_an_event_of_a_stream_each_line_is_a_line_of_data(text: str, event: str) -> None:
    assert Payload(text).sse().decode() == event


def test_an_event_of_a_stream_has_the_id_that_the_payload_has() -> None:
    payload = Payload("a", event_id="17.Xk")
    assert (payload.event_id, payload.sse()) == ("17.Xk", b"id: 17.Xk\ndata: a\n\n")
    assert Payload("a").event_id is None


def test_its_event_of_a_stream_is_built_once_and_is_no_frame() -> None:
    payload = Payload("a")
    assert payload.sse() is payload.sse()
    assert payload.frame(0) == Payload("a").frame(0)


def test_what_is_binary_is_no_event_of_a_stream() -> None:
    with pytest.raises(UnencodableMessage, match="an event stream carries text"):
        Payload(b"a").sse()
