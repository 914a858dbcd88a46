"""What happens at one process, as another one hears it."""

import itertools
from collections.abc import Iterable

import pytest

from fastapi_rooms import attendance as module
from fastapi_rooms.attendance import Attendance
from fastapi_rooms.options import Presence
from fastapi_rooms.presence_wire import Change, read, write

POLICY = Presence(grace=10.0, ttl=60.0, refresh=25.0)


def attendance_of(process: str = "p", policy: Presence = POLICY) -> Attendance:
    return Attendance(policy, process, itertools.count(1))


def said(attendance: Attendance) -> list[Change]:
    """What it says now, as it comes."""
    return [read(write(one)) for one in iter(attendance.change, None)]


def hear(attendance: Attendance, changes: Iterable[Change], now: float = 0.0, *, process: str = "p") -> None:
    for change in changes:
        attendance.came(process, change, now)


def hear_all(attendance: Attendance, parts: Iterable[Change], now: float = 0.0, *, process: str = "p") -> bool:
    return [attendance.came_all(process, read(write(one)), now) for one in parts][-1]


def present(attendance: Attendance) -> dict[str, list[str]]:
    users = attendance.roster.view().users
    return {user: [one.id for one in its] for user, its in users.items()}


@pytest.fixture
def near() -> Attendance:
    return attendance_of("p")


@pytest.fixture
def far() -> Attendance:
    return attendance_of("q")


# What is said.


def test_who_has_nothing_to_say_says_nothing(near: Attendance) -> None:
    assert (near.change(), near.refresh(), near.here) == (None, None, False)
    near.leave("1", on_purpose=True, now=0.0)
    assert near.change() is None


def test_each_change_names_the_one_before_it(near: Attendance) -> None:
    near.enter("1", "ann", {"mood": "good"})
    assert near.here
    (first,) = said(near)
    assert (first.after, first.clock, first.put) == (0, 1, [("1", "ann", {"mood": "good"}, None)])
    near.leave("1", on_purpose=False, now=0.0)
    (second,) = said(near)
    assert (second.after, second.clock, second.put, second.drop) == (1, 2, [], [("1", None)])
    assert near.refresh() == Change(2, 2)
    assert near.here


def test_rooms_of_a_process_count_together_so_that_one_which_was_forgotten_is_not_older() -> None:
    numbers = itertools.count(1)
    before, after = (Attendance(POLICY, "p", numbers) for _ in range(2))
    before.enter("1", "ann", {})
    after.enter("2", "ann", {})
    assert [one.clock for one in (*said(before), *said(after))] == [1, 2]


def test_what_happened_since_is_said_at_once_the_last_of_each_connection(near: Attendance) -> None:
    near.enter("1", "ann", {})
    near.enter("1", "ann", {"mood": "good"})
    near.enter("2", "bob", {})
    near.leave("2", on_purpose=True, now=0.0)
    (change,) = said(near)
    assert (change.put, change.drop) == ([("1", "ann", {"mood": "good"}, None)], [("2", "bob")])


