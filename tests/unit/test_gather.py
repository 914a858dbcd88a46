import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fastapi_rooms.batch import Batch
from fastapi_rooms.frames import PLAIN, SSE
from fastapi_rooms.gather import MANY, MORE_TURNS, Gatherer, Gathers, Send, WriteFrames, write_batch
from fastapi_rooms.payload import Payload
from fastapi_rooms.tally import tally
from unit.frame_fakes import split_frames


class Turns:
    """An event loop that turns when the test says so."""

    def __init__(self) -> None:
        self.scheduled: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, callback: Callable[..., None], *args: object) -> None:
        self.call_later(0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., None], *args: object) -> None:
        self.scheduled.append((delay, lambda: callback(*args)))

    def turn(self) -> None:
        due, self.scheduled = self.scheduled, []
        for _, callback in due:
            callback()

    @property
    def delays(self) -> list[float]:
        return [delay for delay, _ in self.scheduled]


class Client:
    """Notes what is written."""

    def __init__(self, window_bits: int = PLAIN) -> None:
        self.batch: Batch | None = None
        self.window_bits = window_bits
        self.written = 0
        self.descriptor = -1
        self.writes: list[bytes] = []
        self.error: Exception | None = None
        self.errors: list[Exception] = []
        self.when_written: Callable[[], None] = lambda: None
        self.write_frames: WriteFrames = self._write

    def _write(self, data: bytes, /) -> None:
        if self.error is not None:
            raise self.error
        self.writes.append(data)
        self.when_written()

    def write_failed(self, error: Exception) -> None:
        self.errors.append(error)

    @property
    def received(self) -> list[list[bytes]]:
        """The messages of each write."""
        return [[frame.data for frame in split_frames(data)] for data in self.writes]


def gatherer_of(loop: Turns, window: float | None = None) -> Gatherer:
    return Gatherer(cast("asyncio.AbstractEventLoop", loop), window=window)


def add(gatherer: Gatherer, payload: Payload, *clients: Gathers) -> None:
    for client in clients:
        client.batch = gatherer.begin(client, payload) if client.batch is None else client.batch.then(payload)


def test_all_messages_of_a_turn_are_one_write_for_each_client() -> None:
    loop, ann, bob = Turns(), Client(), Client()
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), ann, bob)
    add(gatherer, Payload("b"), ann)
    assert (ann.writes, bob.writes, loop.delays) == ([], [], [0])
    loop.turn()
    assert (ann.received, bob.received) == ([[b"a", b"b"]], [[b"a"]])
    assert (ann.written, bob.written) == (tally(2, 2), tally(1, 1))
    assert ann.batch is None


def test_the_next_turn_begins_anew() -> None:
    loop, ann = Turns(), Client()
    gatherer = gatherer_of(loop)
    for text in "abc":
        add(gatherer, Payload(text), ann)
        loop.turn()
    assert (ann.received, ann.written) == ([[b"a"], [b"b"], [b"c"]], tally(3, 3))


@pytest.mark.parametrize("window", [None, 0.5])
def test_nothing_is_scheduled_while_nothing_waits(window: float | None) -> None:
    loop, ann = Turns(), Client()
    gatherer = gatherer_of(loop, window)
    assert loop.delays == []
    add(gatherer, Payload("a"), ann)
    loop.turn()
    assert (loop.delays, gatherer.waiting) == ([], [])


def test_a_turn_is_scheduled_once_however_many_wait() -> None:
    loop = Turns()
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), *[Client() for _ in range(5)])
    assert loop.delays == [0]


@pytest.mark.parametrize(("clients", "more"), [(1, 0), (MANY - 1, 0), (MANY, MORE_TURNS), (MANY * 3, MORE_TURNS)])
def test_writing_to_many_is_put_off_by_a_few_turns_and_to_few_is_not(clients: int, more: int) -> None:
    loop, crowd = Turns(), [Client() for _ in range(clients)]
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), *crowd)
    for _ in range(more):
        loop.turn()
        assert (crowd[0].writes, loop.delays) == ([], [0])
        add(gatherer, Payload("b"), *crowd)
    loop.turn()
    assert {len(client.writes) for client in crowd} == {1}
    assert (crowd[0].received, loop.delays) == ([[b"a"] + [b"b"] * more], [])


