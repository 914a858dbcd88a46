import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.closing import MAX_REASON_BYTES, check_close_code, cut_reason, may_be_sent
from fastapi_rooms.errors import CloseCode, ConfigurationError


@given(st.text(st.characters(), max_size=200))
def test_a_reason_always_fits_into_a_close_frame(text: str) -> None:
    cut = cut_reason(text)
    assert len(cut.encode()) <= MAX_REASON_BYTES
    assert text.encode(errors="replace").decode().startswith(cut)


def test_a_reason_is_cut_at_a_character_boundary() -> None:
    assert cut_reason("x" + "ü" * 100) == "x" + "ü" * 61
    assert cut_reason("ü" * 100) == "ü" * 61
    assert cut_reason("x" * 123) == "x" * 123


def test_lone_surrogates_become_question_marks() -> None:
    assert cut_reason("a\ud800b") == "a?b"


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4000, 4999, CloseCode.SLOW_CONSUMER])
def test_codes_that_may_be_sent_pass(code: int) -> None:
    check_close_code(code)
    assert may_be_sent(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_be_sent_are_refused(code: int) -> None:
    with pytest.raises(ConfigurationError, match=f"close code {code} may not be sent"):
        check_close_code(code)
    assert not may_be_sent(code)


def test_every_code_of_ours_may_be_sent() -> None:
    for code in CloseCode:
        check_close_code(code)
