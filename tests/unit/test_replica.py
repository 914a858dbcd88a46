"""What one process has said: taken in order, or known to be missing."""

import pytest

from fastapi_rooms import replica as module
from fastapi_rooms.presence_wire import Change
from fastapi_rooms.replica import Replica


def change(after: int, clock: int, *connections: str, part: int = 0, more: bool = False) -> Change:
    return Change(after, clock, [(one, "ann", {}, None) for one in connections], part=part, more=more)


def replica_at(clock: int) -> Replica:
    replica = Replica()
    assert replica.take(change(0, clock)) == [change(0, clock)]
    return replica


def names(changes: list[Change] | None) -> list[list[str]] | None:
    return None if changes is None else [[put[0] for put in one.put] for one in changes]


def test_changes_that_follow_each_other_are_taken_as_they_come() -> None:
    replica = Replica()
    for one in (change(0, 3, "a"), change(3, 5, "b"), change(5, 6)):
        assert (replica.take(one), replica.clock, replica.behind) == ([one], one.clock, False)


def test_one_that_came_before_its_turn_waits_for_what_is_missing() -> None:
    replica = replica_at(1)
    assert (replica.take(change(3, 4, "c")), replica.behind) == ([], True)
    assert (replica.take(change(2, 3, "b")), replica.behind) == ([], True)
    assert names(replica.take(change(1, 2, "a"))) == [["a"], ["b"], ["c"]]
    assert (replica.clock, replica.behind) == (4, False)


@pytest.mark.parametrize("old", [change(3, 4), change(4, 5), change(5, 5), change(0, 2)])
def test_what_is_known_already_is_not_taken_again(old: Change) -> None:
    replica = replica_at(5)
    assert (replica.take(old), replica.clock, replica.behind) == ([], 5, False)


def test_that_nothing_has_changed_tells_who_lacks_something() -> None:
    replica = replica_at(5)
    replica.take(change(7, 7))
    assert replica.behind
    unknown = Replica()
    unknown.take(change(7, 7))
    assert (unknown.behind, unknown.clock) == (True, None)


def test_that_nothing_has_changed_may_come_before_what_has() -> None:
    replica = replica_at(5)
    replica.take(change(6, 6))
    assert names(replica.take(change(5, 6, "a"))) == [["a"]]
    assert not replica.behind


def test_a_process_that_had_nobody_begins_anew_whatever_was_missed() -> None:
    replica = replica_at(5)
    replica.take(change(7, 8, "lost before it"))
    assert names(replica.take(change(0, 11, "a"))) == [["a"]]
    assert (replica.clock, replica.behind) == (11, False)


def test_a_beginning_that_is_not_all_has_to_be_asked_for() -> None:
    replica = Replica()
    assert (replica.take(change(0, 3, "a", more=True)), replica.behind) == ([], True)
    assert names(replica.take_all(change(0, 4, "a", "b"))) == [["a", "b"]]
    assert not replica.behind


def test_an_answer_is_followed_by_what_came_before_it() -> None:
    replica = replica_at(1)
    replica.asked = 1.0
    replica.take(change(3, 4, "new"))
    replica.take(change(2, 3, "in the answer"))
    assert names(replica.take_all(change(0, 3, "all"))) == [["all"], ["new"]]
    assert (replica.clock, replica.behind) == (4, False)
    assert replica.asked is None


def test_an_answer_that_is_older_than_what_is_known_says_nothing() -> None:
    replica = replica_at(5)
    replica.asked = 1.0
    assert (replica.take_all(change(0, 4, "gone")), replica.clock) == ([], 5)
    assert replica.asked is None


def test_an_answer_of_what_is_known_says_it_again() -> None:
    replica = replica_at(5)
    assert names(replica.take_all(change(0, 5, "a"))) == [["a"]]


def test_an_answer_in_parts_is_one() -> None:
    replica = replica_at(1)
    replica.asked = 1.0
    assert replica.take_all(change(0, 4, "a", part=0, more=True)) is None
    assert replica.take_all(change(0, 4, "b", part=1, more=True)) is None
    assert (replica.clock, replica.asked) == (1, 1.0)
    assert names(replica.take_all(change(0, 4, "c", part=2))) == [["a", "b", "c"]]
    assert replica.clock == 4
    assert replica.asked is None


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_an_answer_of_which_a_part_was_lost_is_none_and_the_next_one_is(lost: int) -> None:
    parts = [change(0, 4, f"{part}", part=part, more=part < 2) for part in range(3)]
    replica = replica_at(1)
    came = [replica.take_all(one) for one in parts if one.part != lost]
    assert (came, replica.clock) == ([None, None], 1)
    assert [names(replica.take_all(one)) for one in parts] == [None, None, [["0", "1", "2"]]]


def test_parts_of_two_answers_are_not_one() -> None:
    replica = replica_at(1)
    assert replica.take_all(change(0, 4, "a", part=0, more=True)) is None
    assert replica.take_all(change(0, 6, "b", part=1)) is None
    assert replica.clock == 1


def test_what_waits_is_bounded_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 2)
    replica = replica_at(1)
    for clock in (3, 4, 5):
        replica.take(change(clock, clock + 1, f"{clock}"))
    assert names(replica.take_all(change(0, 4, "all"))) == [["all"], ["4"], ["5"]]


def test_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PARTS", 2)
    replica = replica_at(1)
    parts = [change(0, 4, f"{part}", part=part, more=part < 2) for part in range(3)]
    assert [replica.take_all(one) for one in parts] == [None, None, None]
    assert replica.clock == 1
