"""Broadcasts to clients of all kinds at once: gathering, paused, or served in the standard way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms.batch import FULL, Batch
from fastapi_rooms.connection import Connection
from fastapi_rooms.fanout import Delivery, Exclude, fan_out
from fastapi_rooms.gather import MANY, Gatherer
from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.transports.gathered import GatheredTransport
from unit.fakes import SHORT, DirectTransport, FakeTransport, finished, make_connection, make_link
from unit.frame_fakes import FakeServer, piped_link, split_frames, turns

UNBOUNDED = QueueLimits(messages=None, bytes=None, send_timeout=None, close_timeout=SHORT)
WIRED, DIRECT, STANDARD = "wired", "direct", "standard"

Gather = Callable[..., Awaitable["Crowd"]]


class Member:
    """One connection, whatever it is made of."""

    def __init__(self, connection: Connection[object], server: FakeServer | None, fake: FakeTransport) -> None:
        self.connection = connection
        self.server = server
        self._fake = fake

    def stall(self) -> None:
        if self.server is None:
            self._fake.stall()
        elif self.server.writable.is_set():
            self.server.wire.stall()
            self.server.wire.limit = -1  # every byte is too much
            self.server.wire.set_write_buffer_limits(-1)

    def resume(self) -> None:
        if self.server is None:
            self._fake.resume()
        else:
            self.server.wire.limit = 64 * 1024
            self.server.wire.resume()

    @property
    def received(self) -> list[str | bytes]:
        if self.server is None:
            return self._fake.taken
        return [frame.data.decode() for frame in split_frames(self.server.wire.received)]


class Crowd:
    """Connections with one gatherer; user ids are their numbers."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.gatherer = Gatherer(asyncio.get_running_loop())
        self._rooms: dict[tuple[int, ...], tuple[Connection[object], ...]] = {}

    async def add(self, kind: str, queue: QueueLimits, window_bits: int = 0) -> None:
        fake = DirectTransport() if kind == DIRECT else FakeTransport()
        server = FakeServer(window_bits=window_bits) if kind == WIRED else None
        if server is None:
            link = make_link(fake, queue=queue)
        else:
            link = await piped_link(server, queue=queue, gatherer=self.gatherer)
        connection = make_connection(link, user_id=str(len(self.members)))
        link.writer.refresh()  # which was admitted before there was a connection
        assert (connection.pipe is not None) is (kind == WIRED)
        self.members.append(Member(connection, server, fake))

    @property
    def connections(self) -> list[Connection[object]]:
        return [member.connection for member in self.members]

    def tell(
        self, message: str | bytes | Payload, *, overflow: Overflow = Overflow.CLOSE, exclude: Exclude = ()
    ) -> Delivery:
        delivery, _ = fan_out(
            self.connections, Payload.of(message), overflow=overflow, exclude=exclude, gathering=True
        )
        return delivery

    def room(self, *who: int) -> tuple[Connection[object], ...]:
        """Some of them: the very same snapshot at every call, as the registry's is."""
        return self._rooms.setdefault(who, tuple(self.connections[one] for one in who))

    def tell_room(self, message: str | Payload, *who: int) -> Delivery:
        return fan_out(self.room(*who), Payload.of(message), overflow=Overflow.CLOSE, gathering=True)[0]

    def batch(self, one: int) -> Batch | None:
        pipe = self.connections[one].pipe
        return None if pipe is None else pipe.batch

    @property
    def received(self) -> list[list[str | bytes]]:
        return [member.received for member in self.members]

    @property
    def writes(self) -> list[int]:
        """How often each server that takes frames was written to."""
        return [len(member.server.wire.writes) for member in self.members if member.server is not None]

    async def settle(self) -> None:
        """Everybody reads, until nothing waits."""
        for member in self.members:
            member.resume()
        for member in self.members:
            await member.connection.link.writer.join()
        await turns()

    async def finish(self) -> None:
        for member in self.members:
            await finished(member.connection.link)


@pytest.fixture
async def gather() -> AsyncIterator[Gather]:
    crowds: list[Crowd] = []

    async def gather(*kinds: str, queue: QueueLimits = UNBOUNDED) -> Crowd:
        crowds.append(Crowd())
        for kind in kinds:
            await crowds[-1].add(kind, queue)
        return crowds[-1]

    yield gather
    for crowd in crowds:
        await crowd.finish()


