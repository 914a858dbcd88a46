"""Who is present: tabs are people, who lingers stands in, and diffs are differences between what was told."""

import pytest

from fastapi_rooms.presence import People, PresenceDiff, PresenceView
from fastapi_rooms.roster import Roster, Stay
from unit.presence_client import Client, tabs

PROCESSES = ("p", "q")
USERS = ("ann", "bob", "cid", "dot")


def roster_of(*live: str, listed: int | None = None) -> Roster:
    """Everybody at process `p`, with a connection of the same name, and told of."""
    roster = Roster(listed=listed)
    for user in live:
        roster.put("p", stay(user))
    roster.diff()
    return roster


def stay(user: str, *, connection: str | None = None, due: float | None = None, **metadata: object) -> Stay:
    return Stay(connection or user, user, metadata, due)


def ids(people: People) -> dict[str, list[str]]:
    return {user: [present.id for present in its] for user, its in people.items()}


def told(diff: PresenceDiff | None) -> PresenceDiff:
    assert diff is not None
    return diff


# People and their tabs.


def test_two_tabs_are_one_person() -> None:
    roster = roster_of("ann")
    roster.put("p", stay("ann", connection="tab"))
    roster.put("q", stay("ann", connection="phone"))
    diff = told(roster.diff())
    assert (len(roster), diff.count) == (1, 1)
    assert ids(diff.updates) == {"ann": ["ann", "tab", "phone"]}
    assert (diff.joins, diff.leaves) == ({}, {})


def test_two_processes_may_use_the_same_id_for_a_connection() -> None:
    roster = roster_of("ann")
    roster.put("q", stay("bob", connection="ann"))
    roster.drop("q", "ann")
    assert ids(roster.view().users) == {"ann": ["ann"]}


def test_who_lingers_is_present_until_due_and_not_longer() -> None:
    roster = roster_of("ann")
    roster.linger("p", "ann", 10.0)
    assert (roster.due(), roster.diff()) == (10.0, None)
    roster.expire(9.9)
    assert (len(roster), roster.diff()) == (1, None)
    roster.expire(10.0)
    assert (len(roster), roster.due()) == (0, None)
    assert ids(told(roster.diff()).leaves) == {"ann": ["ann"]}


def test_one_tab_that_lingers_out_is_an_update_and_no_leave() -> None:
    roster = roster_of("ann")
    roster.put("p", stay("ann", connection="tab", name="x"))
    roster.diff()
    roster.linger("p", "ann", 10.0)
    roster.expire(10.0)
    diff = told(roster.diff())
    assert (tabs(diff.updates), diff.leaves, diff.count) == ({"ann": [{"name": "x"}]}, {}, 1)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_next_connection_of_a_user_takes_the_place_of_one_that_lingers_and_nobody_sees_it(
    process: str,
) -> None:
    roster = roster_of("ann", "bob")
    roster.linger("p", "ann", 10.0)
    roster.put(process, stay("ann", connection="again"))
    assert roster.diff() is None
    assert ids(roster.view().users) == {"ann": ["again"], "bob": ["bob"]}
    assert roster.stay("p", "ann") is None
    roster.expire(10.0)
    assert roster.diff() is None


def test_it_takes_the_place_of_the_one_that_was_the_same_in_its_place() -> None:
    roster = roster_of()
    for name in ("one", "two", "three"):
        roster.put("p", stay("ann", connection=name, tab=name))
    roster.linger_all("p", 10.0)
    roster.diff()
    roster.put("p", stay("ann", connection="again", tab="two"))
    assert roster.diff() is None
    assert ids(roster.view().users) == {"ann": ["one", "again", "three"]}


def test_where_none_was_the_same_it_takes_the_place_of_the_oldest_that_lingers() -> None:
    roster = roster_of()
    for name in ("live", "old", "new"):
        roster.put("p", stay("ann", connection=name, tab=name))
    for name in ("new", "old"):
        roster.linger("p", name, 10.0)
    roster.diff()
    roster.put("p", stay("ann", connection="again", tab="again"))
    assert ids(told(roster.diff()).updates) == {"ann": ["live", "again", "new"]}


def test_a_connection_that_is_there_gives_its_place_to_nobody() -> None:
    roster = roster_of("ann")
    roster.put("q", stay("ann", connection="tab"))
    assert ids(roster.view().users) == {"ann": ["ann", "tab"]}


def test_one_that_lingers_takes_nobodys_place() -> None:
    roster = roster_of("ann")
    roster.linger("p", "ann", 10.0)
    roster.put("q", stay("ann", connection="late", due=5.0))
    assert ids(roster.view().users) == {"ann": ["ann", "late"]}
    assert roster.due() == 5.0


