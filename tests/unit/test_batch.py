import gc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.batch import FULL, Batch
from fastapi_rooms.errors import UnencodableMessage
from fastapi_rooms.frames import HEADER_BYTES, JOINED_TEXT, PLAIN, SSE
from fastapi_rooms.payload import Payload
from unit.frame_fakes import BINARY, TEXT, OnWire, inflate, split_frames

PAYLOADS = [Payload("a"), Payload("bb"), Payload(b"ccc"), Payload("d" * 400)]


@pytest.fixture
def collected() -> Iterator[None]:
    """Whatever is collected from here on is ours."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def batch_of(*payloads: Payload) -> Batch:
    batch = Batch([], size=0)
    for payload in payloads:
        batch = batch.then(payload)
    return batch


def test_a_batch_without_messages_is_nothing() -> None:
    batch = Batch([], size=0)
    assert (batch.last, batch.count, batch.size, batch.full, batch.joined(PLAIN)) == (None, 0, 0, False, b"")


def test_messages_are_joined_in_their_order() -> None:
    batch = batch_of(Payload("a"), Payload(b"bb"), Payload("ü"))
    assert split_frames(batch.joined(PLAIN)) == [
        OnWire(TEXT, b"a"),
        OnWire(BINARY, b"bb"),
        OnWire(TEXT, "ü".encode()),
    ]
    assert (batch.count, batch.size, batch.last is not None and batch.last.data) == (3, 5, "ü")


def test_one_more_message_leaves_the_batch_as_it_was() -> None:
    before = batch_of(Payload("a"))
    before.then(Payload("b"))
    assert (before.count, before.size, split_frames(before.joined(PLAIN))) == (1, 1, [OnWire(TEXT, b"a")])


def test_the_same_messages_one_after_another_are_the_very_same_batch_and_bytes() -> None:
    start = Batch([], size=0)
    ann = bob = start
    for payload in PAYLOADS:
        ann, bob = ann.then(payload), bob.then(payload)
        assert ann is bob
    assert ann.joined(12) is bob.joined(12)


def test_equal_messages_that_were_encoded_apart_are_others() -> None:
    start = Batch([], size=0)
    assert start.then(Payload("a")) is not start.then(Payload("a"))


def test_each_window_has_its_own_bytes_joined_once() -> None:
    batch = batch_of(Payload("a"), Payload("d" * 5000))
    plain, small, large = (batch.joined(window_bits) for window_bits in (PLAIN, 9, 12))
    assert [[frame.compressed for frame in split_frames(data)] for data in (plain, small, large)] == [
        [False, False],
        [False, True],
        [False, True],
    ]
    assert inflate(split_frames(small)[1].data, 9) == b"d" * 5000
    assert batch.joined(PLAIN) is plain
    assert batch.joined(9) is small
    assert batch.joined(12) is large


def test_a_single_message_is_not_copied() -> None:
    payload = Payload("a" * 1000)
    assert batch_of(payload).joined(12) is payload.frame(12)


def test_texts_are_joined_to_an_array() -> None:
    events = batch_of(Payload('{"a":1}'), Payload("[2]"), Payload('"ü"')).joined(JOINED_TEXT)
    assert events == ({"type": "websocket.send", "text": '[{"a":1},[2],"ü"]'},)


def test_a_text_that_is_alone_is_no_array_and_not_copied() -> None:
    payload = Payload("no JSON")
    (event,) = batch_of(payload).joined(JOINED_TEXT)
    assert event is payload.event


def test_nothing_is_joined_to_no_event() -> None:
    assert Batch([], size=0).joined(JOINED_TEXT) == ()


@given(st.lists(st.sampled_from([Payload("1"), Payload("2"), Payload(b"b"), Payload(b"c")])))
def test_what_is_binary_stays_in_its_place_among_texts(payloads: list[Payload]) -> None:
    events = batch_of(*payloads).joined(JOINED_TEXT)
    apart = [
        data
        for event in events
        for data in ([event["bytes"]] if "bytes" in event else event["text"].strip("[]").split(","))
    ]
    assert apart == [payload.data for payload in payloads]
    kinds = ["text" in event for event in events]
    assert not any(one and other for one, other in pairwise(kinds))


def test_events_of_a_stream_are_one_piece_of_its_body() -> None:
    events = batch_of(Payload("1", event_id="at"), Payload("2")).joined(SSE)
    assert events == (
        {"type": "http.response.body", "body": b"id: at\ndata: 1\n\ndata: 2\n\n", "more_body": True},
    )


@pytest.mark.parametrize("form", [JOINED_TEXT, SSE])
def test_events_are_made_once(form: int) -> None:
    batch = batch_of(Payload("1"), Payload("2"))
    assert batch.joined(form) is batch.joined(form)
    assert batch.joined(PLAIN) == Payload("1").frame(PLAIN) + Payload("2").frame(PLAIN)


def test_a_stream_cannot_carry_what_is_binary() -> None:
    batch = batch_of(Payload("1"), Payload(b"2"))
    for _ in range(2):
        with pytest.raises(UnencodableMessage):
            batch.joined(SSE)


@pytest.mark.parametrize(("size", "full"), [(FULL - HEADER_BYTES - 1, False), (FULL - HEADER_BYTES, True)])
def test_a_batch_is_full_from_64_kib_framing_included(size: int, full: bool) -> None:
    assert batch_of(Payload(bytes(size))).full is full


def test_many_small_messages_fill_a_batch_by_their_framing() -> None:
    most = FULL // (HEADER_BYTES + 1)
    batch = batch_of(*[Payload("x")] * most)
    assert (batch.count, batch.full, batch.then(Payload("x")).full) == (most, False, True)


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(PAYLOADS), st.booleans()), max_size=60))
def test_batches_that_grow_from_one_do_not_disturb_each_other(steps: list[tuple[int, Payload, bool]]) -> None:
    grown: list[tuple[Batch, list[Payload]]] = [(Batch([], size=0), [])]
    for place, payload, for_all in steps:
        batch, model = grown[place % len(grown)]
        if for_all and sum(one is batch for one, _ in grown) == 1:
            batch.joined(PLAIN)
            batch.add(payload)
            model.append(payload)
        else:
            grown.append((batch.then(payload), [*model, payload]))
    for batch, model in grown:
        assert batch.joined(PLAIN) == b"".join(one.frame(PLAIN) for one in model)
        assert (batch.count, batch.size) == (len(model), sum(one.size for one in model))
        assert batch.last is (model[-1] if model else None)


@given(st.lists(st.sampled_from(PAYLOADS), min_size=1), st.integers(0, 20), st.integers(0, 3))
def test_who_missed_a_message_shares_nothing_more_and_still_gets_its_own(
    payloads: list[Payload], missed: int, window: int
) -> None:
    start = Batch([], size=0)
    everyone = start
    latecomer = start
    for number, payload in enumerate(payloads):
        everyone = everyone.then(payload)
        if number != missed % len(payloads):
            latecomer = latecomer.then(payload)
    rest = [one for number, one in enumerate(payloads) if number != missed % len(payloads)]
    window_bits = (PLAIN, 9, 12, 15)[window]
    assert everyone.joined(window_bits) == b"".join(one.frame(window_bits) for one in payloads)
    assert latecomer.joined(window_bits) == b"".join(one.frame(window_bits) for one in rest)


def test_who_holds_a_batch_is_known_until_somebody_lets_go_of_it() -> None:
    batch = Batch([], size=0).then(PAYLOADS[0])
    batch.hold("all")
    batch.add(PAYLOADS[1])
    assert (batch.holders, batch.tally, batch.full) == ("all", batch_of(*PAYLOADS[:2]).tally, False)
    batch.then(PAYLOADS[2])
    assert batch.holders is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_holds_a_batch_that_others_got_too_is_not_sure(when: str) -> None:
    start = Batch([], size=0)
    batch = start.then(PAYLOADS[0])
    if when == "after":
        batch.hold("all")
    assert start.then(PAYLOADS[0]) is batch
    if when == "before":
        batch.hold("all")
    assert batch.holders is None


@pytest.mark.parametrize("messages", [1, 2])
def test_a_batch_that_was_added_to_is_not_taken_for_the_one_it_was(messages: int) -> None:
    start = Batch([], size=0)
    batch = start.then(PAYLOADS[0])
    for payload in PAYLOADS[1 : messages + 1]:
        batch.add(payload)
    assert start.then(PAYLOADS[0]) is not batch
    assert start.then(PAYLOADS[messages]).joined(PLAIN) == PAYLOADS[messages].frame(PLAIN)


def test_a_batch_is_full_from_64_kib_however_it_came_to_them() -> None:
    batch = batch_of(Payload(b"x"))
    batch.add(Payload(bytes(FULL)))
    assert batch.full


@pytest.mark.usefixtures("collected")
def test_nothing_of_a_turn_needs_the_garbage_collector() -> None:
    start = Batch([], size=0)
    ann = bob = start
    for payload in PAYLOADS:
        ann, bob = ann.then(payload), bob.then(payload)
    ann.joined(PLAIN)
    ann.joined(12)
    start.then(PAYLOADS[1])
    del start, ann, bob
    assert gc.collect() == 0


@pytest.mark.usefixtures("collected")
def test_a_turn_of_many_messages_is_forgotten_at_once() -> None:
    start = batch = Batch([], size=0)
    for number in range(100_000):
        batch = batch.then(PAYLOADS[number % 2])
    assert batch.count == 100_000
    del start, batch
    assert gc.collect() == 0
