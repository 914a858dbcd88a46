"""`SendQueue` against a plain list that does what the contract says, slowly."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brokers.scale import examples
from fastapi_rooms.options import CONTROL_BYTES, CONTROL_MESSAGES, Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import Dropped, Offer, SendQueue

SCOPES = st.sampled_from([None, "red", "blue"])
KEYS = st.sampled_from([None, "k", "l"])
SIZES = st.integers(min_value=0, max_value=6)
MOST_BYTES = 16


@dataclass
class Waiting:
    name: int
    size: int
    scope: str | None
    key: str | None
    evictable: bool


class SendQueueMachine(RuleBasedStateMachine):
    """Offers, takes, releases and discards at will; compares everything that can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = QueueLimits()
        self.queue = SendQueue(self.limits)
        self.server_says = False
        self.held = 0
        self.waiting: list[Waiting] = []
        self.in_flight: Waiting | None = None
        self.next_name = 0
        self.offered = self.taken = self.refused = self.sent = self.discarded = 0
        self.oldest = self.newest = self.conflated = 0
        self.missed: Dropped | None = None

    @initialize(
        messages=st.none() | st.integers(1, 5),
        size=st.none() | st.integers(6, MOST_BYTES),
        server_says=st.booleans(),
    )
    def bounds(self, messages: int | None, size: int | None, server_says: bool) -> None:
        self.limits = QueueLimits(messages=messages, bytes=size)
        self.server_says = server_says
        self.queue = SendQueue(self.limits, held=(lambda: self.held) if server_says else None)

    # The model.

    def count(self) -> int:
        return len(self.waiting) + (self.in_flight is not None)

    def size(self) -> int:
        return self.own_size() + self.held

    def own_size(self) -> int:
        return sum(one.size for one in self.waiting) + (self.in_flight.size if self.in_flight else 0)

    def fits(self, size: int, *, control: bool = False) -> bool:
        messages, most = self.limits.messages, self.limits.bytes
        return (messages is None or self.count() + 1 <= messages + control * CONTROL_MESSAGES) and (
            most is None or self.size() + size <= most + control * CONTROL_BYTES
        )

    def over_half(self, size: int) -> bool:
        messages, most = self.limits.messages, self.limits.bytes
        return (messages is not None and self.count() > messages // 2) or (most is not None and size > most // 2)

    def make(self, size: int) -> tuple[int, Payload]:
        self.next_name += 1
        payload = Payload("x" * size)
        payload.event["name"] = self.next_name
        return self.next_name, payload

    def miss(self, *, oldest: int = 0, newest: int = 0, size: int) -> None:
        before = self.missed or Dropped()
        self.missed = Dropped(
            oldest=before.oldest + oldest, newest=before.newest + newest, bytes=before.bytes + size
        )

    def expected(self, size: int, overflow: Overflow, scope: str | None, key: str | None, name: int) -> Offer:
        new = Waiting(name, size, scope, key if overflow is Overflow.CONFLATE else None, evictable=True)
        if new.key is not None:
            same = [one for one in self.waiting if one.evictable and (one.scope, one.key) == (scope, key)]
            assert len(same) <= 1
            most = self.limits.bytes
            # What is no larger takes no space, though there be none: the server may hold more than there is.
            if same and (most is None or size <= same[0].size or self.size() - same[0].size + size <= most):
                same[0].name, same[0].size = name, size
                self.conflated += 1
                return Offer.ACCEPTED
        if not self.fits(size):
            if overflow in (Overflow.CLOSE, Overflow.CONFLATE):
                return Offer.OVERFLOWED
            if overflow is Overflow.DROP_NEWEST or not self.evict(size, scope):
                self.newest += 1
                self.miss(newest=1, size=size)
                return Offer.DROPPED
        self.waiting.append(new)
        return Offer.ACCEPTED

    def evict(self, size: int, scope: str | None) -> bool:
        before = list(self.waiting)
        gone: list[Waiting] = []
        for one in before:
            if self.fits(size):
                break
            if one.evictable and one.scope == scope:
                self.waiting.remove(one)
                gone.append(one)
        if not self.fits(size):
            self.waiting = before
            return False
        self.oldest += len(gone)
        self.miss(oldest=len(gone), size=sum(one.size for one in gone))
        return True

    # What is done.

    @rule(size=SIZES, overflow=st.sampled_from(list(Overflow)), scope=SCOPES, key=KEYS)
    def offer(self, size: int, overflow: Overflow, scope: str | None, key: str | None) -> None:
        name, payload = self.make(size)
        self.offered += 1
        expected = self.expected(size, overflow, scope, key, name)
        assert self.queue.offer(payload, overflow=overflow, now=0.0, scope=scope, key=key) is expected
        self.refused += expected is Offer.OVERFLOWED

    @rule(size=SIZES, control=st.booleans())
    def push_if_it_fits(self, size: int, control: bool) -> None:
        fits = self.fits(size, control=control)
        assert self.queue.fits(size, control=control) is fits
        if fits:
            name, payload = self.make(size)
            self.offered += 1
            self.queue.push(payload, now=0.0)
            self.waiting.append(Waiting(name, size, None, None, evictable=False))

    @precondition(lambda self: self.count() == 0)
    @rule(size=SIZES)
    def begin(self, size: int) -> None:
        name, payload = self.make(size)
        self.offered += 1
        self.queue.begin(payload, now=0.0)
        self.in_flight = Waiting(name, size, None, None, evictable=False)

    @precondition(lambda self: self.in_flight is None)
    @rule()
    def take(self) -> None:
        payload = self.queue.take()
        if not self.waiting:
            assert payload is None
            return
        self.in_flight = self.waiting.pop(0)
        assert payload is not None
        assert payload.event["name"] == self.in_flight.name

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def release(self) -> None:
        self.in_flight = None
        self.sent += 1
        ended = None
        if not self.over_half(self.own_size()):  # what the server holds keeps no episode going
            ended, self.missed = self.missed, None
        assert self.queue.release() == ended

    @precondition(lambda self: self.server_says)
    @rule(held=st.integers(0, MOST_BYTES))
    def the_server_holds(self, held: int) -> None:
        self.held = held

    @rule()
    def end_episode(self) -> None:
        assert self.queue.end_episode() == self.missed
        self.missed = None

    @rule()
    def discard(self) -> None:
        self.discarded += self.count()
        self.waiting, self.in_flight = [], None
        self.queue.discard()

    # What always holds.

    @invariant()
    def it_is_the_model(self) -> None:
        queue = self.queue
        assert (len(queue), queue.size, queue.over_half) == (
            self.count(),
            self.size(),
            self.over_half(self.size()),
        )
        assert (queue.dropped_oldest, queue.dropped_newest) == (self.oldest, self.newest)
        assert (queue.conflated, queue.discarded, queue.sent) == (self.conflated, self.discarded, self.sent)
        assert queue.high_water >= len(queue)
        assert queue.high_water_bytes >= self.own_size()

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        queue = self.queue
        dropped = queue.dropped_oldest + queue.dropped_newest
        counted = queue.sent + len(queue) + dropped + queue.conflated + queue.discarded
        assert self.offered == counted + self.refused


SendQueueMachine.TestCase.settings = settings(max_examples=examples(120), stateful_step_count=40, deadline=None)
TestSendQueueAgainstItsModel = SendQueueMachine.TestCase