def test_a_connection_that_lingered_is_there_again_when_it_is_said_to_be() -> None:
    roster = roster_of("ann")
    roster.linger("p", "ann", 10.0)
    roster.put("p", stay("ann"))
    roster.expire(10.0)
    assert len(roster) == 1


def test_who_lingers_already_lingers_no_longer_for_being_told_again() -> None:
    roster = roster_of("ann")
    roster.linger("p", "ann", 10.0)
    roster.linger("p", "ann", 20.0)
    roster.linger("p", "nobody", 5.0)
    assert roster.due() == 10.0
    roster.expire(10.0)
    assert not len(roster)


def test_a_connection_that_is_another_users_now_is_the_first_ones_no_more() -> None:
    roster = roster_of("ann")
    roster.put("p", stay("bob", connection="ann"))
    diff = told(roster.diff())
    assert (ids(diff.leaves), ids(diff.joins)) == ({"ann": ["ann"]}, {"bob": ["ann"]})


# Leaving on purpose.


def test_who_leaves_on_purpose_goes_at_once_and_so_do_tabs_that_linger() -> None:
    roster = roster_of("ann", "bob")
    roster.put("q", stay("ann", connection="tab"))
    roster.linger("q", "tab", 10.0)
    roster.drop("p", "ann")
    assert ids(roster.view().users) == {"bob": ["bob"]}
    assert list(roster.stays("q")) == []
    assert told(roster.diff()).leaves.keys() == {"ann"}


def test_tabs_that_are_there_stay_when_another_leaves_on_purpose_and_so_do_those_that_linger_beside_them() -> None:
    roster = roster_of("ann")
    for name in ("live", "away"):
        roster.put("q", stay("ann", connection=name))
    roster.linger("q", "away", 10.0)
    roster.drop("p", "ann")
    assert ids(roster.view().users) == {"ann": ["live", "away"]}
    roster.drop("q", "live")
    assert len(roster) == 0


def test_who_came_and_left_on_purpose_before_anything_was_heard_takes_those_that_linger_with_it() -> None:
    roster = roster_of("ann", "bob")
    roster.linger("p", "ann", 10.0)
    roster.drop("q", "never-heard-of", "ann")
    roster.drop("q", "nor-this", "bob")
    roster.drop("q", "nor-this")
    assert ids(roster.view().users) == {"bob": ["bob"]}


# What a process says of all it has.


def test_what_a_process_does_not_name_any_more_lingers() -> None:
    roster = roster_of("ann", "bob")
    roster.put("q", stay("cid"))
    roster.replace("p", [stay("bob"), stay("dot")], 10.0)
    assert [one.connection for one in roster.stays("p") if one.due is None] == ["bob", "dot"]
    assert roster.due() == 10.0
    roster.expire(10.0)
    assert roster.view().users.keys() == {"bob", "cid", "dot"}


def test_the_people_of_a_process_that_says_goodbye_linger_and_those_of_one_that_is_gone_go() -> None:
    roster = roster_of("ann", "bob")
    roster.put("q", stay("cid"))
    roster.linger_all("p", 10.0)
    assert (len(roster), roster.due()) == (3, 10.0)
    roster.drop_all("q")
    assert roster.view().users.keys() == {"ann", "bob"}
    roster.put("q", stay("dot"))
    roster.drop_others("q")
    assert roster.view().users.keys() == {"dot"}


def test_who_comes_and_goes_while_nobody_may_expire_leaves_nothing_that_grows() -> None:
    roster = roster_of("ann")
    for number in range(1000):
        roster.linger("p", "ann" if number == 0 else f"{number - 1}", float(number))
        roster.put("p", stay("ann", connection=f"{number}"))
    assert len(roster._dues) < 100
    roster.linger("p", "999", 5.0)
    roster.expire(5.0)
    assert len(roster) == 0


# Diffs and snapshots.


def test_nothing_is_told_twice_and_versions_rise() -> None:
    roster = roster_of()
    assert (roster.diff(), roster.view().version) == (None, 0)
    roster.put("p", stay("ann"))
    diff = told(roster.diff())
    assert (diff.version, diff.listed, ids(diff.joins)) == (1, True, {"ann": ["ann"]})
    assert roster.diff() is None
    roster.put("p", stay("ann", mood="good"))
    assert told(roster.diff()).version == 2


def test_who_came_and_went_between_two_diffs_is_not_told_of() -> None:
    roster = roster_of("ann")
    roster.put("p", stay("bob"))
    roster.drop("p", "bob")
    roster.put("p", stay("ann", mood="good"))
    roster.put("p", stay("ann"))
    assert roster.diff() is None


