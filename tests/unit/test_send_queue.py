import pytest

from fastapi_rooms.errors import MessageTooLarge
from fastapi_rooms.options import CONTROL_BYTES, CONTROL_MESSAGES, Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import KEPT, Dropped, Offer, SendQueue, check_size


def queue_of(*texts: str, messages: int | None = 3, size: int | None = None) -> SendQueue:
    queue = SendQueue(QueueLimits(messages=messages, bytes=size))
    for text in texts:
        queue.push(Payload(text), now=0.0)
    return queue


def offer(
    queue: SendQueue,
    text: str,
    overflow: Overflow = Overflow.CLOSE,
    *,
    scope: str | None = None,
    key: str | None = None,
    now: float = 0.0,
) -> Offer:
    return queue.offer(Payload(text), overflow=overflow, now=now, scope=scope, key=key)


def drained(queue: SendQueue) -> list[str | bytes]:
    taken: list[str | bytes] = []
    while (payload := queue.take()) is not None:
        taken.append(payload.data)
        queue.release()
    return taken


def test_first_in_is_first_out() -> None:
    queue = queue_of("a", "b", "c")
    assert drained(queue) == ["a", "b", "c"]
    assert (len(queue), queue.size, queue.sent, queue.sent_bytes) == (0, 0, 3, 3)


def test_what_is_in_flight_counts() -> None:
    queue = queue_of("aa", "b")
    assert queue.take() is not None
    assert (len(queue), queue.size) == (2, 3)
    queue.push(Payload("c"), now=0.0)
    assert not queue.fits(1)
    queue.release()
    assert queue.fits(1)


def test_a_message_that_never_waited_is_in_flight_too() -> None:
    queue = queue_of()
    queue.begin(Payload("abc"), now=5.0)
    assert (len(queue), queue.size, queue.high_water, queue.high_water_bytes) == (1, 3, 1, 3)
    assert queue.oldest_age(7.0) == 2.0
    queue.release()
    assert (len(queue), queue.size, queue.sent) == (0, 0, 1)


def test_taking_from_an_empty_queue_takes_nothing() -> None:
    queue = queue_of()
    assert queue.take() is None
    assert queue.release() is None
    assert queue.sent == 0


def test_either_bound_is_a_bound_and_none_is_none() -> None:
    assert not queue_of("a", "b", "c", size=100).fits(0)
    assert not queue_of("aa", size=3).fits(2)
    assert queue_of("aa", size=3).fits(1)
    unbounded = queue_of(*"abcdefg", messages=None)
    assert unbounded.fits(10**9)
    assert not unbounded.over_half


@pytest.mark.parametrize(
    ("texts", "messages", "size", "over"),
    [
        (["a"], 2, None, False),
        (["a", "b"], 2, None, True),
        (["a"], 1, None, True),
        (["aa"], None, 4, False),
        (["aaa"], None, 4, True),
    ],
)
def test_over_half_means_more_than_half_of_either_bound(
    texts: list[str], messages: int | None, size: int | None, over: bool
) -> None:
    assert queue_of(*texts, messages=messages, size=size).over_half is over


def test_control_finds_space_beyond_the_bounds_but_not_without_end() -> None:
    queue = queue_of("a", "b", "c", size=10)
    for _ in range(CONTROL_MESSAGES):
        assert queue.fits(1, control=True)
        queue.push(Payload("!"), now=0.0)
    assert not queue.fits(1, control=True)
    assert not queue_of("a", size=10).fits(10 + CONTROL_BYTES, control=True)


def test_the_oldest_message_is_the_one_that_waited_longest() -> None:
    queue = queue_of()
    assert queue.oldest_age(9.0) == 0.0
    offer(queue, "a", now=1.0)
    offer(queue, "b", now=2.0)
    assert queue.oldest_age(9.0) == 8.0
    queue.take()
    assert queue.oldest_age(9.0) == 8.0
    queue.release()
    assert queue.oldest_age(9.0) == 7.0


def test_close_leaves_the_queue_as_it_is_and_asks_to_close() -> None:
    queue = queue_of("a", "b", "c")
    assert offer(queue, "d", Overflow.CLOSE) is Offer.OVERFLOWED
    assert drained(queue) == ["a", "b", "c"]
    assert (queue.dropped_newest, queue.end_episode()) == (0, None)


def test_drop_newest_drops_what_comes() -> None:
    queue = queue_of("a", "b", "c")
    assert offer(queue, "dd", Overflow.DROP_NEWEST) is Offer.DROPPED
    assert queue.end_episode() == Dropped(newest=1, bytes=2)
    assert drained(queue) == ["a", "b", "c"]


def test_drop_oldest_drops_as_many_as_it_takes_and_no_more() -> None:
    queue = queue_of(messages=None, size=6)
    for text in ("aa", "bb", "cc"):
        offer(queue, text, Overflow.DROP_OLDEST)
    assert offer(queue, "ddd", Overflow.DROP_OLDEST) is Offer.ACCEPTED
    assert queue.end_episode() == Dropped(oldest=2, bytes=4)
    assert drained(queue) == ["cc", "ddd"]
    assert queue.dropped_oldest == 2


