"""Whatever happens between engine and process: what a member gets is a run without a gap, or it is told."""

import asyncio
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brokers.scale import examples
from fastapi_rooms import histories as module
from fastapi_rooms.history_ports import Resumed
from fastapi_rooms.position import Position
from unit.fakes import SOON
from unit.history_world import ROOM, Live, Member, World

MOST = 4


class Stay:
    """One membership, and what it must get.

    Attributes:
        member: Whose.
        since: The position that it brought.
        resumed: Where it begins; `None`: not yet.
        told_after: How much it had got before it was told.
        resuming: What finds out.
    """

    def __init__(self, world: World, member: Member, since: Position | None) -> None:
        self.on_join = world.history.on_join
        self.member = member
        self.since = since
        self.resumed: Resumed | None = None
        self.told_after = 0
        self.resuming = asyncio.create_task(self._resume(world))

    async def _resume(self, world: World) -> None:
        self.resumed = await world.resume(self.member, None if self.since is None else str(self.since))
        self.told_after = len(self.member.heard)

    def check(self) -> None:
        """What came is in order, and begins where it must."""
        heard = [Position(ROOM, *_parsed(text)) for text in self.member.heard]
        resumed = self.resumed
        if resumed is None:
            self._check_entry(heard)
            return
        before = heard[: self.told_after]
        self._check_entry(before)
        if resumed.recovered or (resumed.recovered is None and resumed.position is not None):
            assert not before or before[-1] == resumed.position
        if resumed.recovered:
            self._check_run(self.since, before)
        self._check_run(resumed.position, heard[self.told_after :])

    def _check_entry(self, heard: list[Position]) -> None:
        """What was missed; or some of it, and then the last ones, to which more may have been added."""
        start = next((number for number, one in enumerate(heard) if not self._follows(number, heard)), len(heard))
        if not self.on_join:
            assert start == len(heard)
        self._check_run(None, heard[start:])

    def _follows(self, number: int, heard: list[Position]) -> bool:
        before = heard[number - 1] if number else self.since
        if before is None:
            return not self.on_join
        return heard[number] == Position(ROOM, before.epoch, before.offset + 1)

    def _check_run(self, start: Position | None, heard: list[Position]) -> None:
        for before, one in zip([start, *heard], heard, strict=False):
            assert before is None or one == Position(ROOM, before.epoch, before.offset + 1)

    def place(self) -> Position | None:
        """What the client would bring back."""
        if self.resumed is not None and len(self.member.heard) == self.told_after:
            return self.resumed.position
        return Position(ROOM, *_parsed(self.member.heard[-1])) if self.member.heard else self.since


