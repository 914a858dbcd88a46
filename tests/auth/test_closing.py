from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.closing import MAX_REASON_BYTES, cut_reason


def test_a_reason_that_fits_stays_as_it_is() -> None:
    assert cut_reason("é" * 61) == "é" * 61


def test_a_long_reason_is_cut_at_a_character_boundary() -> None:
    assert cut_reason("é" * 100) == "é" * 61  # 62 of them would be 124 bytes


@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_text_becomes_a_reason_that_a_close_frame_holds(text: str) -> None:
    cut = cut_reason(text)
    assert len(cut.encode()) <= MAX_REASON_BYTES
    assert text.encode("utf-8", "replace").startswith(cut.encode())
