"""A line delivers each message of a history once, in order, and keeps the last of them for who comes back."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from brokers.scale import examples
from fastapi_rooms.brokers.streams import Entry, Page, Place
from fastapi_rooms.line import Line, Past, Verdict, latest
from fastapi_rooms.payload import Payload

MOST = 5


def past(offset: int, previous: int, *, key: str | None = None) -> Past:
    return Past(offset, previous, Payload(str(offset)), key=key)


class LineMachine(RuleBasedStateMachine):
    """Against a model that keeps everything: `log`, the offsets of all messages there ever were."""

    @initialize(before=st.integers(0, 12), gaps=st.integers(1, 3))
    def begin(self, before: int, gaps: int) -> None:
        self.log: list[int] = []
        self.step = gaps
        for _ in range(before):
            self.publish()
        self.line = Line("e", self.log[-1] if self.log else 0, most=MOST)
        self.delivered_from = self.line.last

    def publish(self) -> Place:
        previous = self.log[-1] if self.log else 0
        self.log.append(previous + self.step)
        return Place("e", self.log[-1], previous)

    @rule()
    def the_next_one_comes(self) -> None:
        place = self.publish() if self.log[-1:] == [self.line.last] or not self.log else None
        if place is not None:
            assert self.line.verdict(place) is Verdict.NEXT
            self.line.add(past(place.offset, place.previous))

    @rule()
    def one_is_missed_and_the_one_after_it_comes(self) -> None:
        self.publish()
        place = self.publish()
        assert self.line.verdict(place) is Verdict.GAP
        for previous, offset in zip([0, *self.log], self.log, strict=False):
            if offset > self.line.last:
                self.line.add(past(offset, previous))

    @rule(back=st.integers(0, 8))
    def an_old_one_comes_again(self, back: int) -> None:
        if back < len(self.log):
            index = len(self.log) - 1 - back
            place = Place("e", self.log[index], self.log[index - 1] if index else 0)
            assert self.line.verdict(place) is Verdict.OLD

    @rule(kept=st.integers(0, 12))
    def it_looks_back(self, kept: int) -> None:
        newest = list(zip([0, *self.log], self.log, strict=False))[-kept:] if kept else []
        entries = [Entry(offset, previous, b"") for previous, offset in newest]
        page = Page("e", self.log[-1] if self.log else 0, entries)
        self.line.look_back(page, [past(entry.offset, entry.previous) for entry in entries])
        assert self.line.looked

    @rule()
    def another_epoch_is_a_gap(self) -> None:
        assert self.line.verdict(Place("other", self.line.last + 1, self.line.last)) is Verdict.GAP

    @invariant()
    def what_it_has_is_right_and_bounded(self) -> None:
        line = getattr(self, "line", None)
        if line is None:
            return
        for offset in [0, *self.log, *(one + 1 for one in self.log)]:
            found = line.after(offset)
            if found is not None:
                assert [one.offset for one in found] == [one for one in self.log if one > offset]
                assert len(found) <= MOST
        assert line.after(line.last) == []
        assert line.after(line.last + 1) is None


TestLine = LineMachine.TestCase
TestLine.settings = settings(max_examples=examples(150), stateful_step_count=30, deadline=None)


@given(st.integers(1, 20), st.integers(0, 20))
def test_a_page_has_all_after_what_it_goes_back_to(total: int, kept: int) -> None:
    entries = [Entry(offset, offset - 1, b"") for offset in range(max(1, total - kept + 1), total + 1)]
    page = Page("e", total, entries)
    for after in range(total + 2):
        missing = [offset for offset in range(after + 1, total + 1) if offset <= total - kept]
        assert page.has_all_after(after) == (not missing and after <= total)


def test_what_begins_anew_has_nothing_of_before() -> None:
    line = Line("e", 0, most=MOST)
    line.add(past(1, 0))
    line.begin("f", 7)
    assert (line.epoch, line.last, line.after(7), line.after(0), line.looked) == ("f", 7, [], None, False)


def test_a_page_of_another_epoch_is_not_looked_at() -> None:
    line = Line("e", 2, most=MOST)
    line.look_back(Page("f", 2, [Entry(1, 0, b""), Entry(2, 1, b"")]), [past(1, 0), past(2, 1)])
    assert not line.looked
    assert line.after(0) is None


@given(st.lists(st.sampled_from([None, "a", "b", "c"])), st.integers(0, 8))
def test_the_last_ones_are_so_many_or_one_of_each_key_in_their_order(keys: list[str | None], count: int) -> None:
    line = Line("e", 0, most=20)
    messages = [past(number + 1, number, key=key) for number, key in enumerate(keys)]
    for one in messages:
        line.add(one)
    kept = messages[-20:]
    assert latest(line.newest_first(), count) == kept[max(0, len(kept) - count) :]
    of_keys = latest(line.newest_first(), "keys")
    assert [one for one in kept if one in of_keys] == of_keys
    assert {one.key: one for one in of_keys} == {one.key: one for one in kept if one.key is not None}


def test_a_line_is_complete_when_it_is_full_or_has_looked_back() -> None:
    line = Line("e", 0, most=2)
    assert not line.complete
    for offset in (1, 2):
        line.add(past(offset, offset - 1))
    assert line.complete
    line.begin("e", 9)
    assert not line.complete
    line.look_back(Page("e", 9, []), [])
    assert line.complete
