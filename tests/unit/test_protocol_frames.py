"""What the server says, as it is on the wire: what is there, and what is left out."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.protocol.server_frames import (
    PING,
    PONG,
    SERVER_FRAMES,
    CloseFrame,
    Connected,
    DroppedFrame,
    ErrorFrame,
    GoingAway,
    JoinedFrame,
    LeftFrame,
    MessageFrame,
    Ping,
    Pong,
    PresenceDiffFrame,
    PresenceFrame,
    PresentFrame,
    ReplyFrame,
    ServerFrame,
    SessionFrame,
    reply,
)

ANN = PresentFrame(id="c1", metadata={"typing": False, "none": None})
ANN_TOLD = '{"id":"c1","metadata":{"typing":false,"none":null}}'

FRAMES: list[tuple[ServerFrame, str]] = [
    (
        Connected(connection="c1", user=None, heartbeat=None),
        '{"type":"connected","protocol":"rooms.v1","connection":"c1","user":null,"heartbeat":null}',
    ),
    (
        Connected(id=0, connection="c1", user="ann", heartbeat=35.0),
        '{"type":"connected","id":0,"protocol":"rooms.v1","connection":"c1","user":"ann","heartbeat":35.0}',
    ),
    (JoinedFrame(room="a"), '{"type":"joined","room":"a","presence":false}'),
    (
        JoinedFrame(id=2, room="a", position="1.x.y", recovered=True, presence=True),
        '{"type":"joined","id":2,"room":"a","position":"1.x.y","recovered":true,"presence":true}',
    ),
    (
        JoinedFrame(id=2, room="a", position="1.x.y", recovered=False, reason="expired"),
        '{"type":"joined","id":2,"room":"a","position":"1.x.y","recovered":false,"reason":"expired","presence":false}',
    ),
    (LeftFrame(room="a"), '{"type":"left","room":"a"}'),
    (LeftFrame(id=0, room="a"), '{"type":"left","id":0,"room":"a"}'),
    (MessageFrame(data=None), '{"data":null}'),
    (
        MessageFrame(room="a", event="e", data=[{"x": None}], position="1.x.y"),
        '{"room":"a","event":"e","data":[{"x":null}],"position":"1.x.y"}',
    ),
    (ReplyFrame(id=0, data=None), '{"type":"reply","id":0,"data":null}'),
    (ErrorFrame(id=1, code="x", detail=""), '{"type":"error","id":1,"code":"x","detail":""}'),
    (
        ErrorFrame(id=1, code="x", detail="d", field="f"),
        '{"type":"error","id":1,"code":"x","detail":"d","field":"f"}',
    ),
    (
        PresenceFrame(room="a", version=7, count=1, listed=True, users={"ann": [ANN]}),
        '{"type":"presence","room":"a","version":7,"count":1,"listed":true,"users":{"ann":[' + ANN_TOLD + "]}}",
    ),
    (
        PresenceDiffFrame(room="a", version=8, count=0, listed=False, joins={}, leaves={"ann": [ANN]}, updates={}),
        '{"type":"presence-diff","room":"a","version":8,"count":0,"listed":false,"joins":{},"leaves":{"ann":['
        + ANN_TOLD
        + ']},"updates":{}}',
    ),
    (DroppedFrame(messages=1, bytes=2), '{"type":"dropped","messages":1,"bytes":2}'),
    (GoingAway(delay=2.7), '{"type":"going-away","delay":2.7}'),
    (Ping(), '{"type":"ping"}'),
    (Pong(), '{"type":"pong"}'),
    (SessionFrame(session="s"), '{"type":"session","session":"s"}'),
    (CloseFrame(code=1012, reason=""), '{"type":"close","code":1012,"reason":""}'),
]


class Said(BaseModel):
    text: str = Field(alias="Text")
    at: datetime = datetime(2030, 1, 2, tzinfo=UTC)
    number: float = math.nan


def data_of(payload: Any) -> Any:
    text = payload.data
    assert isinstance(text, str)
    assert payload.size == len(text.encode())
    frame = json.loads(text)
    assert list(frame) == ["type", "id", "data"]
    assert frame["type"] == "reply"
    return frame["data"]


@pytest.mark.parametrize(("frame", "text"), FRAMES)
def test_a_frame_on_the_wire(frame: ServerFrame, text: str) -> None:
    payload = frame.payload()
    assert payload.data == text
    assert payload.size == len(text)
    assert type(frame).model_validate_json(text) == frame


def test_every_frame_is_tried_here() -> None:
    assert {type(frame) for frame, _ in FRAMES} == set(SERVER_FRAMES)


def test_types_are_unique_and_first() -> None:
    types = [kind.model_fields["type"].default for kind in SERVER_FRAMES]
    assert len(set(types)) == len(types)
    assert {next(iter(kind.model_fields)) for kind in SERVER_FRAMES} == {"type"}


@pytest.mark.parametrize("kind", SERVER_FRAMES)
def test_a_frame_of_a_later_server_with_more_in_it_is_still_that_frame(kind: type[ServerFrame]) -> None:
    frame = next(one for one, _ in FRAMES if type(one) is kind)
    assert kind.model_validate({**frame.model_dump(), "later": [1]}) == frame


def test_frames_are_frozen() -> None:
    with pytest.raises(ValidationError):
        LeftFrame(room="a").room = "b"


def test_ping_and_pong_are_made_once() -> None:
    assert (PING.data, PONG.data) == ('{"type":"ping"}', '{"type":"pong"}')


@pytest.mark.parametrize("frame_id", [0, 1, 2**53 - 1])
def test_a_reply_has_the_id_of_what_it_answers(frame_id: int) -> None:
    assert reply(frame_id, None).data == f'{{"type":"reply","id":{frame_id},"data":null}}'


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "null"),
        ("ü\n", '"ü\\n"'),
        (Said(Text="x"), '{"Text":"x","at":"2030-01-02T00:00:00Z","number":null}'),
        ([Said(Text="x", number=1.5)], '[{"Text":"x","at":"2030-01-02T00:00:00Z","number":1.5}]'),
        ([math.nan, math.inf, -math.inf], "[null,null,null]"),
        (2**64, str(2**64)),
        ([10**400], f"[{10**400}]"),
        ({"on": date(2030, 1, 2)}, '{"on":"2030-01-02"}'),
        ((1, {2}), "[1,[2]]"),
    ],
)
def test_a_reply_is_what_pydantic_makes_of_it(data: object, text: str) -> None:
    assert reply(3, data).data == f'{{"type":"reply","id":3,"data":{text}}}'


@pytest.mark.parametrize("data", [object(), {"a": object()}, "\ud800", b"\xff", lambda: None])
def test_what_is_not_json_able_is_no_reply(data: object) -> None:
    with pytest.raises(UnencodableMessage):
        reply(3, data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.integers(0, 2**53 - 1), _JSON)
def test_what_a_client_parses_is_what_the_handler_returned(frame_id: int, data: Any) -> None:
    payload = reply(frame_id, data)
    assert data_of(payload) == data
    assert ReplyFrame.model_validate_json(str(payload.data)).id == frame_id


@given(
    st.dictionaries(st.text(), st.lists(st.builds(PresentFrame, id=st.text(), metadata=st.just({})), max_size=2))
)
def test_users_of_any_name_are_told(users: Mapping[str, list[PresentFrame]]) -> None:
    frame = PresenceFrame(room="a", version=1, count=len(users), listed=True, users=users)
    assert json.loads(str(frame.payload().data))["users"].keys() == users.keys()
    assert TypeAdapter(PresenceFrame).validate_json(str(frame.payload().data)) == frame
