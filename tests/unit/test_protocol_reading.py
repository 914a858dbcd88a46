"""Whatever a client sends is read as frames, as flaws, or as a bad message; never as another exception."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastapi_rooms.errors import RoomsError
from fastapi_rooms.protocol.client_frames import (
    CLIENT_FRAMES,
    MOST_ID,
    ClientFrame,
    ClientPing,
    ClientPong,
    Connect,
    Join,
    Leave,
    Publish,
    Refresh,
    Send,
    Tell,
)
from fastapi_rooms.protocol.reading import MOST_FRAMES, BadMessage, Flaw
from fastapi_rooms.protocol.reading import read as read_all
from fastapi_rooms.protocol.reading import read_one as read_quickly


def values(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        max_leaves=8,
    )


JSON = values(st.floats(allow_nan=False, allow_infinity=False))
PYTHONS_JSON = values(st.floats())
"""With NaN and infinity, which JSON does not have, and `json.dumps` writes."""

FIELDS = ("type", "id", "room", "since", "token", "command", "event", "data", "metadata")
TYPES = st.sampled_from([*CLIENT_FRAMES, "Join", "reply", ""])
IDS = st.integers(-2, 3) | st.integers(MOST_ID - 1, MOST_ID + 1) | st.integers() | st.booleans() | st.floats()
LIKELY = st.fixed_dictionaries(
    {"type": TYPES},
    optional={field: IDS if field == "id" else st.text(max_size=120) | PYTHONS_JSON for field in FIELDS[1:]},
)
FRAMES: dict[str, dict[str, Any]] = {
    "connect": {"type": "connect", "id": 1},
    "join": {"type": "join", "id": 1, "room": "a"},
    "leave": {"type": "leave", "id": 1, "room": "a"},
    "send": {"type": "send", "command": "say"},
    "publish": {"type": "publish", "room": "a", "event": "said"},
    "presence": {"type": "presence", "room": "a", "metadata": {}},
    "refresh": {"type": "refresh", "token": "t"},
    "ping": {"type": "ping"},
    "pong": {"type": "pong"},
}
"""The least that each must hold."""

ANSWERED = ("connect", "join", "leave")
"""Frames that must have an id."""


def read(message: str) -> list[ClientFrame | Flaw]:
    """Both ways, which must not differ: `repr` tells 1, 1.0 and true apart."""
    quickly = read_quickly(message)
    try:
        found = read_all(message)
    except BadMessage:
        assert quickly is None
        raise
    assert quickly is None or repr([quickly]) == repr(found)
    return found


def read_one(frame: Any) -> ClientFrame | Flaw:
    (found,) = read(json.dumps(frame))
    return found


def flaw_of(frame: Any) -> Flaw:
    found = read_one(frame)
    assert isinstance(found, Flaw), found
    return found


def object_of(pairs: list[tuple[str, Any]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}"


def answer_to(message: str) -> str:
    """What it means, with what `==` does not tell apart: 1, 1.0 and true."""
    try:
        return repr(read(message))
    except BadMessage as error:
        return str(error)


def check(message: str) -> None:
    try:
        found = read(message)
    except BadMessage:
        return
    assert 1 <= len(found) <= MOST_FRAMES
    for frame in found:
        if isinstance(frame, Flaw):
            assert frame.code in {"invalid", "unknown_type"}
            assert frame.detail
            frame.detail.encode()
            frame.field.encode()
        else:
            assert type(frame) in CLIENT_FRAMES.values()


@given(st.text() | st.text(alphabet='{}[]",:\\ue-+.0123456789 \n', max_size=60))
@example("")
@example("\ud800")
@example('"\ud800"')
@example('{"type":"ping","x":"\\ud800"}')
@example("\ufeff{}")
@example("NaN")
@example('{"type":"ping","id":NaN}')
@example("1" * 5000)
@example("[" * 100_000)
@example('{"type":' * 100_000)
@example('[{"type":"ping"}' + ',{"type":"ping"}' * 100_000 + "]")
def test_any_text_has_an_answer(text: str) -> None:
    check(text)


@given(PYTHONS_JSON)
def test_any_json_value_has_an_answer(value: Any) -> None:
    check(json.dumps(value))


@given(LIKELY | st.lists(LIKELY, max_size=4))
def test_whatever_has_a_type_has_an_answer(value: Any) -> None:
    check(json.dumps(value))


PAIRS = st.lists(
    st.tuples(st.sampled_from(FIELDS), IDS | st.sampled_from([*CLIENT_FRAMES, "a"]) | PYTHONS_JSON), max_size=6
)
"""The fields of an object, some of them more than once."""


@given(LIKELY.map(json.dumps) | PAIRS.map(object_of))
@example('{"type":"ping","x":"\\ud800"}')
@example('{"type":"publish","room":"a","event":"said","data":NaN}')
@example('{"type":"publish","room":"a","event":"said","data":-Infinity}')
@example('{"type":"publish","room":"a","event":"said","data":"\ud800"}')
@example('{"type":"publish","room":"a","event":"said","data":[1e999,-0.0,10000000000000000000000]}')
@example('{"type":"join","id":1.0,"room":"a"}')
def test_a_frame_alone_means_what_it_means_among_others(text: str) -> None:
    assert answer_to(text) == answer_to(f"[{text}]")


@given(st.binary(max_size=60))
def test_any_bytes_that_are_text_have_an_answer(data: bytes) -> None:
    check(data.decode("utf-8", errors="surrogateescape"))


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "this is not JSON"),
        ("{", "this is not JSON"),
        ("[NaN]", "this is not JSON"),
        ("{'type': 'ping'}", "this is not JSON"),
        ('{"type":"ping"} {"type":"ping"}', "this is not JSON"),
        ('{"type":"ping","x":"\\udfff"', "this is not JSON"),
        ('{"type":"ping","x":"\\udfff","y":NaN}', "this is not JSON"),
        ("[" * 500 + "]" * 500, "this is not JSON"),
        ("null", "a frame is an object with a type"),
        ("7", "a frame is an object with a type"),
        ('"ping"', "a frame is an object with a type"),
        ("{}", "a frame is an object with a type"),
        ('{"type":null}', "a frame is an object with a type"),
        ('{"type":["ping"]}', "a frame is an object with a type"),
        ('[{"type":"ping"},{}]', "a frame is an object with a type"),
        ('[[{"type":"ping"}]]', "a frame is an object with a type"),
        ("[]", "a message has 1 to 64 frames"),
    ],
)
def test_what_is_no_message_is_bad(text: str, detail: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read(text)
    assert str(caught.value) == detail
    assert isinstance(caught.value, RoomsError)


@pytest.mark.parametrize("count", [1, 2, MOST_FRAMES])
def test_a_message_may_have_up_to_64_frames_in_order(count: int) -> None:
    frames = [{"type": "join", "id": number, "room": str(number)} for number in range(count)]
    assert read(json.dumps(frames)) == [Join(id=number, room=str(number)) for number in range(count)]


@pytest.mark.parametrize("count", [0, MOST_FRAMES + 1, 10_000])
def test_a_message_of_no_frame_or_more_than_64_is_bad(count: int) -> None:
    with pytest.raises(BadMessage, match="1 to 64"):
        read(json.dumps([{"type": "ping"}] * count))


def test_one_frame_in_an_array_is_as_good_as_one() -> None:
    assert read('[{"type":"ping"}]') == read('{"type":"ping"}') == [ClientPing()]


def test_a_flaw_among_frames_touches_no_other() -> None:
    found = read(
        '[{"type":"join","id":1,"room":"a"},{"type":"join","id":2},{"type":"what","id":3},{"type":"pong"}]'
    )
    assert found == [
        Join(id=1, room="a"),
        Flaw(code="invalid", detail="Field required", field="room", id=2),
        Flaw(code="unknown_type", detail="there is no frame 'what'", id=3),
        ClientPong(),
    ]


def test_each_frame_is_read_as_what_it_is() -> None:
    assert read_one({"type": "connect", "id": 0, "token": "t"}) == Connect(id=0, token="t")
    assert read_one({"type": "join", "id": 1, "room": "a", "since": "s"}) == Join(id=1, room="a", since="s")
    assert read_one({"type": "leave", "id": 2, "room": "a"}) == Leave(id=2, room="a")
    assert read_one({"type": "send", "id": 3, "room": "a", "command": "c", "data": [1]}) == Send(
        id=3, room="a", command="c", data=[1]
    )
    assert read_one({"type": "publish", "id": 4, "room": "a", "event": "e", "data": None}) == Publish(
        id=4, room="a", event="e", data=None
    )
    assert read_one({"type": "presence", "id": 5, "room": "a", "metadata": {"x": [{}]}}) == Tell(
        id=5, room="a", metadata={"x": [{}]}
    )
    assert read_one({"type": "refresh", "id": 6, "token": "t"}) == Refresh(id=6, token="t")


@pytest.mark.parametrize("name", FRAMES)
def test_what_may_be_left_out_may(name: str) -> None:
    assert type(read_one(FRAMES[name])) is CLIENT_FRAMES[name]


@pytest.mark.parametrize("name", FRAMES)
def test_what_is_one_frame_and_right_is_read_the_quick_way(name: str) -> None:
    assert read_quickly(json.dumps(FRAMES[name])) is not None


def test_every_frame_has_an_example_here() -> None:
    assert FRAMES.keys() == CLIENT_FRAMES.keys()


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, frame in FRAMES.items() for field in frame if field != "type"]
)
def test_what_must_be_there_is_named_where_it_is_missing(name: str, field: str) -> None:
    flaw = flaw_of({key: value for key, value in FRAMES[name].items() if key != field} | _own_id(field))
    assert (flaw.code, flaw.field, flaw.detail) == ("invalid", field, "Field required")
    assert flaw.id == (None if field == "id" else 7)


def _own_id(field: str) -> dict[str, int]:
    return {} if field == "id" else {"id": 7}


@given(st.sampled_from(sorted(FRAMES)), st.dictionaries(st.text(max_size=8), JSON, max_size=3))
def test_fields_that_nobody_knows_are_ignored(name: str, more: dict[str, Any]) -> None:
    unknown = {key: value for key, value in more.items() if key not in FIELDS}
    assert read_one(unknown | FRAMES[name]) == read_one(FRAMES[name])


@pytest.mark.parametrize("number", [0, 1, MOST_ID - 1, MOST_ID])
def test_an_id_is_an_integer_that_every_client_has_exactly(number: int) -> None:
    assert MOST_ID == 2**53 - 1
    assert read_one({"type": "leave", "id": number, "room": "a"}) == Leave(id=number, room="a")


@pytest.mark.parametrize("text", ["-1", str(MOST_ID + 1), "9" * 400, "1.0", "1e3", "1e400", '"1"', "[1]", "{}"])
@pytest.mark.parametrize("name", [name for name in FRAMES if name not in ("ping", "pong")])
def test_what_is_no_id_is_a_flaw_of_the_id(name: str, text: str) -> None:
    body = json.dumps({key: value for key, value in FRAMES[name].items() if key != "id"})
    (flaw,) = read(f'{body[:-1]},"id":{text}}}')
    assert isinstance(flaw, Flaw)
    assert (flaw.code, flaw.field, flaw.id) == ("invalid", "id", None)


@pytest.mark.parametrize("value", [True, False])
def test_true_is_not_the_id_1(value: bool) -> None:
    assert flaw_of({"type": "leave", "id": value, "room": "a"}).id is None
    assert flaw_of({"type": "what", "id": value}).id is None


@pytest.mark.parametrize("name", [name for name in FRAMES if name not in ("ping", "pong")])
def test_null_is_no_id_and_so_is_none(name: str) -> None:
    found = read_one(FRAMES[name] | {"id": None})
    if name in ANSWERED:
        assert isinstance(found, Flaw)
        assert (found.field, found.id) == ("id", None)
    else:
        assert found == read_one(FRAMES[name])


@pytest.mark.parametrize("field", ["room", "token", "since", "command", "event"])
@pytest.mark.parametrize("value", [1, True, ["a"], {"a": 1}])
def test_text_is_text_and_nothing_that_could_be_made_one(field: str, value: Any) -> None:
    name = {"room": "join", "token": "refresh", "since": "join", "command": "send", "event": "publish"}[field]
    flaw = flaw_of(FRAMES[name] | {"id": 1, field: value})
    assert (flaw.code, flaw.field, flaw.id) == ("invalid", field, 1)


@pytest.mark.parametrize(("name", "field"), [("send", "command"), ("publish", "event")])
def test_a_name_has_1_to_100_characters(name: str, field: str) -> None:
    for length in (1, 100):
        assert not isinstance(read_one(FRAMES[name] | {field: "ü" * length}), Flaw)
    for length in (0, 101):
        assert flaw_of(FRAMES[name] | {field: "ü" * length}).field == field


@pytest.mark.parametrize("metadata", [None, 1, "a", [], [["a", 1]]])
def test_metadata_is_an_object(metadata: Any) -> None:
    assert flaw_of(FRAMES["presence"] | {"metadata": metadata}).field == "metadata"


@given(JSON)
def test_data_is_any_json_value_and_comes_as_it_was_sent(value: Any) -> None:
    found = read_one(FRAMES["send"] | {"data": value})
    assert isinstance(found, Send)
    assert json.dumps(found.data) == json.dumps(value)


@pytest.mark.parametrize("depth", [1, 100, 190])
def test_data_may_nest(depth: int) -> None:
    (found,) = read('{"type":"send","command":"c","data":' + "[" * depth + "]" * depth + "}")
    assert isinstance(found, Send)


def test_the_name_of_an_unknown_type_is_cut_short_before_it_is_told() -> None:
    flaw = flaw_of({"type": "x" * 10_000, "id": 1})
    assert (flaw.code, flaw.detail) == ("unknown_type", f"there is no frame {'x' * 40!r}")


def test_no_value_of_the_client_is_in_what_it_is_told() -> None:
    flaw = flaw_of({"type": "refresh", "id": 1, "token": {"secret": "hunter2"}})
    assert "hunter2" not in f"{flaw}"


def test_frames_cannot_be_changed_once_read() -> None:
    found = read_one(FRAMES["join"])
    with pytest.raises(ValueError, match="frozen"):
        found.room = "b"  # type: ignore[union-attr]


def test_half_of_a_character_is_a_flaw_of_its_frame_alone() -> None:
    half = '{"type":"send","id":7,"command":"say","data":"\\ud83d"}'
    flaw, ping = read(f'[{half},{{"type":"ping"}}]')
    assert isinstance(flaw, Flaw)
    assert (flaw.code, flaw.id) == ("invalid", 7)
    assert ping == ClientPing()
    assert read_one({"type": "send", "command": "say", "data": "\\ud83d"}) == Send(command="say", data="\\ud83d")
