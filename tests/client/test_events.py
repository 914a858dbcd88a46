"""Server-Sent Events, in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.client.events import Events, EventTooLong

STREAM = (
    ': hello\n\nid: 3.x\ndata: {"a": 1}\n\ndata:one\r\ndata: two\r\n\r\n'
    "\rdata: café\r\revent: x\nretry: 3\n\ndata: cut"
)
TOLD = ['{"a": 1}', "one\ntwo", "café"]


def test_data_is_told_and_the_rest_let_be() -> None:
    assert Events().feed(STREAM.encode()) == TOLD


@given(cuts=st.lists(st.integers(0, len(STREAM.encode())), max_size=12))
def test_it_does_not_matter_where_the_pieces_end(cuts: list[int]) -> None:
    events, told, data = Events(), list[str](), STREAM.encode()
    ends = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(ends):
        told += events.feed(data[start:end])
    assert told == TOLD


@given(st.lists(st.binary(), max_size=8))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    events = Events()
    for piece in pieces:
        events.feed(piece)


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi_rooms.client.events._LONGEST", 100)
    events = Events()
    assert events.feed(b"data: " + b"x" * 90 + b"\n\n")
    with pytest.raises(EventTooLong):
        events.feed(b"data: " + b"x" * 100)
    with pytest.raises(EventTooLong):
        Events().feed(b"data: 123456789\n" * 10)
