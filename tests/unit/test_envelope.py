import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.envelope import ForeignMessage, Header, Kind, _remembered, body_of, payload_of, seal, unseal
from fastapi_rooms.payload import Payload

TEXT = st.text(st.characters(), max_size=20)
HEADERS = st.builds(
    Header,
    kind=st.sampled_from(Kind),
    process=TEXT,
    number=st.integers(0, 2**53),
    room=st.none() | TEXT,
    user=st.none() | TEXT,
    text=st.booleans(),
    exclude=st.lists(TEXT, max_size=3).map(tuple),
    exclude_users=st.lists(TEXT, max_size=3).map(tuple),
    key=st.none() | TEXT,
    code=st.none() | st.integers(1000, 4999),
    reason=TEXT,
    question=st.none() | st.integers(0, 2**53),
)


@given(HEADERS, st.binary(max_size=200))
def test_what_is_sealed_is_what_is_unsealed(header: Header, body: bytes) -> None:
    assert unseal(seal(header, body)) == (header, body)


@given(HEADERS)
def test_a_header_travels_as_one_line_of_json_that_leaves_out_what_is_usual(header: Header) -> None:
    usual = Header(kind=header.kind, process=header.process, number=header.number)
    told = {
        field.name: getattr(header, field.name)
        for field in fields(header)
        if field.name in ("process", "number") or getattr(header, field.name) != getattr(usual, field.name)
    }
    line = seal(header).removeprefix(b"fastapi-rooms/1 ")
    assert line.count(b"\n") == 1
    assert json.loads(line) == json.loads(json.dumps({"kind": header.kind.value, **told}))


@given(st.text() | st.just("lobby"), st.integers(-1, 10**30))
def test_the_usual_header_is_read_as_json_would_be(room: str, number: int) -> None:
    header = Header(kind=Kind.MESSAGE, process="p-_1", number=number, room=room)
    spaced = json.dumps({"kind": "message", "process": "p-_1", "number": number, "room": room}).encode()
    assert (
        unseal(seal(header, b"hello")) == unseal(b"fastapi-rooms/1 " + spaced + b"\nhello") == (header, b"hello")
    )


@pytest.mark.parametrize(
    "field", [b'"number":01,"room":"a"', b'"number":1,"room":"\xff"', b'"number":1,"room":"\t"']
)
def test_a_usual_header_that_is_no_json_is_foreign(field: bytes) -> None:
    with pytest.raises(ForeignMessage):
        unseal(b'fastapi-rooms/1 {"kind":"message","process":"p",' + field + b"}\n")


def test_no_name_that_a_client_made_long_is_remembered() -> None:
    before = _remembered.cache_info().currsize
    seal(Header(kind=Kind.MESSAGE, process="p", number=1, room="x" * 256))
    assert _remembered.cache_info().currsize <= before + 2  # kind and process


@given(st.binary(max_size=200))
def test_any_other_bytes_are_foreign(data: bytes) -> None:
    with pytest.raises(ForeignMessage):
        unseal(data)


@given(HEADERS, st.binary(max_size=20), st.data())
def test_a_damaged_envelope_is_foreign_or_an_envelope(header: Header, body: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(header, body))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] = data.draw(st.integers(0, 255))
    try:
        unseal(bytes(sealed))
    except ForeignMessage:
        return


NONSENSE = [
    *(b"", b"x", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b"\\u" + b"[" * 100_000),
    *(b'{"kind":"message"}', b'{"kind":"new","process":"p","number":1}', b'{"kind":1,"process":"p","number":1}'),
    b'{"kind":"message","process":"p","number":"1"}',
    b'{"kind":"message","process":"p","number":true}',
    b'{"kind":"message","process":"p","number":1,"room":5}',
    b'{"kind":"message","process":"p","number":1,"exclude":"ab"}',
    b'{"kind":"message","process":"p","number":1,"exclude_users":["ab",1]}',
]


@pytest.mark.parametrize("line", NONSENSE, ids=lambda line: repr(line[:40]))
def test_a_header_that_makes_no_sense_is_foreign(line: bytes) -> None:
    with pytest.raises(ForeignMessage, match="not a message of fastapi-rooms"):
        unseal(b"fastapi-rooms/1 " + line + b"\n")


def test_a_header_without_an_end_is_foreign() -> None:
    with pytest.raises(ForeignMessage):
        unseal(seal(Header(kind=Kind.BYE, process="p", number=1)).rstrip(b"\n"))


def test_a_peer_of_another_version_is_named() -> None:
    with pytest.raises(ForeignMessage, match="version 2 of our messages") as error:
        unseal(b'fastapi-rooms/2 {"kind":"message","process":"p","number":1}\nhello')
    assert error.value.version == "2"


def test_fields_of_later_versions_are_ignored() -> None:
    line = json.dumps({"kind": "message", "process": "p", "number": 1, "offset": 7}).encode()
    header, body = unseal(b"fastapi-rooms/1 " + line + b"\nhello")
    assert (header, body) == (Header(kind=Kind.MESSAGE, process="p", number=1), b"hello")


@given(st.text(max_size=50) | st.binary(max_size=50))
def test_a_message_arrives_as_it_was_sent(message: str | bytes) -> None:
    sent = Payload(message)
    header = Header(kind=Kind.MESSAGE, process="p", number=1, text=isinstance(message, str))
    received = payload_of(header, body_of(sent))
    assert (received.data, received.size, received.tally) == (sent.data, sent.size, sent.tally)


def test_text_that_is_none_is_foreign() -> None:
    with pytest.raises(ForeignMessage):
        payload_of(Header(kind=Kind.MESSAGE, process="p", number=1), b"\xff")


@pytest.mark.parametrize("name", ["key", "reason"])
def test_what_is_no_text_is_refused_before_it_travels(name: str) -> None:
    options: dict[str, Any] = {name: 5}
    header = Header(kind=Kind.MESSAGE, process="p", number=1, **options)
    with pytest.raises(TypeError, match=f"{name}=5 must be a str"):
        seal(header)
