import json
from contextlib import suppress
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from fastapi_rooms.errors import CloseCode, InvalidMessage
from fastapi_rooms.payload import Payload
from fastapi_rooms.validation import parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class Name(BaseModel):
    first: str


class Message(BaseModel):
    user: Name
    tags: list[int] = []


@given(JSON)
def test_plain_json_comes_out_as_it_went_in(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.text(max_size=30))
def test_whatever_a_client_sends_is_json_that_can_be_sent_again_or_an_invalid_message(text: str) -> None:
    with suppress(InvalidMessage):
        Payload.json(parse_json(text))


def test_a_model_is_validated() -> None:
    assert parse_json('{"user": {"first": "Ann"}}', Message) == Message(user=Name(first="Ann"))


def test_anything_a_type_adapter_takes_is_a_model() -> None:
    assert parse_json("[1, 2]", list[int]) == [1, 2]
    assert parse_json("3", int | str) == 3


def test_a_model_that_cannot_be_hashed_works_too() -> None:
    assert parse_json("3", Annotated[int, Field(json_schema_extra={"example": [1]}), {}]) == 3


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ('{"user": {"first": 1}}', "user.first"),
        ('{"user": {}}', "user.first"),
        ('{"user": {"first": ""}, "tags": [1, "x"]}', "tags.1"),
        ("[]", ""),
        ("{", ""),
    ],
)
def test_what_is_not_the_model_is_refused_with_the_field(message: str, field: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_json(message, Message)
    assert (caught.value.field, caught.value.code) == (field, CloseCode.INVALID_DATA)


@pytest.mark.parametrize(
    "message", ["", "{", "nope", "NaN", "Infinity", '"\\ud800"', '"\ud800"', "[" * 10_000, '{"a":1}x']
)
def test_what_is_not_json_is_refused(message: str) -> None:
    with pytest.raises(InvalidMessage, match="not JSON") as caught:
        parse_json(message)
    assert caught.value.code is CloseCode.INVALID_DATA


def test_a_megabyte_of_garbage_gets_a_short_answer() -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_json('"' + "x" * 1_000_000, Message)
    assert len(caught.value.detail) < 200


def test_binary_is_refused_with_a_code_of_its_own() -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_json(b"{}")
    assert caught.value.code is CloseCode.UNSUPPORTED_DATA


def test_an_integer_of_any_length_is_read() -> None:
    assert parse_json(str(2**200)) == 2**200
