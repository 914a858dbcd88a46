"""Who is present, as a client is told."""

from typing import Any

import pytest

from fastapi_rooms.client.presence_state import PresenceState
from fastapi_rooms.client.reading import BrokenMessage
from fastapi_rooms.client.values import PresenceChange
from fastapi_rooms.presence import Present

ANN = [{"id": "a1", "metadata": {}}]
BOB = [{"id": "b1", "metadata": {"typing": True}}]
ANN_IS = (Present("a1", {}),)
BOB_IS = (Present("b1", {"typing": True}),)


def snapshot(
    version: int, users: dict[str, Any], *, count: int | None = None, listed: bool = True
) -> dict[str, Any]:
    number = len(users) if count is None else count
    return {"type": "presence", "version": version, "count": number, "listed": listed, "users": users}


def diff(version: int, *, count: int = 1, listed: bool = True, **changes: Any) -> dict[str, Any]:
    told = {"joins": {}, "leaves": {}, "updates": {}, **changes}
    return {"type": "presence-diff", "version": version, "count": count, "listed": listed, **told}


def test_a_snapshot_and_then_what_changes() -> None:
    state = PresenceState()
    assert state.settle(snapshot(7, {"ann": ANN})) == []
    assert (state.users, state.count, state.listed) == ({"ann": ANN_IS}, 1, True)
    assert state.apply(diff(8, count=2, joins={"bob": BOB})) == [PresenceChange("join", "bob", BOB_IS)]
    assert state.apply(diff(9, count=2, updates={"ann": BOB})) == [PresenceChange("update", "ann", BOB_IS)]
    assert state.apply(diff(10, leaves={"bob": BOB, "eve": ANN})) == [PresenceChange("leave", "bob", BOB_IS)]
    assert state.users == {"ann": BOB_IS}


def test_what_is_old_is_ignored() -> None:
    state = PresenceState()
    assert state.apply(diff(8, joins={"bob": BOB})) is None
    state.settle(snapshot(7, {"ann": ANN}))
    assert state.apply(diff(7, joins={"bob": BOB})) is None
    assert state.apply(diff(8, joins={"ann": ANN})) == []
    assert state.apply(diff(8, joins={"bob": BOB})) is None
    assert state.users == {"ann": ANN_IS}


def test_after_another_join_diffs_wait_for_the_snapshot_which_is_compared_with_before() -> None:
    state = PresenceState()
    state.settle(snapshot(70, {"ann": ANN}))
    state.unsettle()
    assert state.apply(diff(71, joins={"eve": ANN})) is None
    assert state.users == {"ann": ANN_IS}, "better than nobody"
    changes = state.settle(snapshot(3, {"bob": BOB}))
    assert changes == [PresenceChange("leave", "ann", ANN_IS), PresenceChange("join", "bob", BOB_IS)]
    assert state.apply(diff(4, joins={"ann": ANN}, count=2)) == [PresenceChange("join", "ann", ANN_IS)]


def test_too_many_to_name_are_counted_and_the_first_diff_that_names_them_has_all() -> None:
    state = PresenceState()
    state.settle(snapshot(1, {"ann": ANN}))
    assert state.apply(diff(2, count=1001, listed=False)) == []
    assert (state.users, state.count, state.listed) == ({}, 1001, False)
    assert state.apply(diff(3, count=2, joins={"ann": ANN, "bob": BOB})) == []
    assert (state.users, state.count, state.listed) == ({"ann": ANN_IS, "bob": BOB_IS}, 2, True)


@pytest.mark.parametrize(
    "frame",
    [
        snapshot(1, {"ann": 3}),
        snapshot(1, {"ann": [3]}),
        snapshot(1, {"ann": [{"id": "a"}]}),
        {**snapshot(1, {}), "users": []},
        {**snapshot(1, {}), "version": "1"},
        {**snapshot(1, {}), "listed": None},
    ],
)
def test_what_is_no_presence_changes_nothing(frame: dict[str, Any]) -> None:
    state = PresenceState()
    with pytest.raises(BrokenMessage):
        state.settle(frame)
    assert (state.users, state.count) == ({}, 0)
