"""What travels between processes about who is present, and what of metadata can."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.envelope import ForeignMessage
from fastapi_rooms.errors import MetadataTooLarge, UnencodableMessage
from fastapi_rooms.presence_wire import Change, is_sayable, plain, read, write

texts = st.text(st.characters(codec="utf-8"), max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, json_values, max_size=3)
clocks = st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)).map(lambda pair: (min(pair), max(pair)))
changes = st.builds(
    lambda clock, *rest: Change(*clock, *rest),
    clocks,
    st.lists(st.tuples(texts, texts, objects, st.none() | st.floats(0, 1e9)), max_size=3),
    st.lists(st.tuples(texts, st.none() | texts), max_size=3),
    st.integers(0, 100),
    st.booleans(),
    st.none() | st.dictionaries(texts, st.integers(0, 2**60), max_size=3),
)


def nested(depth: int) -> Mapping[str, object]:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return {"deep": value}


@given(changes)
def test_what_is_read_is_what_was_written(change: Change) -> None:
    assert read(write(change)) == change


@given(st.binary(max_size=50) | json_values.map(lambda value: repr(value).encode()))
def test_whatever_comes_is_read_or_foreign(body: bytes) -> None:
    with suppress(ForeignMessage):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"after":2,"clock":1}',
        b'{"after":-1,"clock":1}',
        b'{"after":"a","clock":1}',
        b'{"after":1,"clock":2,"put":[["1","ann",[],null]]}',
        b'{"after":1,"clock":2,"put":[["1","ann",{}]]}',
        b'{"after":1,"clock":2,"put":[["1","ann",{},NaN]]}',
        b'{"after":1,"clock":2,"put":[["1","ann",{},Infinity]]}',
        b'{"after":1,"clock":2,"put":[["1","ann",{},-1]]}',
        b'{"after":1,"clock":2,"drop":["1"]}',
        b'{"after":1,"clock":2,"known":[]}',
    ],
)
def test_what_is_none_of_ours_is_foreign(body: bytes) -> None:
    with pytest.raises(ForeignMessage):
        read(body)


@pytest.mark.parametrize(("after", "clock"), [(0, 0), (0, 1), (1, 1), (1, 2)])
def test_a_change_may_follow_nothing_or_change_nothing(after: int, clock: int) -> None:
    assert read(write(Change(after, clock))) == Change(after, clock, [], [])


@given(objects)
def test_metadata_is_copied_as_it_is(metadata: dict[str, Any]) -> None:
    copy = plain(metadata, most=10**6)
    assert copy == metadata
    assert copy is not metadata
    assert read(write(Change(0, 1, [("1", "ann", copy, None)]))).put[0][2] == metadata


def test_metadata_that_changes_later_has_been_told_as_it_was() -> None:
    moods = ["good"]
    told = plain({"moods": moods}, most=100)
    moods.append("bad")
    assert told == {"moods": ["good"]}


def test_numbers_that_json_does_not_have_are_null_as_in_messages() -> None:
    assert plain({"a": math.nan, "b": math.inf}, most=100) == {"a": None, "b": None}


def test_metadata_has_as_many_bytes_as_it_may_and_no_more() -> None:
    metadata = {"name": "\N{LATIN SMALL LETTER E WITH ACUTE}"}
    size = len(b'{"name":"--"}')
    assert plain(metadata, most=size) == metadata
    with pytest.raises(MetadataTooLarge) as caught:
        plain(metadata, most=size - 1)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": b"\xff"}, {"a": "\ud800"}, {"\ud800": 1}])
def test_metadata_that_is_no_json_is_refused(metadata: Mapping[str, object]) -> None:
    with pytest.raises(UnencodableMessage):
        plain(metadata, most=100)


@pytest.mark.parametrize("metadata", [[], "text", 1, None, True])
def test_metadata_that_is_no_object_is_refused(metadata: Any) -> None:
    with pytest.raises(UnencodableMessage, match="JSON object"):
        plain(metadata, most=100)


@pytest.mark.parametrize("depth", [10, 190, 196, 197, 198, 199, 200, 210, 300])
def test_metadata_is_refused_where_it_is_too_deep_for_others_to_read(depth: int) -> None:
    """Else one client's nested list would hide everybody at its process from all others."""
    try:
        told = plain(nested(depth), most=10**6)
    except UnencodableMessage:
        assert depth > 190
    else:
        assert depth < 210
        assert read(write(Change(0, 1, [("1", "ann", told, None)]))).put[0][2] == told


def test_a_user_can_be_named_if_the_name_is_unicode() -> None:
    assert is_sayable("zo\N{LATIN SMALL LETTER E WITH DIAERESIS}")
    assert is_sayable("")
    assert not is_sayable("\ud800")
