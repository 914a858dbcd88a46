"""What a process tells others of who is present, and what it makes of what they tell."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fastapi_rooms.envelope import ForeignMessage, Header, Kind
from fastapi_rooms.options import Presence
from fastapi_rooms.presence_wire import MOST, Change
from unit.presence_world import ANSWER, POLICY, ROOM, World, peer, world_of

HASTY = Presence(grace=1.0, ttl=3.0, refresh=1.0, interval=0.0)


@pytest.fixture
async def alone() -> AsyncIterator[World]:
    async with world_of() as world:
        yield world


@pytest.fixture
async def one_of_two() -> AsyncIterator[World]:
    async with world_of(peers=("there",)) as world:
        yield world


# Saying.


async def test_what_happens_while_something_is_on_its_way_is_said_together(alone: World) -> None:
    alone.say_gate.clear()
    alone.enter("ann1")
    await alone.turn()
    alone.enter("bob1")
    alone.enter("cid1")
    await alone.turn()
    assert len(alone.said) == 1
    alone.say_gate.set()
    await alone.turn()
    assert [[put[0] for put in change.put] for _, change in alone.said] == [["ann1"], ["bob1", "cid1"]]
    assert [(change.after, change.clock) for _, change in alone.said] == [(0, 1), (1, 2)]


async def test_a_process_that_asks_is_told_all_of_this_one(alone: World) -> None:
    alone.say_gate.clear()
    ann = alone.enter("ann1")
    alone.leave(ann)
    alone.enter("bob1")
    alone.be_asked("there")
    await alone.turn()
    ((room, process, change),) = alone.told
    assert (room, process, change.after, change.more) == (ROOM, "there", 0, False)
    assert [(put[0], put[3] is None) for put in change.put] == [("ann1", False), ("bob1", True)]


async def test_answers_come_whole_and_do_not_mix(alone: World) -> None:
    for number in range(2 * MOST + 1):
        alone.enter(f"tab{number}", "ann")
    await alone.turn()
    alone.say_gate.clear()
    alone.be_asked("there")
    alone.be_asked("there")
    await alone.turn()
    assert [(change.part, change.more, len(change.put)) for _, _, change in alone.told] == [
        (0, True, MOST),
        (1, True, MOST),
        (2, False, 1),
    ] * 2


async def test_one_that_asks_about_a_room_with_nobody_is_told_so(alone: World) -> None:
    alone.be_asked("there", room="blue")
    await alone.turn()
    assert [(room, process, change.put) for room, process, change in alone.told] == [("blue", "there", [])]
    assert alone.rooms == []


async def test_what_a_process_says_again_and_again_is_where_it_is(alone: World) -> None:
    await alone.joined("ann1")
    assert len(alone.said) == 1
    await alone.pass_time(POLICY.refresh * 0.7)
    assert len(alone.said) == 1
    await alone.pass_time(POLICY.refresh * 0.3)
    assert alone.said[1:] == [(ROOM, Change(1, 1, [], []))]
    await alone.pass_time(POLICY.refresh)
    assert len(alone.said) == 3


async def test_a_room_of_which_nothing_was_said_is_not_spoken_of(alone: World) -> None:
    alone.enter_unknown()
    await alone.pass_time(POLICY.refresh * 2)
    assert alone.said == []


async def test_a_room_that_must_be_heard_of_more_often_does_not_wait_for_the_others() -> None:
    async with world_of(rooms={"blue": HASTY}) as world:
        await world.joined("ann1")
        world.enter("bob1", room="blue")
        await world.pass_time(HASTY.refresh)
        assert [room for room, _ in world.said] == [ROOM, "blue", ROOM, "blue"]
        world.enter("cid1", room="blue")
        await world.pass_time(HASTY.refresh)
        assert [room for room, _ in world.said][4:] == ["blue", ROOM, "blue"]


async def test_all_rooms_are_spoken_of_however_many() -> None:
    names = [f"room {number}" for number in range(250)]
    async with world_of(rooms=dict.fromkeys(names, POLICY)) as world:
        for name in names:
            world.enter("ann1", room=name)
        await world.turn()
        world.said.clear()
        await world.pass_time(POLICY.refresh)
        assert sorted(room for room, _ in world.said) == sorted(names)


async def test_nothing_is_said_again_once_no_room_is_left_and_it_is_once_there_is_one(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.leave(ann, on_purpose=True)
    await alone.turn()
    alone.presences.forget(ROOM)
    await alone.pass_time(POLICY.refresh)
    assert (len(alone.said), len(alone.presences._tasks)) == (2, 0)
    alone.enter("bob1")
    await alone.pass_time(POLICY.refresh)
    assert len(alone.said) == 4


# Hearing.


async def test_who_comes_and_goes_elsewhere_is_told_here(one_of_two: World) -> None:
    await one_of_two.joined("ann1")
    there = peer(bob1="bob")
    one_of_two.hear("there", there.change())
    await one_of_two.turn()
    assert one_of_two.diffs[-1].joins.keys() == {"bob"}
    there.leave("bob1", on_purpose=False, now=0.0)
    one_of_two.hear("there", there.change())
    await one_of_two.pass_time(POLICY.grace - 1)
    assert one_of_two.users().keys() == {"ann", "bob"}
    await one_of_two.pass_time(1)
    assert one_of_two.users().keys() == {"ann"}
    assert one_of_two.diffs[-1].leaves.keys() == {"bob"}


async def test_a_change_that_was_lost_is_noticed_and_asked_for_once(one_of_two: World) -> None:
    await one_of_two.joined("ann1")
    one_of_two.asked.clear()
    there = peer(bob1="bob")
    there.change()
    for _ in range(3):
        one_of_two.hear("there", there.refresh())
    await one_of_two.turn()
    assert one_of_two.asked == [(ROOM, "there")]
    await one_of_two.pass_time(ANSWER)  # the question was lost too
    one_of_two.hear("there", there.refresh())
    one_of_two.hear("there", there.refresh())
    await one_of_two.turn()
    assert one_of_two.asked == [(ROOM, "there")] * 2
    one_of_two.answer("there", there)
    one_of_two.hear("there", there.refresh())
    await one_of_two.turn()
    assert len(one_of_two.asked) == 2
    assert one_of_two.diffs[-1].joins.keys() == {"bob"}


async def test_who_says_hello_and_lacks_something_is_told_it(alone: World) -> None:
    await alone.joined("ann1")
    alone.hear("there", Change(0, 0, known={}))
    alone.hear("elsewhere", Change(0, 0, known={"here": 1}))
    await alone.turn()
    assert [(process, change.put[0][0]) for _, process, change in alone.told] == [("there", "ann1")]


async def test_what_makes_no_sense_is_foreign(alone: World) -> None:
    await alone.joined("ann1")
    with pytest.raises(ForeignMessage):
        alone.presences.heard(Header(kind=Kind.PRESENCE, process="there", number=1, room=ROOM), b"{")
    with pytest.raises(ForeignMessage):
        alone.presences.heard(Header(kind=Kind.PRESENCE_ALL, process="there", number=1), b"")


async def test_the_people_of_a_process_that_ends_have_the_grace_to_come_here(one_of_two: World) -> None:
    await one_of_two.joined("ann1")
    one_of_two.hear("there", peer(bob1="bob", cid1="cid").change())
    await one_of_two.pass_time(POLICY.interval)
    told = len(one_of_two.diffs)
    one_of_two.presences.goodbye("there")
    await one_of_two.pass_time(POLICY.grace - 1)
    one_of_two.enter("bob2")
    await one_of_two.pass_time(1)
    assert [diff.leaves.keys() for diff in one_of_two.diffs[told:]] == [{"cid"}]
    assert one_of_two.users() == {"ann": ["ann1"], "bob": ["bob2"]}


# Outages.


async def test_the_people_of_a_process_that_is_silent_leave_after_the_ttl(one_of_two: World) -> None:
    await one_of_two.joined("ann1")
    there = peer(bob1="bob")
    one_of_two.hear("there", there.change())
    await one_of_two.pass_time(POLICY.ttl - 1)
    assert one_of_two.users().keys() == {"ann", "bob"}
    one_of_two.hear("there", there.refresh())
    await one_of_two.pass_time(POLICY.ttl - 1)
    assert one_of_two.users().keys() == {"ann", "bob"}
    await one_of_two.pass_time(1)
    assert one_of_two.diffs[-1].leaves.keys() == {"bob"}


async def test_nobody_leaves_while_nothing_is_heard_nor_within_the_ttl_after(one_of_two: World) -> None:
    ann = await one_of_two.joined("ann1")
    one_of_two.enter_unknown()
    there = peer(bob1="bob", cid1="cid")
    one_of_two.hear("there", there.change())
    one_of_two.leave(ann)
    await one_of_two.turn()
    one_of_two.presences.lost()
    await one_of_two.pass_time(POLICY.ttl * 10)
    one_of_two.presences.restored()
    await one_of_two.pass_time(POLICY.ttl - 1)
    assert one_of_two.users().keys() == {"ann", "bob", "cid"}
    one_of_two.hear("there", there.refresh())
    await one_of_two.pass_time(1)
    assert one_of_two.users().keys() == {"bob", "cid"}  # ann has been away for long
    await one_of_two.pass_time(POLICY.ttl - 1)
    assert one_of_two.users() == {}


async def test_a_process_that_hears_again_says_hello_once_for_each_room() -> None:
    async with world_of(peers=("there",), rooms={"blue": POLICY, "gone": POLICY}) as world:
        await world.joined("ann1")
        world.enter("ann1", room="blue")
        world.presences.forget("gone")
        await world.turn()
        there = peer(bob1="bob")
        world.hear("there", there.change())
        await world.turn()
        world.said.clear()
        world.presences.restored()  # it was not lost
        await world.turn()
        assert world.said == []
        world.presences.lost()
        world.presences.restored()
        world.presences.restored()
        await world.turn()
        assert [(room, change.known) for room, change in world.said] == [(ROOM, {"there": 2}), ("blue", {})]


async def test_a_process_where_somebody_lingers_alone_says_so_when_it_hears_again_and_asks_nothing(
    alone: World,
) -> None:
    ann = await alone.joined("ann1")
    alone.leave(ann)
    await alone.turn()
    alone.presences.forget(ROOM)
    alone.presences.lost()
    alone.presences.restored()
    await alone.turn()
    assert alone.said[-1] == (ROOM, Change(2, 2, [], []))


async def test_the_longest_ttl_of_all_rooms_is_waited_for_after_an_outage() -> None:
    async with world_of(rooms={"blue": HASTY}) as world:
        ann = await world.joined("ann1")
        world.enter("bob1", room="blue")
        world.leave(ann)
        world.presences.lost()
        await world.pass_time(POLICY.ttl)
        world.presences.restored()
        world.presences.goodbye("elsewhere")  # what is due is looked at again
        await world.pass_time(POLICY.ttl - 1)
        assert world.users().keys() == {"ann"}
        await world.pass_time(1)
        assert world.users() == {}


async def test_who_leaves_on_purpose_goes_while_nothing_is_heard_too(alone: World) -> None:
    ann = await alone.joined("ann1")
    alone.presences.lost()
    alone.leave(ann, on_purpose=True)
    await alone.turn()
    assert alone.diffs[-1].leaves.keys() == {"ann"}


@pytest.mark.parametrize("on_purpose", [True, False])
@pytest.mark.parametrize("grace", [0.0, 5.0])
async def test_a_room_that_was_forgotten_before_its_last_connection_has_left_is_not_kept(
    grace: float, on_purpose: bool
) -> None:
    async with world_of(rooms={ROOM: replace(POLICY, grace=grace)}) as world:
        ann = world.enter("ann")
        world.presences.forget(ROOM)
        assert world.rooms == [ROOM]
        world.leave(ann, on_purpose=on_purpose)
        await world.pass_time(grace)
        assert world.rooms == []
