from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.tally import bytes_in, messages_in, tally

COUNTS = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=20)


@given(COUNTS)
def test_tallies_add_up_to_their_messages_and_bytes(counts: list[tuple[int, int]]) -> None:
    total = sum(tally(messages, size) for messages, size in counts)
    assert (messages_in(total), bytes_in(total)) == (sum(one for one, _ in counts), sum(one for _, one in counts))


def test_nothing_is_zero() -> None:
    assert (tally(0, 0), messages_in(0), bytes_in(0)) == (0, 0, 0)
