"""Whether a client comes back, when, and which way."""

from itertools import count

import pytest

from fastapi_rooms.client.returning import End, Reached, Returning, comes_back
from fastapi_rooms.errors import CloseCode

LOST, REFUSED = End(), Reached.REFUSED


def returning(transport: str = "websocket", *, one_token: bool = False) -> Returning:
    return Returning(transport, least=0.5, most=20.0, random=lambda: 1.0, one_token=one_token)


@pytest.mark.parametrize(
    ("code", "back"),
    [
        (1000, False),
        (1001, True),
        (1002, False),
        (1005, True),
        (1006, True),
        (1008, False),
        (1009, False),
        (1011, True),
        (1012, True),
        (1013, True),
        (1015, True),
        (3000, False),
        (4000, True),
        (4001, True),
        (4499, True),
        (4500, False),
        (4999, False),
    ],
)
def test_the_close_code_says_whether_to_come_back(code: int, back: bool) -> None:
    assert comes_back(code) is back
    assert (returning().ended(End(code), Reached.CONNECTED, now=0.0) is not None) is back


def test_our_own_codes_are_taken_as_they_advise() -> None:
    assert {code for code in CloseCode if comes_back(code)} == {code for code in CloseCode if code.reconnect}


def test_the_longest_time_doubles_up_to_the_most() -> None:
    one = returning()
    assert [one.ended(LOST, Reached.NOTHING, now=0.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_the_time_is_random_and_may_be_none() -> None:
    numbers = iter([0.0, 0.25, 1.0])
    one = Returning("websocket", least=0.5, most=20.0, random=lambda: next(numbers))
    assert [one.ended(LOST, Reached.NOTHING, now=0.0) for _ in range(3)] == [0.0, 0.25, 2.0]


def test_a_connection_that_worked_for_a_while_ends_the_doubling_and_a_short_one_does_not() -> None:
    one = returning()
    for _ in range(3):
        one.ended(LOST, Reached.NOTHING, now=0.0)
    one.connected(100.0)
    assert one.ended(LOST, Reached.CONNECTED, now=104.0) == 4.0
    one.connected(200.0)
    assert one.ended(LOST, Reached.CONNECTED, now=206.0) == 0.5


def test_what_the_hub_asks_for_goes_before_and_counts_once() -> None:
    one = returning()
    one.told_to_wait(2.7)
    assert one.ended(End(1012), Reached.CONNECTED, now=0.0) == 2.7
    assert one.ended(LOST, Reached.CONNECTED, now=0.0) == 0.5


def test_the_server_may_ask_for_a_longer_time() -> None:
    assert returning().ended(End(least=30.0), Reached.REFUSED, now=0.0) == 30.0


def test_one_token_that_has_expired_is_not_shown_again() -> None:
    assert returning().ended(End(4001), Reached.OPEN, now=0.0) is not None
    assert returning(one_token=True).ended(End(4001), Reached.OPEN, now=0.0) is None


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_one_way_alone_stays_the_way(transport: str) -> None:
    one = returning(transport)
    for _, reached in zip(range(8), [*Reached, *Reached], strict=True):
        one.ended(LOST, reached, now=0.0)
        assert one.streams is (transport == "sse")


@pytest.mark.parametrize("reached", [Reached.REFUSED, Reached.OPEN])
def test_after_two_websockets_that_do_not_open_a_stream_is_tried_at_once(reached: Reached) -> None:
    one = returning("auto")
    assert one.ended(LOST, reached, now=0.0) == 0.5
    assert not one.streams
    assert one.ended(LOST, reached, now=0.0) == 0.0
    assert one.streams


@pytest.mark.parametrize("code", [1000, 1001, 1005])
def test_what_ends_an_open_way_as_no_hub_would_counts_as_one_that_does_not_open(code: int) -> None:
    one = returning("auto")
    assert one.ended(End(code), Reached.OPEN, now=0.0) == 0.5
    assert one.ended(End(code), Reached.OPEN, now=0.0) == 0.0
    assert one.streams


def test_a_hub_that_ends_a_stream_before_it_connects_is_left() -> None:
    for one in (returning("sse"), returning("auto")):
        while not one.streams:
            one.ended(End(1000), Reached.OPEN, now=0.0)
        assert one.ended(End(1000), Reached.OPEN, now=0.0) is None


def test_a_hub_that_ends_a_connection_in_peace_is_left() -> None:
    one = returning("auto")
    one.connected(0.0)
    assert one.ended(End(1000), Reached.CONNECTED, now=0.0) is None


def test_a_server_that_is_away_says_nothing_of_the_way() -> None:
    one = returning("auto")
    for _ in range(5):
        one.ended(LOST, Reached.NOTHING, now=0.0)
        assert not one.streams


def test_a_close_code_says_nothing_of_the_way() -> None:
    one = returning("auto")
    for _ in range(5):
        one.ended(End(1013), Reached.OPEN, now=0.0)
        assert not one.streams


def test_websockets_that_open_in_between_are_a_way() -> None:
    one = returning("auto")
    for now in range(5):
        one.ended(LOST, REFUSED, now=float(now))
        one.connected(float(now))
        one.ended(LOST, Reached.CONNECTED, now=float(now))
        assert not one.streams


def test_a_stream_that_does_not_open_either_is_followed_by_two_websockets() -> None:
    one = returning("auto")
    ways = []
    for _ in range(6):
        one.ended(LOST, REFUSED, now=0.0)
        ways.append(one.streams)
    assert ways == [False, True, False, False, True, False]


def test_a_stream_that_has_connected_is_remembered() -> None:
    one = returning("auto")
    one.ended(LOST, REFUSED, now=0.0)
    one.ended(LOST, REFUSED, now=0.0)
    for number in count():
        one.connected(0.0)
        one.ended(LOST, Reached.CONNECTED, now=0.0)
        assert one.streams
        one.ended(LOST, Reached.OPEN, now=0.0)
        assert one.streams
        if number == 2:
            break
    one.ended(LOST, Reached.NOTHING, now=0.0)  # the server is away: one WebSocket is tried, and no more
    assert not one.streams
    one.ended(LOST, REFUSED, now=0.0)
    assert one.streams


def test_an_end_says_its_code_and_its_reason() -> None:
    assert str(End(1012, "restart")) == "ended the connection with 1012: restart"
    assert str(End(1012)) == "ended the connection with 1012"