def test_drop_oldest_takes_nothing_out_if_that_cannot_help() -> None:
    queue = queue_of("kept", size=8, messages=None)
    offer(queue, "old", Overflow.DROP_OLDEST)
    assert offer(queue, "eight", Overflow.DROP_OLDEST) is Offer.DROPPED
    assert drained(queue) == ["kept", "old"]
    assert (queue.dropped_oldest, queue.dropped_newest) == (0, 1)


def test_what_is_in_flight_is_never_dropped() -> None:
    queue = queue_of(messages=1)
    offer(queue, "a", Overflow.DROP_OLDEST)
    queue.take()
    assert offer(queue, "b", Overflow.DROP_OLDEST) is Offer.DROPPED


def test_awaited_messages_are_never_dropped() -> None:
    queue = queue_of("a", "b", "c")
    assert offer(queue, "d", Overflow.DROP_OLDEST) is Offer.DROPPED
    assert drained(queue) == ["a", "b", "c"]


def test_a_room_drops_only_its_own_messages() -> None:
    queue = queue_of()
    offer(queue, "manager", Overflow.DROP_OLDEST)
    offer(queue, "blue", Overflow.DROP_OLDEST, scope="blue")
    offer(queue, "red", Overflow.DROP_OLDEST, scope="red")
    assert offer(queue, "red 2", Overflow.DROP_OLDEST, scope="red") is Offer.ACCEPTED
    assert offer(queue, "green", Overflow.DROP_OLDEST, scope="green") is Offer.DROPPED
    assert drained(queue) == ["manager", "blue", "red 2"]


def test_conflate_replaces_in_place_and_takes_no_space() -> None:
    queue = queue_of()
    offer(queue, "cpu 1", Overflow.CONFLATE, key="cpu")
    offer(queue, "mem 1", Overflow.CONFLATE, key="mem")
    assert offer(queue, "cpu 22", Overflow.CONFLATE, key="cpu", now=3.0) is Offer.ACCEPTED
    assert (queue.conflated, len(queue), queue.size, queue.high_water_bytes) == (1, 2, 11, 11)
    assert queue.oldest_age(3.0) == 3.0
    assert drained(queue) == ["cpu 22", "mem 1"]


def test_a_key_is_one_scopes_own() -> None:
    queue = queue_of()
    offer(queue, "all", Overflow.CONFLATE, key="k")
    offer(queue, "red", Overflow.CONFLATE, key="k", scope="red")
    offer(queue, "red 2", Overflow.CONFLATE, key="k", scope="red")
    assert drained(queue) == ["all", "red 2"]


def test_what_is_in_flight_is_not_replaced() -> None:
    queue = queue_of()
    offer(queue, "1", Overflow.CONFLATE, key="k")
    queue.take()
    offer(queue, "2", Overflow.CONFLATE, key="k")
    queue.release()
    assert drained(queue) == ["2"]
    assert queue.conflated == 0


def test_a_full_queue_with_nothing_to_replace_asks_to_close() -> None:
    queue = queue_of("a", "b", "c")
    assert offer(queue, "d", Overflow.CONFLATE, key="k") is Offer.OVERFLOWED
    assert offer(queue, "d", Overflow.CONFLATE) is Offer.OVERFLOWED


def test_a_replacement_that_is_too_large_asks_to_close_and_replaces_nothing() -> None:
    queue = queue_of("aaaa", size=6)
    offer(queue, "b", Overflow.CONFLATE, key="k")
    assert offer(queue, "bbb", Overflow.CONFLATE, key="k") is Offer.OVERFLOWED
    assert drained(queue) == ["aaaa", "b"]


def test_without_conflate_a_key_means_nothing() -> None:
    queue = queue_of()
    offer(queue, "1", Overflow.DROP_OLDEST, key="k")
    offer(queue, "2", Overflow.DROP_OLDEST, key="k")
    assert drained(queue) == ["1", "2"]


def test_conflate_without_a_key_only_queues() -> None:
    queue = queue_of()
    offer(queue, "1", Overflow.CONFLATE)
    offer(queue, "2", Overflow.CONFLATE)
    assert drained(queue) == ["1", "2"]


def test_an_episode_is_reported_once_and_ends_at_half_full() -> None:
    queue = queue_of(messages=4)
    for text in "abcdef":
        offer(queue, text, Overflow.DROP_OLDEST)
    offer(queue, "g", Overflow.DROP_NEWEST)
    episodes: list[Dropped | None] = []
    while queue.take() is not None:
        episodes.append(queue.release())
    assert episodes == [None, Dropped(oldest=2, newest=1, bytes=3), None, None]


def test_an_episode_knows_how_many_it_dropped() -> None:
    assert Dropped(oldest=2, newest=3, bytes=9).messages == 5


