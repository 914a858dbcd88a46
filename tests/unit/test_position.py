"""A position survives as text, and is of one room."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.position import Position

EPOCHS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)
ROOMS = st.text(max_size=20)
OFFSETS = st.integers(0, 2**63 - 1)
POSITIONS = st.builds(Position, ROOMS, EPOCHS, OFFSETS)


@given(POSITIONS)
def test_a_position_comes_back_as_it_was(position: Position) -> None:
    text = str(position)
    assert Position.parse(text, room=position.room) == position
    assert len(text) < 100
    assert set(text) <= set(string.ascii_letters + string.digits + "._-~")


@given(POSITIONS, ROOMS)
def test_a_position_of_another_room_is_none_of_this_one(position: Position, room: str) -> None:
    assert Position.parse(str(position), room=room) == (position if room == position.room else None)


@given(POSITIONS, st.data())
def test_a_damaged_position_is_none_or_another_one(position: Position, data: st.DataObject) -> None:
    text = str(position)
    cut = text[: data.draw(st.integers(0, text.rindex(".")))]
    assert Position.parse(cut, room=position.room) is None


@pytest.mark.parametrize(
    "text", ["", "1", "x.y.z", "-1.AAAAAAAA.e", "1" * 20 + ".AAAAAAAA.e", None, 5, b"1.a.b", "\u0661.AAAAAAAA.e"]
)
def test_what_is_no_position_is_none(text: object) -> None:
    assert Position.parse(text, room="lobby") is None