async def test_everyone_gets_a_broadcast_exactly_once(gather: Gather) -> None:
    crowd = await gather(WIRED, DIRECT, WIRED, STANDARD, WIRED)
    crowd.members[2].stall()
    assert [crowd.tell("a"), crowd.tell("b")] == [Delivery(queued=5), Delivery(queued=5)]
    assert crowd.received == [[], ["a", "b"], [], ["a", "b"], []]
    await crowd.settle()
    assert crowd.received == [["a", "b"]] * 5


async def test_a_turns_broadcasts_are_one_write_of_the_same_bytes(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    for text in "abc":
        crowd.tell(text)
    assert crowd.writes == [0, 0, 0]
    await turns(1)
    assert crowd.writes == [1, 1, 1]
    assert len({id(member.server.wire.writes[0]) for member in crowd.members if member.server}) == 1
    assert crowd.received == [["a", "b", "c"]] * 3


async def test_broadcasts_and_direct_sends_keep_their_order(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, STANDARD)
    crowd.members[1].stall()
    crowd.tell("1")
    for connection in crowd.connections:
        await connection.send("2")
    crowd.tell("3")
    assert crowd.connections[0].send_nowait("only")
    crowd.tell("4")
    await crowd.settle()
    assert crowd.received == [["1", "2", "3", "only", "4"], ["1", "2", "3", "4"], ["1", "2", "3", "4"]]


async def test_who_is_left_out_gets_what_comes_before_and_after(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, STANDARD, WIRED)
    crowd.tell("a")
    assert crowd.tell("b", exclude=crowd.connections[1]) == Delivery(queued=3)
    assert crowd.tell("c", exclude=[crowd.connections[2], crowd.connections[3]]) == Delivery(queued=2)
    crowd.tell("d")
    await turns(1)
    assert crowd.received == [["a", "b", "c", "d"], ["a", "c", "d"], ["a", "b", "d"], ["a", "b", "d"]]


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_who_has_something_already_shares_what_comes_with_its_equals(gather: Gather, first: int) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    await crowd.connections[first].send("own")
    crowd.tell("a")
    crowd.tell("b")
    await turns(1)
    assert crowd.received == [["own", "a", "b"] if number == first else ["a", "b"] for number in range(3)]
    assert crowd.writes == [1, 1, 1]


async def test_a_message_that_makes_a_batch_full_goes_out_at_once_and_once(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, STANDARD, WIRED)
    large = "x" * FULL
    crowd.tell("a")
    await crowd.connections[3].send("own")
    assert crowd.tell(large) == Delivery(queued=4)
    assert (crowd.writes, crowd.received[0]) == ([1, 1, 1], ["a", large])
    crowd.tell("b")
    await turns(2)
    assert crowd.received == [["a", large, "b"]] * 3 + [["a", "own", large, "b"]]
    assert crowd.writes == [2, 2, 2]


async def test_only_large_messages_are_written_one_by_one(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED)
    large = "x" * FULL
    for _ in range(3):
        crowd.tell(large)
    await turns(1)
    assert (crowd.received, crowd.writes) == ([[large] * 3] * 2, [3, 3])


async def test_a_crowd_of_all_windows_gets_everything_readable() -> None:
    crowd = Crowd()
    for window_bits in (0, 9, 12, 9, 0, 15):
        await crowd.add(WIRED, UNBOUNDED, window_bits)
    crowd.tell("a")
    crowd.tell("b" * 5000)
    await turns(2)
    compressed = [split_frames(one.server.wire.received)[1].compressed for one in crowd.members if one.server]
    assert compressed == [False, True, True, True, False, True]
    await crowd.finish()


async def test_gathered_messages_count_as_sent_at_once(gather: Gather) -> None:
    crowd = await gather(WIRED, STANDARD)
    for text in ("a", "bb"):
        crowd.tell(text)
    figures = [one.statistics() for one in crowd.connections]
    assert [(one.sent, one.sent_bytes, one.queued) for one in figures] == [(2, 3, 0)] * 2
    await turns(1)
    figures = [one.statistics() for one in crowd.connections]
    assert [(one.sent, one.sent_bytes, one.queued_bytes) for one in figures] == [(2, 3, 0)] * 2


async def test_what_became_of_it_is_counted_for_each_kind(gather: Gather) -> None:
    queue = QueueLimits(messages=1, close_timeout=SHORT)
    crowd = await gather(WIRED, WIRED, WIRED, DIRECT, STANDARD, queue=queue)
    for stalled in (1, 2, 4):
        crowd.members[stalled].stall()
    assert crowd.tell("a") == Delivery(queued=5)  # in flight to three
    assert crowd.tell("c", overflow=Overflow.DROP_NEWEST) == Delivery(queued=2, dropped=3)
    assert crowd.tell("d", overflow=Overflow.CLOSE) == Delivery(queued=2, closed=3)
    assert crowd.tell("e") == Delivery(queued=2)


async def test_a_client_whose_write_raises_keeps_nobody_from_theirs(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    server = crowd.members[1].server
    assert server is not None
    server.wire.error = OSError("reset")
    large = "x" * FULL
    crowd.tell(large)
    assert crowd.tell("a") == Delivery(queued=2)
    await turns(1)
    assert crowd.received == [[large, "a"], [], [large, "a"]]


async def test_a_full_buffer_makes_a_producer_pause_and_a_ready_one_does_not(gather: Gather) -> None:
    crowd = await gather(WIRED, queue=QueueLimits(messages=4, close_timeout=SHORT))
    _, pause = fan_out(crowd.connections, Payload("a"), overflow=Overflow.CLOSE, gathering=True)
    assert pause is None
    crowd.members[0].stall()
    await turns(1)
    pauses = [
        fan_out(crowd.connections, Payload("b"), overflow=Overflow.CLOSE, gathering=True)[1] for _ in range(4)
    ]
    assert pauses == [None, None, 0.0, 0.0]
    await crowd.settle()
    assert crowd.received == [["a", "b", "b", "b", "b"]]


async def test_a_crowd_is_written_a_few_turns_later_in_the_same_writes(gather: Gather) -> None:
    crowd = await gather(*[WIRED] * MANY)
    crowd.tell("a")
    await turns(1)
    crowd.tell("b")
    await turns(5)
    assert crowd.writes == [1] * MANY
    assert crowd.received == [["a", "b"]] * MANY


async def test_who_does_not_gather_is_asked_nothing_of_it() -> None:
    crowd = Crowd()
    await crowd.add(WIRED, UNBOUNDED)
    delivery, _ = fan_out(crowd.connections, Payload("a"), overflow=Overflow.CLOSE)
    await turns(1)
    assert (delivery, crowd.received) == (Delivery(queued=1), [["a"]])
    await crowd.finish()


async def test_what_a_room_hears_next_is_put_in_for_all_its_members_at_once(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    batches = []
    for text in "abc":
        assert crowd.tell_room(text, 0, 1, 2) == Delivery(queued=3)
        batches += [crowd.batch(one) for one in range(3)]
    assert batches[0] is not None
    assert batches == [batches[0]] * 9
    assert [one.statistics().sent for one in crowd.connections] == [3, 3, 3]
    await turns(1)
    assert (crowd.received, crowd.writes) == ([["a", "b", "c"]] * 3, [1, 1, 1])


async def test_who_was_told_the_same_message_elsewhere_hears_nothing_of_a_room(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, WIRED, WIRED)
    for _ in range(2):
        same = Payload("same")
        crowd.tell_room(same, 0)
        crowd.tell_room(same, 1, 2)
        crowd.tell_room(same, 3)
        crowd.tell_room("more", 1, 2)
        await turns(2)
    assert crowd.received == [["same"] * 2, ["same", "more"] * 2, ["same", "more"] * 2, ["same"] * 2]


async def test_who_was_told_last_what_a_room_was_told_next_has_missed_what_came_before(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    last = Payload("last")
    crowd.tell_room("first", 0, 1)
    crowd.tell_room(last, 0, 1)
    crowd.tell_room(last, 2)
    await turns(1)
    assert crowd.received == [["first", "last"], ["first", "last"], ["last"]]


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_who_takes_no_messages_any_more_gets_nothing_by_what_others_get(gather: Gather, part: int) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    crowd.tell_room("a", 0, 1, 2)
    crowd.connections[part].link.writer.refuse()
    crowd.tell_room("b", 0, 1, 2)
    crowd.tell_room("c", 0, 1, 2)
    await turns(1)
    assert crowd.received == [["a"] if one == part else ["a", "b", "c"] for one in range(3)]


async def test_who_does_not_gather_gets_all_that_a_room_hears(gather: Gather) -> None:
    crowd = await gather(WIRED, DIRECT, WIRED, STANDARD)
    for text in "abc":
        assert crowd.tell_room(text, 0, 1, 2, 3) == Delivery(queued=4)
    await crowd.settle()
    assert crowd.received == [["a", "b", "c"]] * 4


async def test_who_has_ended_is_not_counted_with_the_others(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    crowd.tell_room("a", 0, 1, 2)
    pipe = crowd.connections[1].pipe
    assert isinstance(pipe, GatheredTransport)
    pipe.ended()
    assert crowd.tell_room("b", 0, 1, 2) == Delivery(queued=2, dropped=1)


async def test_what_a_write_makes_a_room_hear_is_heard_by_all_of_it(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED)
    crowd.tell_room("a", 0, 1)
    crowd.tell_room("b", 1, 0)  # the same members, who came in another order
    pipe = crowd.connections[0].pipe
    assert pipe is not None
    write = pipe.write_frames

    def and_tell(data: object, /) -> None:
        pipe.write_frames = write
        write(data)
        crowd.tell_room("c", 1, 0)

    pipe.write_frames = and_tell
    await turns(3)
    assert crowd.received == [["a", "b", "c"]] * 2


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_who_was_written_to_before_the_others_goes_on_alone(gather: Gather, first: int) -> None:
    crowd = await gather(WIRED, WIRED, WIRED)
    crowd.tell_room("a", 0, 1, 2)
    pipe = crowd.connections[first].pipe
    assert pipe is not None
    pipe.flush()
    for text in "bc":
        crowd.tell_room(text, 0, 1, 2)
    await turns(1)
    assert crowd.received == [["a", "b", "c"]] * 3
    assert crowd.writes == [2 if one == first else 1 for one in range(3)]


async def test_a_room_that_hears_much_is_written_to_whenever_that_is_enough(gather: Gather) -> None:
    crowd = await gather(WIRED, WIRED)
    texts = [str(number) * (FULL // 10) for number in range(10)] * 3
    for text in texts:
        crowd.tell_room(text, 0, 1)
        assert all(one is None or one.size < FULL for one in map(crowd.batch, range(2)))
    await turns(1)
    assert crowd.received == [texts, texts]
    assert crowd.writes[0] > 1


SIZES = st.sampled_from([0, 1, 125, 126, 3000, FULL // 3, FULL])
ROOMS = st.sampled_from([(0, 1, 2), (0, 1), (1, 2), (2,), (0, 1, 2, 3, 4)])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["room", "room", "again"]), SIZES, ROOMS.map(set)),
    st.tuples(st.just("tell"), SIZES, st.sets(st.integers(0, 4))),
    st.tuples(st.just("send"), SIZES, st.sets(st.integers(0, 4), max_size=2)),
    st.tuples(st.sampled_from(["stall", "resume"]), st.just(0), st.sets(st.integers(0, 4), min_size=1)),
    st.tuples(st.just("turn"), st.integers(1, 5), st.just(set[int]())),
)


@settings(max_examples=examples(150), deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_whatever_happens_each_gets_all_of_its_messages_in_their_order(
    steps: list[tuple[str, int, set[int]]],
) -> None:
    async def run() -> None:
        crowd = Crowd()
        for kind in (WIRED, WIRED, WIRED, DIRECT, STANDARD):
            await crowd.add(kind, UNBOUNDED)
        expected: list[list[str]] = [[] for _ in crowd.members]
        last = Payload("")
        for number, (what, size, who) in enumerate(steps):
            text = f"{number}:".ljust(size, "x")
            if what == "turn":
                await turns(size)
            elif what in {"room", "again"}:
                last = last if what == "again" else Payload(text)
                assert crowd.tell_room(last, *sorted(who)) == Delivery(queued=len(who))
                for one in who:
                    expected[one].append(str(last.data))
            elif what == "tell":
                left_out = [crowd.connections[one] for one in who]
                assert crowd.tell(text, exclude=left_out) == Delivery(queued=5 - len(who))
                for one in set(range(5)) - who:
                    expected[one].append(text)
            for one in who if what in {"send", "stall", "resume"} else ():
                if what == "send":
                    assert crowd.connections[one].send_nowait(text)
                    expected[one].append(text)
                else:
                    getattr(crowd.members[one], what)()
        sent = [len(messages) for messages in expected]
        await crowd.settle()
        assert crowd.received == expected
        assert [one.statistics().sent for one in crowd.connections] == sent
        await crowd.finish()

    asyncio.run(run())