def test_few_that_become_many_wait_no_longer_than_many() -> None:
    loop, crowd = Turns(), [Client() for _ in range(MANY)]
    gatherer = gatherer_of(loop)
    for turn in range(MORE_TURNS + 1):
        add(gatherer, Payload("a"), crowd[0], *(crowd if turn == 0 else ()))
        assert crowd[0].writes == []
        loop.turn()
    assert len(crowd[0].writes) == 1


def test_a_window_gathers_for_its_time_and_not_by_turns() -> None:
    loop, crowd = Turns(), [Client() for _ in range(MANY)]
    gatherer = gatherer_of(loop, window=0.25)
    add(gatherer, Payload("a"), *crowd)
    add(gatherer, Payload("b"), *crowd)
    assert loop.delays == [0.25]
    loop.turn()
    assert (crowd[-1].received, loop.delays) == ([[b"a", b"b"]], [])


def test_all_who_got_the_same_are_written_the_very_same_bytes() -> None:
    loop, crowd = Turns(), [Client() for _ in range(5)]
    gatherer = gatherer_of(loop)
    for text in "abc":
        add(gatherer, Payload(text), *crowd)
    loop.turn()
    assert len({id(client.writes[0]) for client in crowd}) == 1


def test_each_window_is_written_its_own_bytes_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    joins: list[int] = []
    joined = Batch.joined

    def counting(self: Batch, window_bits: int) -> Any:
        joins.append(window_bits)
        return joined(self, window_bits)

    monkeypatch.setattr(Batch, "joined", counting)
    loop = Turns()
    crowd = [Client(window_bits) for window_bits in (0, 0, 0, 9, 9, 12, 12, 12)]
    gatherer = gatherer_of(loop)
    for text in ("a", "b" * 5000):
        add(gatherer, Payload(text), *crowd)
    loop.turn()
    assert joins == [0, 9, 12]
    assert [split_frames(client.writes[0])[1].compressed for client in crowd] == [False] * 3 + [True] * 5
    assert len({id(client.writes[0]) for client in crowd}) == 3


def test_who_differs_in_between_gets_its_own_and_the_others_still_share() -> None:
    loop, ann, bob, cid = Turns(), Client(), Client(), Client()
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), ann, bob, cid)
    add(gatherer, Payload("b"), bob)
    both = Payload("c")
    add(gatherer, both, ann, bob, cid)
    loop.turn()
    assert (ann.received, bob.received) == ([[b"a", b"c"]], [[b"a", b"b", b"c"]])
    assert ann.received == cid.received


def test_a_client_whose_write_raises_does_not_keep_the_others_from_theirs() -> None:
    loop, crowd = Turns(), [Client() for _ in range(3)]
    gatherer = gatherer_of(loop)
    crowd[1].error = OSError("reset")
    add(gatherer, Payload("a"), *crowd)
    loop.turn()
    assert [client.received for client in crowd] == [[[b"a"]], [], [[b"a"]]]
    assert crowd[1].errors == [crowd[1].error]
    assert crowd[1].batch is None


def test_a_batch_that_cannot_be_joined_fails_for_all_who_got_it_and_for_nobody_else() -> None:
    loop, ann, bob, cid, dan = Turns(), Client(), Client(SSE), Client(SSE), Client()
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), ann)
    add(gatherer, Payload(b"b"), bob, cid, dan)
    loop.turn()
    assert [client.received for client in (ann, bob, cid, dan)] == [[[b"a"]], [], [], [[b"b"]]]
    assert [len(client.errors) for client in (ann, bob, cid, dan)] == [0, 1, 1, 0]


def test_who_was_written_early_is_not_written_twice() -> None:
    loop, ann, bob = Turns(), Client(), Client()
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), ann, bob)
    write_batch(ann)
    write_batch(ann)
    assert (ann.received, ann.written) == ([[b"a"]], tally(1, 1))
    loop.turn()
    assert (ann.received, bob.received, ann.written) == ([[b"a"]], [[b"a"]], tally(1, 1))


def test_who_was_written_early_gets_what_comes_later_at_the_turns_end() -> None:
    loop, ann = Turns(), Client()
    gatherer = gatherer_of(loop)
    add(gatherer, Payload("a"), ann)
    write_batch(ann)
    add(gatherer, Payload("b"), ann)
    assert loop.delays == [0]
    loop.turn()
    assert (ann.received, ann.written) == ([[b"a"], [b"b"]], tally(2, 2))