def test_who_was_in_a_snapshot_for_a_moment_is_told_as_gone_with_what_they_were() -> None:
    roster = roster_of("ann")
    roster.put("p", stay("bob", mood="good"))
    client = Client(roster.view())
    roster.drop("p", "bob")
    roster.view()
    diff = told(roster.diff())
    assert (tabs(diff.leaves), diff.joins) == ({"bob": [{"mood": "good"}]}, {})
    client.apply(diff)
    assert client.users == {"ann": [{}]}


def test_who_was_away_in_a_snapshot_for_a_moment_is_told_again() -> None:
    roster = roster_of("ann")
    roster.drop("p", "ann")
    client = Client(roster.view())
    roster.put("p", stay("ann"))
    client.apply(told(roster.diff()))
    assert client.users == {"ann": [{}]}


def test_a_later_snapshot_that_shows_what_was_told_does_not_hide_what_an_earlier_one_showed() -> None:
    roster = roster_of("ann")
    roster.put("p", stay("ann", mood="good"))
    early = Client(roster.view())
    roster.put("p", stay("ann"))
    late = Client(roster.view())
    diff = told(roster.diff())
    for client in (early, late):
        client.apply(diff)
        assert client.users == {"ann": [{}]}


# More than are listed.


def test_above_the_bound_only_the_number_is_told_and_when_it_is_listed_again_everybody_joins() -> None:
    roster = roster_of(*"abcdefghij", listed=10)
    roster.put("p", stay("k"))
    diff = told(roster.diff())
    assert (diff.listed, diff.count, diff.joins, diff.leaves, diff.updates) == (False, 11, {}, {}, {})
    assert roster.view() == PresenceView(version=diff.version, count=11, listed=False)
    roster.put("p", stay("a", mood="good"))
    assert roster.diff() is None
    roster.drop("p", "k")
    diff = told(roster.diff())
    assert (diff.listed, diff.count) == (False, 10)
    roster.drop("p", "j")
    diff = told(roster.diff())
    assert (diff.listed, diff.count) == (True, 9)
    assert tabs(diff.joins) == {"a": [{"mood": "good"}], **{name: [{}] for name in "bcdefghi"}}
    roster.put("p", stay("j"))
    assert told(roster.diff()).joins.keys() == {"j"}


def test_a_room_of_as_many_as_are_listed_is_listed() -> None:
    roster = roster_of("ann", "bob", listed=2)
    assert roster.view().listed


def test_a_first_snapshot_of_too_many_names_nobody() -> None:
    roster = Roster(listed=2)
    for user in USERS:
        roster.put("p", stay(user))
    view = roster.view(frozenset({"q"}))
    assert view == PresenceView(version=1, count=4, listed=False, missing=frozenset({"q"}))


def test_a_number_that_a_snapshot_showed_for_a_moment_is_corrected() -> None:
    roster = roster_of(*USERS, listed=1)
    roster.put("p", stay("eve"))
    client = Client(roster.view())
    roster.drop("p", "eve")
    client.apply(told(roster.diff()))
    assert (client.count, client.listed) == (4, False)


def test_a_snapshot_that_names_nobody_for_a_moment_is_followed_by_everybody() -> None:
    roster = roster_of(*"abcdefghij", listed=10)
    roster.put("p", stay("k"))
    client = Client(roster.view())
    for user in "jk":
        roster.drop("p", user)
    diffs = _all_diffs(roster)
    for diff in diffs:
        client.apply(diff)
    assert (client.listed, client.users) == (True, {name: [{}] for name in "abcdefghi"})
    assert [diff.listed for diff in diffs] == [False, True]


def test_a_snapshot_that_names_everybody_for_a_moment_is_followed_by_what_becomes_of_them() -> None:
    roster = roster_of(*"abcdefghijk", listed=10)
    for user in "jk":
        roster.drop("p", user)
    client = Client(roster.view())
    assert len(client.users) == 9
    roster.drop("p", "a")
    for diff in _all_diffs(roster):
        client.apply(diff)
    assert client.users == {name: [{}] for name in "bcdefghi"}


def test_snapshots_at_the_border_leave_at_most_two_diffs_waiting() -> None:
    roster = roster_of(*"abcdefghij", listed=10)
    for _ in range(5):
        roster.put("p", stay("k"))
        roster.view()
        for user in "jk":
            roster.drop("p", user)
        roster.view()
        roster.put("p", stay("j"))
    assert [diff.listed for diff in _all_diffs(roster)] == [False, True, True]


def _all_diffs(roster: Roster) -> list[PresenceDiff]:
    return list(iter(roster.diff, None))
