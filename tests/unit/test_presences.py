"""Who is present in the rooms of a process: who is asked, who is told, and what is kept."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_rooms.errors import MetadataTooLarge, NoPresence, UnencodableMessage
from fastapi_rooms.presence_wire import MOST, Change
from unit.fakes import SOON
from unit.presence_world import ANSWER, POLICY, ROOM, World, background, peer, world_of


@pytest.fixture
async def alone() -> AsyncIterator[World]:
    async with world_of() as world:
        yield world


@pytest.fixture
async def one_of_two() -> AsyncIterator[World]:
    async with world_of(peers=("there",)) as world:
        yield world


# Joining, and who is there already.


async def test_the_first_member_is_told_of_and_all_are_asked_who_else_is_there(alone: World) -> None:
    alone.enter("ann1")
    await alone.turn()
    assert alone.asked == [(ROOM, None)]
    assert [(room, change.put) for room, change in alone.said] == [(ROOM, [("ann1", "ann", {}, None)])]
    assert [diff.joins.keys() for diff in alone.diffs] == [{"ann"}]
    alone.enter("bob1")
    await alone.turn()
    assert alone.asked == [(ROOM, None)]


async def test_nothing_is_told_and_a_view_waits_until_the_others_have_answered() -> None:
    async with world_of(peers=("there", "elsewhere")) as world:
        world.enter("ann1")
        view = background(world.presences.view(ROOM))
        await world.turn()
        world.answer("there", peer("there", bob1="bob"))
        await world.turn()
        assert (world.diffs, view.done()) == ([], False)
        world.answer("elsewhere", peer("elsewhere", cid1="cid"))
        await world.turn()
        assert [diff.joins.keys() for diff in world.diffs] == [{"ann", "bob", "cid"}]
        assert (view.done(), view.result().users.keys(), view.result().missing) == (
            True,
            {"ann", "bob", "cid"},
            frozenset(),
        )


async def test_who_has_not_answered_in_time_is_missing_until_it_has() -> None:
    async with world_of(peers=("there", "elsewhere")) as world:
        world.enter("ann1")
        view = background(world.presences.view(ROOM))
        await world.turn()
        world.answer("there")
        await world.pass_time(ANSWER - 1)
        assert not view.done()
        await world.pass_time(1)
        assert (view.result().missing, list(view.result().users)) == ({"elsewhere"}, ["ann"])
        assert len(world.diffs) == 1
        assert (await world.presences.view(ROOM)).missing == {"elsewhere"}
        world.answer("elsewhere", peer("elsewhere", cid1="cid"))
        late = await world.presences.view(ROOM)
        assert (late.missing, list(late.users)) == (frozenset(), ["ann", "cid"])


async def test_a_part_of_an_answer_is_no_answer(one_of_two: World) -> None:
    view = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    parts = peer(**{f"bob{number}": "bob" for number in range(MOST + 1)}).everything(0.0)
    for part in parts:
        assert not view.done()
        one_of_two.be_told("there", part)
        await one_of_two.turn()
    assert len(view.result().users["bob"]) == MOST + 1


async def test_a_process_that_is_no_more_is_not_missing(one_of_two: World) -> None:
    one_of_two.enter("ann1")
    await one_of_two.pass_time(ANSWER)
    assert (await one_of_two.presences.view(ROOM)).missing == {"there"}
    one_of_two.peers.clear()
    assert (await one_of_two.presences.view(ROOM)).missing == frozenset()


async def test_nobody_waits_for_a_process_that_says_goodbye(one_of_two: World) -> None:
    one_of_two.enter("ann1")
    view = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    one_of_two.presences.goodbye("there")
    await one_of_two.turn()
    assert (view.result().missing, len(one_of_two.diffs)) == (frozenset(), 1)


async def test_changes_that_come_before_the_answers_are_in_the_first_diff(one_of_two: World) -> None:
    one_of_two.enter("ann1")
    await one_of_two.turn()
    there = peer(bob1="bob")
    one_of_two.hear("there", there.change())
    await one_of_two.turn()
    assert one_of_two.diffs == []
    one_of_two.answer("there", there)
    await one_of_two.turn()
    assert [diff.joins.keys() for diff in one_of_two.diffs] == [{"ann", "bob"}]


async def test_one_without_a_user_or_that_is_not_to_be_shown_is_not_but_the_room_is_followed(
    one_of_two: World,
) -> None:
    one_of_two.metadata["ann1"] = None
    unknown = one_of_two.enter_unknown()
    hidden = one_of_two.enter("ann1")
    await one_of_two.turn()
    there = peer(bob1="bob")
    one_of_two.answer("there", there)
    await one_of_two.turn()
    assert [diff.joins.keys() for diff in one_of_two.diffs] == [{"bob"}]
    one_of_two.leave(unknown)
    one_of_two.leave(hidden, on_purpose=True)
    await one_of_two.turn()
    assert one_of_two.said == []


async def test_a_room_without_presence_has_none() -> None:
    async with world_of(rooms={"blue": None}) as world:
        member = world.enter("ann1", room="blue")
        await world.turn()
        with pytest.raises(NoPresence):
            await world.presences.view("blue")
        with pytest.raises(NoPresence):
            world.update(member, {}, room="blue")
        world.leave(member)
        world.presences.forget("blue")
        assert (world.rooms, world.asked, world.said) == ([], [], [])


# Telling.


async def test_diffs_are_told_in_order_one_at_a_time_and_not_more_often_than_the_interval(alone: World) -> None:
    alone.hook_gate.clear()
    alone.enter("ann1")
    await alone.turn()
    alone.enter("bob1")
    await alone.turn()
    alone.enter("cid1")
    await alone.pass_time(POLICY.interval * 5)
    assert [diff.joins.keys() for diff in alone.diffs] == [{"ann"}]  # its hook still runs
    alone.hook_gate.set()
    await alone.pass_time(POLICY.interval / 2)
    assert len(alone.diffs) == 1
    await alone.pass_time(POLICY.interval / 2)
    assert [diff.joins.keys() for diff in alone.diffs] == [{"ann"}, {"bob", "cid"}]
    alone.enter("dot1")
    await alone.pass_time(POLICY.interval)
    assert [diff.version for diff in alone.diffs] == [1, 2, 3]
    assert [late - early >= POLICY.interval for early, late in zip(alone.at, alone.at[1:], strict=False)] == [
        True,
        True,
    ]
    assert alone.overlapping == 0
    await alone.pass_time(POLICY.interval)
    alone.enter("eve1")
    await alone.turn()
    assert alone.diffs[-1].joins.keys() == {"eve"}  # after a while of rest: at once


async def test_a_page_that_is_loaded_anew_is_told_to_nobody(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.leave(ann)
    await alone.pass_time(POLICY.grace - 1)
    alone.enter("ann2")
    await alone.pass_time(POLICY.grace * 2)
    assert len(alone.diffs) == 1
    assert alone.users() == {"ann": ["ann2"]}


async def test_who_is_away_for_longer_than_the_grace_leaves(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.enter("bob1")
    alone.leave(ann)
    await alone.pass_time(POLICY.grace - 1)
    assert alone.users().keys() == {"ann", "bob"}
    await alone.pass_time(1)
    assert alone.diffs[-1].leaves.keys() == {"ann"}
    assert alone.users().keys() == {"bob"}


async def test_who_leaves_on_purpose_goes_at_once(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.leave(ann, on_purpose=True)
    await alone.turn()
    assert alone.diffs[-1].leaves.keys() == {"ann"}
    assert alone.said[-1][1].drop == [("ann1", "ann")]


async def test_nobody_is_told_any_more_once_the_room_is_forgotten(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.leave(ann)
    alone.presences.forget(ROOM)
    await alone.pass_time(POLICY.grace)
    assert (len(alone.diffs), alone.rooms, alone.timers()) == (1, [], 0)


async def test_a_diff_that_was_begun_is_the_last_when_the_room_is_forgotten(alone: World) -> None:
    alone.hook_gate.clear()
    ann = alone.enter("ann1")
    await alone.turn()
    alone.leave(ann)
    alone.enter("bob1", "bob").memberships.clear()
    alone.presences.forget(ROOM)
    alone.hook_gate.set()
    await alone.pass_time(POLICY.interval)
    assert len(alone.diffs) == 1


# What is told of one.


async def test_metadata_is_told_when_it_changes(one_of_two: World) -> None:
    one_of_two.metadata["ann1"] = {"mood": "good"}
    ann = await one_of_two.joined("ann1")
    assert one_of_two.update(ann, {"mood": "bad"})
    await one_of_two.turn()
    (shown,) = one_of_two.diffs[-1].updates["ann"]
    assert shown.metadata == {"mood": "bad"}
    assert [change.put[0][2] for _, change in one_of_two.said] == [{"mood": "good"}, {"mood": "bad"}]


async def test_metadata_that_is_as_it_was_is_not_told_again(one_of_two: World) -> None:
    ann = await one_of_two.joined("ann1")
    said = len(one_of_two.said)
    assert one_of_two.update(ann, {"mood": "good"})
    assert one_of_two.update(ann, {"mood": "good"})
    await one_of_two.turn()
    assert len(one_of_two.said) == said + 1


async def test_metadata_of_one_that_is_ending_is_not_told(alone: World) -> None:
    ann = await alone.joined("ann1")
    ann.disconnect = "closed, and still a member"
    assert alone.update(ann, {"mood": "bad"}) is False


async def test_metadata_of_one_that_is_no_member_or_has_no_user_is_not_told(alone: World) -> None:
    ann = await alone.joined("ann1")
    unknown = alone.enter_unknown()
    with pytest.raises(UnencodableMessage, match="no user"):
        alone.update(unknown, {})
    alone.metadata["strange"] = None
    strange = alone.enter("strange", "\ud800")
    with pytest.raises(UnencodableMessage, match="no user"):
        alone.update(strange, {})
    alone.leave(ann)
    assert alone.update(ann, {"mood": "bad"}) is False
    other = alone.enter("bob1")
    alone.leave(other)
    assert alone.users()["bob"] == ["bob1"]


async def test_metadata_of_a_room_that_nobody_is_in_is_not_told(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.leave(ann, on_purpose=True)
    alone.presences.forget(ROOM)
    assert alone.update(ann, {}) is False


async def test_metadata_that_is_too_large_or_no_json_changes_nothing(alone: World) -> None:
    ann = await alone.joined("ann1")
    with pytest.raises(MetadataTooLarge):
        alone.update(ann, {"mood": "x" * POLICY.metadata_bytes})
    with pytest.raises(UnencodableMessage):
        alone.update(ann, {"mood": object()})
    await alone.turn()
    assert len(alone.said) == 1


# Rooms that are looked at, and forgotten.


async def test_who_looks_from_outside_asks_and_waits_and_nothing_is_kept(one_of_two: World) -> None:
    view = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    also = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    assert (one_of_two.asked, view.done()) == ([(ROOM, None)], False)
    one_of_two.answer("there", peer(bob1="bob"))
    await one_of_two.turn()
    assert view.result() == also.result()
    assert view.result().users.keys() == {"bob"}
    assert (one_of_two.rooms, one_of_two.timers(), one_of_two.diffs) == ([], 0, [])


async def test_who_looks_no_longer_is_forgotten(one_of_two: World) -> None:
    view = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    view.cancel()
    await asyncio.wait((view,))
    assert one_of_two.rooms == []


async def test_who_joins_while_somebody_looks_asks_anew_and_nobody_is_missing_who_answers() -> None:
    async with world_of(peers=("there", "elsewhere")) as world:
        view = background(world.presences.view(ROOM))
        await world.turn()
        world.answer("there", peer("there", bob1="bob"))
        world.enter("ann1")
        await world.turn()
        assert world.asked == [(ROOM, None)] * 2
        for name in ("there", "elsewhere"):
            world.answer(name, peer(name, bob1="bob"))
        await world.turn()
        assert (view.done(), view.result().missing) == (True, frozenset())
        assert len(world.diffs) == 1


async def test_a_room_that_is_looked_at_while_it_is_forgotten_is_kept_until_then(one_of_two: World) -> None:
    ann = one_of_two.enter("ann1")
    view = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    one_of_two.leave(ann, on_purpose=True)
    one_of_two.presences.forget(ROOM)
    one_of_two.answer("there", peer(bob1="bob"))
    await one_of_two.turn()
    assert (view.result().users.keys(), one_of_two.rooms) == ({"bob"}, [])


async def test_a_room_that_nobody_needs_lets_go_of_others_and_keeps_those_that_linger_here(
    one_of_two: World,
) -> None:
    ann = await one_of_two.joined("ann1")
    there = peer(bob1="bob")
    one_of_two.hear("there", there.change())
    one_of_two.leave(ann)
    one_of_two.presences.forget(ROOM)
    assert one_of_two.users() == {"ann": ["ann1"]}
    one_of_two.hear("there", there.refresh())
    one_of_two.be_asked("there")
    await one_of_two.turn()
    assert one_of_two.asked == [(ROOM, None)]
    assert [change.put[0][0] for _, _, change in one_of_two.told] == ["ann1"]
    await one_of_two.pass_time(POLICY.grace)
    assert (one_of_two.rooms, one_of_two.timers()) == ([], 0)


async def test_who_comes_back_to_a_room_that_was_forgotten_asks_again_and_was_never_away(
    one_of_two: World,
) -> None:
    ann = await one_of_two.joined("ann1")
    there = peer(bob1="bob")
    one_of_two.hear("there", there.change())
    await one_of_two.pass_time(POLICY.interval)
    one_of_two.leave(ann)
    one_of_two.presences.forget(ROOM)
    told = len(one_of_two.diffs)
    one_of_two.enter("ann2")
    await one_of_two.turn()
    assert one_of_two.asked == [(ROOM, None)] * 2
    one_of_two.answer("there", there)
    await one_of_two.pass_time(POLICY.interval)
    assert len(one_of_two.diffs) == told
    assert one_of_two.users() == {"ann": ["ann2"], "bob": ["bob1"]}


async def test_a_look_at_a_room_where_somebody_lingers_keeps_it(one_of_two: World) -> None:
    ann = await one_of_two.joined("ann1")
    one_of_two.leave(ann)
    one_of_two.presences.forget(ROOM)
    view = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    one_of_two.answer("there", peer(bob1="bob"))
    await one_of_two.turn()
    assert view.result().users.keys() == {"ann", "bob"}
    assert one_of_two.users().keys() == {"ann"}


async def test_forgetting_what_is_not_known_harms_nobody(alone: World) -> None:
    alone.presences.forget("blue")
    alone.hear("there", Change(0, 1), room="blue")
    assert alone.rooms == []


# The end.


async def test_at_the_end_nobody_waits_and_nothing_is_left(one_of_two: World) -> None:
    one_of_two.hook_gate.clear()
    one_of_two.enter("ann1")
    waiting = background(one_of_two.presences.view(ROOM))
    await one_of_two.turn()
    await one_of_two.stop()
    assert (await waiting).users.keys() == {"ann"}
    assert (len(one_of_two.presences._tasks), one_of_two.rooms, one_of_two.timers()) == (0, [], 0)


async def test_who_began_to_look_at_the_end_does_not_wait(one_of_two: World) -> None:
    view = background(one_of_two.presences.view(ROOM))
    await asyncio.sleep(0)  # nobody has been asked yet
    await one_of_two.stop()
    async with asyncio.timeout(SOON):
        assert (await view).users == {}


async def test_a_hook_that_runs_at_the_end_is_ended(alone: World) -> None:
    alone.hook_gate.clear()
    ann = alone.enter("ann1")
    await alone.turn()
    alone.leave(ann)
    assert (len(alone.diffs), alone.timers()) == (1, 1)
    await alone.stop()
    assert (len(alone.presences._tasks), alone.timers()) == (0, 0)