def test_an_early_write_that_raises_is_told_to_the_client() -> None:
    ann = Client()
    ann.error = OSError("reset")
    add(gatherer_of(Turns()), Payload("a"), ann)
    write_batch(ann)
    assert (ann.errors, ann.batch) == ([ann.error], None)


def test_a_message_that_comes_of_a_write_goes_out_in_the_next_turn() -> None:
    loop, ann, bob = Turns(), Client(), Client()
    gatherer = gatherer_of(loop)
    ann.when_written = lambda: add(gatherer, Payload("b"), bob) if not bob.writes and not bob.batch else None
    add(gatherer, Payload("a"), ann)
    loop.turn()
    assert (bob.writes, loop.delays) == ([], [0])
    loop.turn()
    assert bob.received == [[b"b"]]


def test_a_turn_keeps_nothing_of_the_one_before() -> None:
    loop, ann = Turns(), Client()
    gatherer = gatherer_of(loop)
    same = Payload("a")
    add(gatherer, same, ann)
    first = ann.batch
    loop.turn()
    add(gatherer, same, ann)
    assert ann.batch is not first


class Kernel:
    """Takes what is written to descriptors.

    Attributes:
        sent: Descriptor and data of each write.
        space: Bytes that it still takes; `None`: any number.
        error: What the next writes raise.
        free: Whether writing to descriptors is allowed.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.space: int | None = None
        self.error: OSError | None = None
        self.free = True

    def find(self) -> Send | None:
        return self.send if self.free else None

    def send(self, descriptor: int, data: bytes, /) -> int:
        if self.error is not None:
            raise self.error
        taken = data if self.space is None else data[: self.space]
        self.sent.append((descriptor, taken))
        return len(taken)

    def gatherer(self, loop: Turns) -> Gatherer:
        return Gatherer(cast("asyncio.AbstractEventLoop", loop), find_send=self.find)


def test_who_has_a_descriptor_is_written_there_and_others_as_ever() -> None:
    loop, kernel, ann, bob = Turns(), Kernel(), Client(), Client()
    ann.descriptor = 7
    add(kernel.gatherer(loop), Payload("a"), ann, bob)
    loop.turn()
    frame = Payload("a").frame(PLAIN)
    assert (kernel.sent, ann.writes, bob.writes) == ([(7, frame)], [], [frame])
    assert (ann.written, bob.written) == (tally(1, 1), tally(1, 1))


@pytest.mark.parametrize("space", [0, 1, 4])
def test_what_a_descriptor_does_not_take_goes_the_other_way(space: int) -> None:
    loop, kernel, ann = Turns(), Kernel(), Client()
    ann.descriptor, kernel.space = 7, space
    add(kernel.gatherer(loop), Payload("hello"), ann)
    loop.turn()
    frame = Payload("hello").frame(PLAIN)
    assert (kernel.sent, ann.writes, ann.errors) == ([(7, frame[:space])], [frame[space:]], [])


@pytest.mark.parametrize("error", [BlockingIOError(), BrokenPipeError(), OSError(9, "bad file descriptor")])
def test_what_a_descriptor_refuses_goes_the_other_way(error: OSError) -> None:
    loop, kernel, ann = Turns(), Kernel(), Client()
    ann.descriptor, kernel.error = 7, error
    add(kernel.gatherer(loop), Payload("hello"), ann)
    loop.turn()
    assert (ann.writes, ann.errors) == ([Payload("hello").frame(PLAIN)], [])


def test_where_nothing_may_write_to_descriptors_all_go_the_other_way() -> None:
    loop, kernel, ann = Turns(), Kernel(), Client()
    ann.descriptor, kernel.free = 7, False
    gatherer = kernel.gatherer(loop)
    add(gatherer, Payload("a"), ann)
    loop.turn()
    assert (kernel.sent, ann.received) == ([], [[b"a"]])
    kernel.free = True
    add(gatherer, Payload("b"), ann)
    loop.turn()
    assert (kernel.sent, ann.received) == ([(7, Payload("b").frame(PLAIN))], [[b"a"]])


def test_an_early_write_never_goes_to_a_descriptor() -> None:
    kernel, ann = Kernel(), Client()
    ann.descriptor = 7
    add(kernel.gatherer(Turns()), Payload("a"), ann)
    write_batch(ann)
    assert (kernel.sent, ann.received) == ([], [[b"a"]])