def test_many_are_said_in_several_messages(near: Attendance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    for number in range(5):
        near.enter(f"{number}", "ann", {})
    changes = said(near)
    assert [(one.after, one.clock, len(one.put), one.more) for one in changes] == [
        (0, 1, 2, True),
        (1, 2, 2, False),
        (2, 3, 1, False),
    ]


@pytest.mark.parametrize(("count", "parts"), [(0, 1), (1, 1), (2, 1), (3, 2), (5, 3)])
def test_all_that_a_process_has_comes_in_parts_that_are_one(
    count: int, parts: int, near: Attendance, far: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    for number in range(count):
        near.enter(f"{number}", f"user {number}", {})
    said(near)
    everything = near.everything(0.0)
    assert len(everything) == parts
    assert hear_all(far, everything)
    assert len(far.roster) == count


# What is heard.


def test_another_process_has_who_is_here(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {"mood": "good"})
    hear(far, said(near))
    assert far.roster.view() == near.roster.view()
    near.leave("1", on_purpose=True, now=0.0)
    hear(far, said(near))
    assert (len(near.roster), len(far.roster)) == (0, 0)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one change", "in several"])
def test_a_page_that_is_loaded_anew_is_seen_by_nobody(at_once: bool, near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    assert near.roster.diff()
    assert far.roster.diff()
    near.leave("1", on_purpose=False, now=1.0)
    if not at_once:
        hear(far, said(near), 1.0)
    near.enter("2", "ann", {})
    hear(far, said(near), 1.0)
    assert (near.roster.diff(), far.roster.diff()) == (None, None)
    assert present(near) == present(far) == {"ann": ["2"]}


def test_who_comes_back_and_leaves_on_purpose_before_that_is_said_is_gone_everywhere(
    near: Attendance, far: Attendance
) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    near.leave("1", on_purpose=False, now=0.0)
    hear(far, said(near))
    assert present(near) == present(far) == {"ann": ["1"]}
    near.enter("2", "ann", {})
    near.leave("2", on_purpose=True, now=1.0)
    hear(far, said(near), 1.0)
    assert (present(near), present(far)) == ({}, {})
    assert not near.here


def test_who_comes_back_at_another_process_was_never_away(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    far.roster.diff()
    near.leave("1", on_purpose=False, now=0.0)
    hear(far, said(near))
    far.enter("2", "ann", {})
    hear(near, said(far), process="q")
    for one in (near, far):
        one.expire(100.0)
        assert one.roster.stay("q" if one is near else "p", "1") is None
    assert present(far) == {"ann": ["2"]}
    assert far.roster.diff() is None


def test_who_left_without_a_word_lingers_for_the_grace_at_each_process(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    near.leave("1", on_purpose=False, now=5.0)
    near.leave("1", on_purpose=False, now=9.0)
    hear(far, said(near), 6.0)
    assert (near.due(), far.due()) == (15.0, 16.0)
    near.expire(14.0)
    far.expire(15.0)
    assert present(near) == present(far) == {"ann": ["1"]}
    near.expire(15.0)
    far.expire(16.0)
    assert (near.here, present(near), present(far)) == (False, {}, {})


def test_one_that_lingers_may_still_leave_on_purpose(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    near.leave("1", on_purpose=False, now=0.0)
    hear(far, said(near))
    near.leave("1", on_purpose=True, now=1.0)
    hear(far, said(near))
    assert (present(near), present(far)) == ({}, {})


def test_without_a_grace_everybody_goes_at_once() -> None:
    near, far = (attendance_of(process, Presence(grace=0)) for process in "pq")
    near.enter("1", "ann", {})
    hear(far, said(near))
    near.leave("1", on_purpose=False, now=0.0)
    hear(far, said(near))
    assert (present(near), present(far)) == ({}, {})


def test_who_lingers_at_a_process_that_is_asked_lingers_as_long_at_who_asks(
    near: Attendance, far: Attendance
) -> None:
    near.enter("1", "ann", {})
    near.enter("2", "bob", {})
    near.leave("2", on_purpose=False, now=0.0)
    hear_all(far, near.everything(4.0), 100.0)
    assert far.roster.due() == 106.0
    assert present(far) == {"ann": ["1"], "bob": ["2"]}
    hear_all(far, near.everything(50.0), 101.0)
    assert far.roster.due() == 101.0


def test_a_change_that_was_lost_is_noticed_at_the_next_and_asked_for_once(
    near: Attendance, far: Attendance
) -> None:
    near.enter("1", "ann", {})
    said(near)
    near.enter("2", "bob", {})
    assert not far.asks("p", 0.0, again_after=3.0)
    hear(far, said(near))
    assert present(far) == {}
    assert far.asks("p", 0.0, again_after=3.0)
    assert not far.asks("p", 2.9, again_after=3.0)
    assert far.asks("p", 3.0, again_after=3.0)
    assert hear_all(far, near.everything(3.0), 3.0)
    assert present(far) == {"ann": ["1"], "bob": ["2"]}
    assert not far.asks("p", 10.0, again_after=3.0)


def test_a_change_that_was_lost_is_noticed_when_nothing_changes(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    said(near)
    refresh = near.refresh()
    assert refresh is not None
    hear(far, [refresh])
    assert far.asks("p", 0.0, again_after=3.0)
    hear_all(far, near.everything(0.0))
    hear(far, [refresh])
    assert not far.asks("p", 10.0, again_after=3.0)


def test_what_a_process_has_said_before_it_forgot_the_room_is_over_when_it_begins_anew(far: Attendance) -> None:
    numbers = itertools.count(1)
    before, after = (Attendance(POLICY, "p", numbers) for _ in range(2))
    before.enter("1", "ann", {})
    hear(far, said(before))
    after.enter("2", "bob", {})
    hear(far, said(after))
    assert far.due() == 10.0
    far.expire(10.0)
    assert present(far) == {"bob": ["2"]}


def test_a_process_that_was_never_told_of_anything_here_answers_nobody_and_is_believed(far: Attendance) -> None:
    numbers = itertools.count(1)
    before, after = (Attendance(POLICY, "p", numbers) for _ in range(2))
    before.enter("1", "ann", {})
    hear(far, said(before))
    assert hear_all(far, after.everything(0.0))
    far.expire(10.0)
    assert present(far) == {}


def test_hello_says_what_is_known_and_who_has_something_new_knows_it(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hello = read(write(far.hello()))
    assert hello.known is not None
    assert not near.is_news(hello.known)  # nothing was said yet
    changes = said(near)
    assert near.is_news(hello.known)
    hear(far, changes)
    known = far.hello().known
    assert known is not None
    assert known == {"p": 1}
    assert not near.is_news(known)
    assert attendance_of("p").is_news(known)
    lost = read(write(near.hello()))
    other = attendance_of("r")
    hear(other, [lost])
    assert other.asks("p", 0.0, again_after=3.0)
    assert other.hello().known == {"p": 0}


def test_hello_of_a_process_with_nobody_harms_nobody(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    hear(far, [attendance_of("r").hello()], process="r")
    assert present(far) == {"ann": ["1"]}
    assert not far.asks("r", 0.0, again_after=3.0)


# Processes that end.


def test_the_people_of_a_process_that_ends_have_the_grace_to_come_back(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    near.enter("2", "bob", {})
    hear(far, said(near))
    far.roster.diff()
    far.goodbye("p", 5.0)
    far.enter("3", "ann", {})
    assert far.due() == 15.0
    assert far.roster.diff() is None
    far.expire(15.0)
    assert present(far) == {"ann": ["3"]}


def test_a_grace_longer_than_the_ttl_is_kept_after_a_goodbye_too(near: Attendance) -> None:
    far = attendance_of("q", Presence(grace=100.0, ttl=60.0))
    near.enter("1", "ann", {})
    hear(far, said(near))
    far.goodbye("p", 5.0)
    far.expire(104.9)
    assert present(far) == {"ann": ["1"]}
    far.expire(105.0)
    assert present(far) == {}


def test_the_people_of_a_process_that_is_not_heard_go_after_the_ttl(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near), 1.0)
    assert far.due() == 61.0
    hear(far, [Change(1, 1)], 50.0)
    far.expire(61.0)
    assert (present(far), far.due()) == ({"ann": ["1"]}, 110.0)
    far.believe(100.0)
    far.expire(159.9)
    assert present(far) == {"ann": ["1"]}
    far.expire(160.0)
    assert (present(far), far.due()) == ({}, None)
    hear(far, [Change(1, 1)], 161.0)
    assert far.asks("p", 161.0, again_after=3.0)


def test_what_is_due_first_counts(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    far.enter("2", "bob", {})
    far.leave("2", on_purpose=False, now=0.0)
    assert far.due() == 10.0
    far.leave("2", on_purpose=True, now=0.0)
    far.expire(10.0)
    assert far.due() == 60.0


def test_who_wants_to_know_no_more_forgets_others_those_that_linger_too(near: Attendance, far: Attendance) -> None:
    near.enter("1", "ann", {})
    hear(far, said(near))
    hear_all(far, [Change(0, 1, [("9", "dot", {}, None)])], process="r")
    far.goodbye("r", 0.0)
    far.enter("2", "bob", {})
    far.leave("2", on_purpose=False, now=0.0)
    far.forget_others()
    assert present(far) == {"bob": ["2"]}
    assert far.here
    far.roster.diff()
    hear_all(far, near.everything(0.0))
    assert present(far) == {"bob": ["2"], "ann": ["1"]}


def test_processes_in_a_room_are_bounded(far: Attendance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REPLICAS", 1)
    change = Change(0, 1, [("1", "ann", {}, None)])
    hear(far, [change])
    hear(far, [change], process="r")
    assert hear_all(far, [change], process="s")
    assert present(far) == {"ann": ["1"]}
    assert not far.asks("r", 0.0, again_after=0.0)