class HistoriesMachine(RuleBasedStateMachine):
    """One room of one process. Messages can be lost on their way to it, or late; the engine keeps a few."""

    @initialize(before=st.integers(0, 6), pauses=st.booleans(), on_join=st.sampled_from([0, 2, MOST]))
    def begin(self, before: int, pauses: bool, on_join: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "_WAITING", MOST)
        self.patch.setattr(module, "_PAUSE", 0.0)
        self.runner = asyncio.Runner()
        self.world = World(messages=MOST, on_join=on_join)
        self.world.pauses = pauses
        self.wire: deque[Live] = deque()
        self.seen: list[Live] = []
        self.stays: list[Stay] = []
        self.over: list[Stay] = []
        self.connected = True
        self.epochs = 0
        self.names = 0
        self.publish(before)

    @rule(count=st.integers(1, 6))
    def publish(self, count: int) -> None:
        for _ in range(count):
            live = self.world.say(f"{self.world.epoch}:{self.world.last + 1}")
            if self.connected:
                self.wire.extend(live)

    @rule(count=st.integers(1, 6))
    def messages_come(self, count: int) -> None:
        self.runner.run(self._come(count))

    @rule()
    def one_is_lost_on_its_way(self) -> None:
        if self.wire:
            self.wire.popleft()

    @rule(back=st.integers(1, 5))
    def one_comes_again(self, back: int) -> None:
        if self.connected and len(self.seen) >= back and self.seen[-back][0].epoch == self.world.epoch:
            self.runner.run(self.world.hear(self.seen[-back]))

    @precondition(lambda self: self.connected)
    @rule()
    def the_connection_is_lost(self) -> None:
        self.connected = False
        self.world.down = True
        self.wire.clear()

    @precondition(lambda self: not self.connected)
    @rule(early=st.booleans())
    def the_connection_is_back(self, early: bool) -> None:
        """With `early`, messages come a moment before all is said to be as it was."""
        self.runner.run(self._restore(early=early))

    @rule()
    def the_engine_loses_everything(self) -> None:
        self.epochs += 1
        self.world.begin_anew(f"e{self.epochs}")

    @rule(since=st.none() | st.integers(-2, 12), slow=st.booleans())
    def somebody_joins(self, since: int | None, slow: bool) -> None:
        position = None if since is None else Position(ROOM, self.world.epoch, max(0, self.world.last - since))
        self._join(position, slow=slow)

    @rule(which=st.integers(0, 5), again=st.booleans(), slow=st.booleans())
    def somebody_leaves(self, which: int, again: bool, slow: bool) -> None:
        if which < len(self.stays):
            stay = self.stays.pop(which)
            self.over.append(stay)
            self.world.leave(stay.member)
            if again:
                self._join(stay.place(), slow=slow)

    @rule()
    def those_who_were_closed_come_back(self) -> None:
        for stay in tuple(self.stays):
            if stay.member not in self.world.members:
                stay.check()
                self.stays.remove(stay)
                self.over.append(stay)
                self._join(stay.place(), slow=False)

    @rule()
    def slow_clients_read(self) -> None:
        self._open_gates()
        self.runner.run(_turns(3))

    @precondition(lambda self: self.stays)
    @rule(which=st.integers(0, 5), count=st.integers(0, 6), turns=st.none() | st.integers(1, 5))
    def a_queue_is_full_while_more_is_said(self, which: int, count: int, turns: int | None) -> None:
        """With `turns` it is soon half empty again."""
        member = self.stays[which % len(self.stays)].member
        member.half_empty.clear()
        self.publish(count)
        self.runner.run(self._come(len(self.wire)))
        if turns is not None:
            member.half_empty.set()
            self.runner.run(_turns(turns))

    @precondition(lambda self: any(not stay.member.half_empty.is_set() for stay in self.stays))
    @rule(which=st.integers(0, 5), turns=st.integers(0, 3))
    def a_queue_is_half_empty_again(self, which: int, turns: int) -> None:
        full = [stay.member for stay in self.stays if not stay.member.half_empty.is_set()]
        full[which % len(full)].half_empty.set()
        self.runner.run(_turns(turns))

    @rule(slow=st.booleans())
    def reads_are_slow(self, slow: bool) -> None:
        if slow and self.world.gate is None:
            self.world.gate = asyncio.Event()
        elif not slow and self.world.gate is not None:
            self.world.gate.set()
            self.world.gate = None
            self.runner.run(_turns(3))

    @rule(turns=st.integers(1, 5))
    def time_passes(self, turns: int) -> None:
        self.runner.run(_turns(turns))

    @rule()
    def an_empty_room_is_forgotten(self) -> None:
        if not self.world.members:
            self.world.histories.forget(ROOM)

    @invariant()
    def all_got_runs_without_a_gap(self) -> None:
        for stay in getattr(self, "stays", ()):
            stay.check()

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.runner.run(self._end())
        finally:
            self.runner.close()
            self.patch.undo()

    def _join(self, since: Position | None, *, slow: bool) -> None:
        self.names += 1
        member = Member(f"{self.names}")
        member.gate = asyncio.Event() if slow else None
        self.runner.run(self._enter(member, since))

    async def _enter(self, member: Member, since: Position | None) -> None:
        self.world.enter(member)
        self.stays.append(Stay(self.world, member, since))
        await asyncio.sleep(0)

    def _open_gates(self) -> None:
        for stay in (*self.stays, *self.over):
            if stay.member.gate is not None:
                stay.member.gate.set()

    def _empty_queues(self) -> None:
        for stay in (*self.stays, *self.over):
            stay.member.half_empty.set()

    async def _come(self, count: int) -> None:
        for _ in range(min(count, len(self.wire))):
            live = self.wire.popleft()
            self.seen.append(live)
            await self.world.hear(live)

    async def _restore(self, *, early: bool) -> None:
        self.connected = True
        self.world.down = False
        if early:
            self.wire.extend(self.world.say(f"{self.world.epoch}:{self.world.last + 1}"))
            await self._come(1)
        self.world.histories.restored()

    async def _end(self) -> None:
        """All is well again: everybody who is still there gets to the end."""
        await self._restore(early=False)
        if self.world.gate is not None:
            self.world.gate.set()
            self.world.gate = None
        self._open_gates()
        self._empty_queues()
        await self._come(len(self.wire))
        self.world.histories.restored()
        async with asyncio.timeout(SOON):
            await asyncio.gather(*(stay.resuming for stay in (*self.stays, *self.over)))
            while self.world.histories._tasks or self._again():  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0)
        for stay in self.stays:
            stay.check()
            if stay.member in self.world.members and stay.place() is not None:  # else nobody knew, and it was told
                assert stay.place() == Position(ROOM, self.world.epoch, self.world.last)
        await self.world.hear(*self.world.say(f"{self.world.epoch}:{self.world.last + 1}"))
        for member in self.world.members:
            assert member.heard[-1] == f"{self.world.epoch}:{self.world.last}"
        await self.world.histories.stop(SOON)

    def _again(self) -> bool:
        state = self.world.histories._rooms.get(ROOM)
        return state is not None and state.again is not None


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _parsed(text: str) -> tuple[str, int]:
    epoch, _, offset = text.partition(":")
    return epoch, int(offset)


TestHistories = HistoriesMachine.TestCase
TestHistories.settings = settings(max_examples=examples(200), stateful_step_count=40, deadline=None)