def test_what_still_waits_at_the_end_is_discarded_and_counted() -> None:
    queue = queue_of("a", "b", "c")
    queue.take()
    queue.discard()
    assert (len(queue), queue.size, queue.discarded, queue.sent) == (0, 0, 3, 0)
    queue.discard()
    assert queue.discarded == 3


def test_a_message_larger_than_the_queue_is_refused() -> None:
    limits = QueueLimits(bytes=3)
    check_size(Payload("abc"), limits)
    with pytest.raises(MessageTooLarge) as caught:
        check_size(Payload("abcd"), limits)
    assert (caught.value.size, caught.value.limit) == (4, 3)
    check_size(Payload("x" * 100), QueueLimits(bytes=None))


def test_what_the_server_holds_counts_towards_the_bound_by_size() -> None:
    held = 6
    queue = SendQueue(QueueLimits(messages=3, bytes=10), held=lambda: held)
    assert (queue.size, len(queue), queue.over_half, queue.fullness) == (6, 0, True, 0.6)
    assert queue.fits(4)
    assert not queue.fits(5)
    assert offer(queue, "12345", Overflow.CLOSE) is Offer.OVERFLOWED
    held = 0
    assert (queue.size, queue.over_half, queue.fits(10)) == (0, False, True)


def test_what_the_server_holds_is_no_message_that_waits() -> None:
    queue = SendQueue(QueueLimits(messages=1, bytes=None), held=lambda: 10**9)
    assert (len(queue), queue.oldest_age(9.0), queue.over_half, queue.fullness) == (0, 0.0, False, 0.0)
    assert queue.fits(1)


@pytest.mark.parametrize(
    ("overflow", "outcome", "left"),
    [
        (Overflow.CLOSE, Offer.OVERFLOWED, ["aaa"]),
        (Overflow.DROP_NEWEST, Offer.DROPPED, ["aaa"]),
        (Overflow.DROP_OLDEST, Offer.ACCEPTED, ["bbbb"]),
        (Overflow.CONFLATE, Offer.OVERFLOWED, ["aaa"]),
    ],
)
def test_each_policy_counts_what_the_server_holds(overflow: Overflow, outcome: Offer, left: list[str]) -> None:
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: 3)
    assert offer(queue, "aaa", overflow) is Offer.ACCEPTED
    assert offer(queue, "bbbb", overflow) is outcome
    assert drained(queue) == left


def test_a_replacement_must_fit_beside_what_the_server_holds() -> None:
    held = 4
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: held)
    assert offer(queue, "aa", Overflow.CONFLATE, key="k") is Offer.ACCEPTED
    assert offer(queue, "12345", Overflow.CONFLATE, key="k") is Offer.OVERFLOWED
    assert offer(queue, "1234", Overflow.CONFLATE, key="k") is Offer.ACCEPTED
    assert (drained(queue), queue.high_water_bytes) == (["1234"], 8)


def test_no_message_is_dropped_for_a_server_that_holds_too_much_by_itself() -> None:
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: 8)
    queue.begin(Payload("a"), now=0.0)
    assert offer(queue, "b", Overflow.DROP_OLDEST) is Offer.DROPPED
    assert (queue.dropped_oldest, queue.dropped_newest) == (0, 1)


def test_control_finds_space_beyond_what_the_server_holds() -> None:
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: 8)
    assert queue.fits(CONTROL_BYTES, control=True)
    assert not queue.fits(CONTROL_BYTES + 1, control=True)


def test_an_episode_ends_when_little_waits_whatever_the_server_holds() -> None:
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: 5)
    queue.begin(Payload("a"), now=0.0)
    offer(queue, "bbb", Overflow.DROP_NEWEST)
    assert queue.release() == Dropped(newest=1, bytes=3)


def test_what_the_server_holds_is_not_forgotten_with_the_queue() -> None:
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: 3)
    offer(queue, "a")
    queue.discard()
    assert (queue.size, queue.discarded) == (3, 1)


def test_a_smaller_message_replaces_a_larger_one_whatever_the_server_holds() -> None:
    held = 0
    queue = SendQueue(QueueLimits(bytes=8), held=lambda: held)
    assert offer(queue, "bbb", Overflow.CONFLATE, key="k") is Offer.ACCEPTED
    held = 7
    assert offer(queue, "bb", Overflow.CONFLATE, key="k") is Offer.ACCEPTED
    assert queue.conflated == 1


def test_what_is_kept_is_evicted_by_nobody_and_dropped_where_there_is_no_space() -> None:
    queue = queue_of()
    for text in "abc":
        assert queue.offer(Payload(text), overflow=Overflow.DROP_NEWEST, now=0.0, scope=KEPT) is Offer.ACCEPTED
    assert queue.offer(Payload("d"), overflow=Overflow.DROP_NEWEST, now=0.0, scope=KEPT) is Offer.DROPPED
    for scope in (None, "red"):
        assert offer(queue, "e", Overflow.DROP_OLDEST, scope=scope) is Offer.DROPPED
    assert (queue.overflowing, drained(queue), queue.overflowing) == (True, ["a", "b", "c"], False)
