"""Whatever is lost or late between processes: all know the same in the end, and nobody goes who is there."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from brokers.scale import examples
from fastapi_rooms import attendance as module
from unit.attendance_world import ASK_AGAIN, POLICY, Place, Process, Story

MOST = 2
PROCESSES = 3

indices = st.integers(0, PROCESSES - 1)
picks = st.integers(0, 7)
users = st.sampled_from(["ann", "bob", "cid"])
moods = st.sampled_from([{}, {"mood": "good"}])
whiches = st.sampled_from(["room", "own"])


class AttendanceMachine(RuleBasedStateMachine):
    """Three processes. What one says to another may be lost, or late, but not out of order on one channel."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "MOST", MOST)
        self.story = Story(PROCESSES)
        self.known: dict[str, set[Place]] = {}

    @rule(index=indices, user=users, metadata=moods, count=st.integers(1, 4))
    def somebody_enters(self, index: int, user: str, metadata: dict[str, object], count: int) -> None:
        for _ in range(count):
            self.story.enter(self.story.processes[index], user, metadata)

    @rule(index=indices, pick=picks, metadata=moods)
    def somebodys_metadata_changes(self, index: int, pick: int, metadata: dict[str, object]) -> None:
        process = self.story.processes[index]
        if pick < len(process.live):
            self.story.update(process, list(process.live)[pick], metadata)

    @rule(index=indices, pick=picks, on_purpose=st.booleans())
    def somebody_leaves(self, index: int, pick: int, on_purpose: bool) -> None:
        process = self.story.processes[index]
        if pick < len(process.live):
            self.story.leave(process, list(process.live)[pick], on_purpose=on_purpose)

    @rule(index=indices, lost=st.sets(indices))
    def changes_are_said(self, index: int, lost: set[int]) -> None:
        names = [self.story.processes[one].name for one in lost]
        self.story.say(self.story.processes[index], lost=names)

    @rule(index=indices)
    def a_process_refreshes(self, index: int) -> None:
        self.story.refresh(self.story.processes[index])

    @rule(index=indices, source=picks, which=whiches, count=st.integers(1, 5))
    def messages_come(self, index: int, source: int, which: str, count: int) -> None:
        for _ in range(count):
            self.story.deliver(self._source(source), self.story.processes[index], which)

    @rule(index=indices, source=picks, which=whiches)
    def a_message_is_lost(self, index: int, source: int, which: str) -> None:
        self.story.lose(self._source(source), self.story.processes[index], which)

    @rule(lost=st.lists(st.booleans(), max_size=8), first=whiches)
    def most_messages_come(self, lost: list[bool], first: str) -> None:
        self.story.deliver_all(lost=lost, first=first)

    @rule(index=indices, lost=st.lists(st.booleans(), max_size=8), first=whiches, hello=st.booleans())
    def a_process_says_where_it_is(self, index: int, lost: list[bool], first: str, hello: bool) -> None:
        process = self.story.processes[index]
        self.story.say(process)
        (self.story.hello if hello else self.story.refresh)(process)
        self.story.deliver_all(lost=lost, first=first)

    @rule(by=st.integers(1, 5))
    def time_passes(self, by: int) -> None:
        self.story.pass_time(by)

    @rule(index=indices)
    def an_empty_room_is_forgotten(self, index: int) -> None:
        process = self.story.processes[index]
        if not process.live and process.watched:
            self.story.forget(process)
            self.known.pop(process.name, None)

    @rule(index=indices)
    def a_process_hears_nothing(self, index: int) -> None:
        self.story.go_down(self.story.processes[index])

    @rule(index=indices)
    def it_hears_again(self, index: int) -> None:
        if self.story.processes[index].down:
            self.story.come_back(self.story.processes[index])

    @rule(index=indices, goodbye=st.booleans())
    def a_process_ends(self, index: int, goodbye: bool) -> None:
        self.story.end(self.story.processes[index], goodbye=goodbye)

    @invariant()
    def who_is_there_and_known_stays_while_their_process_is_heard(self) -> None:
        story = getattr(self, "story", None)
        if story is None:
            return
        truth = story.truth
        for process in story.processes:
            seen = process.seen(story.names)
            for place in self.known.get(process.name, ()):
                if place in truth and not story.may_expire(process, place[0]):
                    assert place in seen
                    assert seen[place][2] is None
            self.known[process.name] = {place for place, its in seen.items() if its[2] is None}

    @invariant()
    def who_is_here_is_known_here(self) -> None:
        for process in self._processes():
            seen = process.seen([process.name])
            for connection, (user, metadata) in process.live.items():
                assert seen[process.name, connection] == (user, metadata, None)

    @invariant()
    def only_those_linger_who_have_ended_and_for_the_grace_at_least(self) -> None:
        for process in self._processes():
            for place, (_, _, due) in process.seen(self.story.names).items():
                if due is not None:
                    assert due >= self.story.ended[place] + POLICY.grace

    @invariant()
    def nobody_lingers_for_longer_than_the_grace_from_when_it_was_heard(self) -> None:
        for process in self._processes():
            for _, _, due in process.seen(self.story.names).values():
                assert due is None or due <= self.story.now + POLICY.grace

    def teardown(self) -> None:
        if not hasattr(self, "story"):
            return
        try:
            self._end()
        finally:
            self.patch.undo()

    def _end(self) -> None:
        """All is well again: everybody who listens knows everybody, and in the end nobody else."""
        story = self.story
        for process in story.processes:
            if process.down:
                story.come_back(process)
        for _ in range(2):  # what was asked for a moment ago is not asked for again at once
            self._settle()
            story.pass_time(ASK_AGAIN)
            self._check_safety()
        truth = story.truth
        for process in story.processes:
            if process.watched:
                seen = process.seen(story.names)
                assert {place: seen.get(place) for place in truth} == {
                    place: (*its, None) for place, its in truth.items()
                }
        for _ in range(6):
            self._settle()
            story.pass_time(POLICY.refresh)
            self._check_safety()
        views = []
        for process in story.processes:
            if process.watched:
                seen = process.seen(story.names)
                assert {place: its[:2] for place, its in seen.items()} == truth
                users = process.attendance.roster.view().users
                views.append({user: sorted(str(one.metadata) for one in its) for user, its in users.items()})
        assert all(view == views[0] for view in views)

    def _settle(self) -> None:
        for process in self.story.processes:
            self.story.say(process)
            self.story.hello(process)
        self.story.deliver_all()

    def _check_safety(self) -> None:
        self.who_is_there_and_known_stays_while_their_process_is_heard()
        self.only_those_linger_who_have_ended_and_for_the_grace_at_least()

    def _processes(self) -> list[Process]:
        return self.story.processes if hasattr(self, "story") else []

    def _source(self, pick: int) -> str:
        """One that ran lately."""
        return self.story.names[-1 - pick % len(self.story.names)]


TestAttendance = AttendanceMachine.TestCase
TestAttendance.settings = settings(max_examples=examples(400), stateful_step_count=60, deadline=None)
