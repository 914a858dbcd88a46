"""The last messages, or those of each key, on entry: then live ones, without a gap, and nothing twice."""

import asyncio
from typing import Literal

import pytest

from fastapi_rooms.history_ports import Resumed
from fastapi_rooms.position import Position
from unit.history_world import ROOM, TOO_LARGE, Member, World


async def enters(world: World, since: str | None = None, *, user_id: str | None = None) -> tuple[Resumed, Member]:
    member = Member("new", user_id=user_id)
    world.enter(member)
    resumed = await world.resume(member, since)
    assert resumed is not None
    return resumed, member


async def enters_slowly(world: World, since: str | None = None) -> tuple[Member, asyncio.Task[Resumed | None]]:
    """Somebody who is being sent the first message."""
    member = Member("new")
    member.gate = asyncio.Event()
    world.enter(member)
    resuming = asyncio.create_task(world.resume(member, since))
    await member.waits.wait()
    return member, resuming


def at(offset: int, *, epoch: str = "e") -> Position:
    return Position(ROOM, epoch, offset)


@pytest.mark.parametrize(
    ("on_join", "expected"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (3, ["a", "b", "c"]), (9, ["a", "b", "c"])]
)
async def test_who_enters_gets_so_many_of_the_last_messages(on_join: int, expected: list[str]) -> None:
    world = World(on_join=on_join)
    world.say("a", "b", "c")
    resumed, member = await enters(world)
    assert (resumed, member.heard) == (Resumed(position=at(3)), expected)
    await world.hear(*world.say("d"))
    assert member.heard == [*expected, "d"]


async def test_what_members_here_got_is_not_read_for_who_enters() -> None:
    world = World(on_join=2)
    await world.join("one")
    reads = len(world.reads)
    await world.hear(*world.say("a", "b", "c"))
    _, member = await enters(world)
    assert (member.heard, len(world.reads)) == (["b", "c"], reads)


async def test_many_who_enter_an_empty_room_read_it_once() -> None:
    world = World(on_join=5)
    world.say("a", "b")
    crowd = await asyncio.gather(*(world.join(f"{number}") for number in range(20)))
    assert all(member.heard == ["a", "b"] for member in crowd)
    assert world.reads == [0]


async def test_of_each_key_the_last_one_comes_in_order_and_none_without_a_key() -> None:
    world = World(on_join="keys")
    for text, key in (("a1", "a"), ("b1", "b"), ("plain", None), ("a2", "a"), ("c1", "c"), ("b2", "b")):
        world.say(text, key=key)
    _, member = await enters(world)
    assert member.heard == ["a2", "c1", "b2"]
    await world.hear(*world.say("a3", key="a"))
    _, other = await enters(world)
    assert (member.heard[3:], other.heard) == (["a3"], ["c1", "b2", "a3"])


async def test_only_what_is_kept_counts() -> None:
    for on_join, expected in ((3, ["y", "z"]), ("keys", ["y", "z"])):
        world = World(messages=3, on_join=on_join)  # type: ignore[arg-type]
        world.kept = 2
        for text in "wxyz":
            world.say(text, key=text)
        _, member = await enters(world)
        assert member.heard == expected


async def test_who_is_excluded_is_spared_and_gets_those_before() -> None:
    world = World(on_join=2)
    world.say("a", "b", key="k")
    world.say("c", exclude=("new",))
    world.say("d", exclude_users=("u",))
    world.say("e", exclude=("another",))
    assert (await enters(world, user_id="u"))[1].heard == ["b", "e"]


async def test_the_last_of_a_key_is_the_last_that_was_for_this_member() -> None:
    world = World(on_join="keys")
    world.say("mine", exclude_users=("u",), key="cursor of u")
    world.say("for all", key="k")
    world.say("for others", exclude_users=("u",), key="k")
    assert (await enters(world, user_id="u"))[1].heard == ["for all"]


async def test_what_nobody_can_get_does_not_count() -> None:
    world = World(on_join=2)
    world.say("a", "b", TOO_LARGE)
    assert (await enters(world))[1].heard == ["a", "b"]


async def test_who_has_all_gets_nothing_more() -> None:
    world = World(on_join=5)
    world.say("a", "b")
    resumed, member = await enters(world, world.position(1))
    assert (resumed, member.heard) == (Resumed(position=at(2), recovered=True), ["b"])


@pytest.mark.parametrize(
    ("since", "reason"),
    [(str(at(1)), "expired"), (str(at(3, epoch="other")), "epoch_changed"), ("x", "epoch_changed")],
)
async def test_who_was_not_brought_up_to_date_gets_the_last_messages(
    since: str, reason: Literal["expired", "epoch_changed"]
) -> None:
    world = World(on_join=2)
    world.say("a", "b", "c", "d")
    world.kept = 2
    resumed, member = await enters(world, since)
    assert resumed == Resumed(position=at(4), recovered=False, reason=reason)
    assert member.heard == ["c", "d"]


async def test_who_missed_too_many_gets_the_last_ones() -> None:
    world = World(messages=3, on_join=2)
    world.say("a", "b", "c", "d")
    resumed, member = await enters(world, world.position(0))
    assert (resumed.reason, member.heard) == ("too_many", ["c", "d"])


@pytest.mark.parametrize("since", [None, str(at(1))])
async def test_while_nothing_can_be_read_nothing_is_sent(since: str | None) -> None:
    world = World(on_join=2)
    world.say("a", "b", "c")
    world.down = True
    resumed, member = await enters(world, since)
    assert (resumed.reason, resumed.position, member.heard) == ("unavailable", None, [])


async def begun_anew() -> World:
    """What is now in another epoch has come live: nothing is known here of what was before."""
    world = World(on_join=2)
    await world.join("first")
    world.begin_anew("f")
    world.say("a", "b")
    await world.hear(*world.say("c"))
    await world.settled()
    return world


async def test_after_a_new_beginning_what_was_before_is_read_once() -> None:
    world = await begun_anew()
    reads = len(world.reads)
    crowd = await asyncio.gather(*(world.join(f"{number}") for number in range(20)))
    assert all(member.heard == ["b", "c"] for member in crowd)
    assert len(world.reads) == reads + 1


async def test_what_was_before_is_not_read_where_enough_has_come_since() -> None:
    world = await begun_anew()
    await world.hear(*world.say("d", "e"))
    world.down = True
    assert (await enters(world))[1].heard == ["d", "e"]


@pytest.mark.parametrize("since", [None, "x", str(at(1, epoch="f"))])
async def test_while_what_was_before_cannot_be_read_nothing_is_sent(since: str | None) -> None:
    world = await begun_anew()
    world.down = True
    resumed, member = await enters(world, since)
    assert (resumed.reason, resumed.position, member.heard) == ("unavailable", None, [])


async def test_what_is_said_while_the_last_ones_are_sent_comes_after_them_and_once() -> None:
    world = World(on_join=2)
    world.say("a", "b")
    member, resuming = await enters_slowly(world)
    await world.hear(*world.say("c", "d"))
    member.reads()
    assert await resuming == Resumed(position=at(4))
    await world.hear(*world.say("e"))
    assert member.heard == ["a", "b", "c", "d", "e"]


async def test_who_is_overtaken_while_it_gets_the_last_ones_is_told() -> None:
    world = World(messages=3, on_join=2)
    world.say("a", "b")
    member, resuming = await enters_slowly(world)
    await world.hear(*world.say(*"cdefgh"))
    member.reads()
    assert await resuming == Resumed(position=at(8), recovered=False, reason="too_many")
    await world.hear(*world.say("i"))
    assert member.heard == ["a", "b", "i"]


async def test_a_replay_that_is_overtaken_goes_on_with_the_last_ones() -> None:
    world = World(messages=3, on_join=2)
    world.say("a", "b")
    await world.join("first")
    member, resuming = await enters_slowly(world, since=world.position(1))
    await world.hear(*world.say(*"cdefgh"))
    member.reads()
    assert await resuming == Resumed(position=at(8), recovered=False, reason="too_many")
    assert member.heard == ["b", "g", "h"]


async def test_another_epoch_while_what_was_before_is_read_begins_with_what_that_has() -> None:
    world = await begun_anew()
    world.enter(member := Member("new"))
    world.begin_anew("g")
    world.say("x")
    assert await world.resume(member) == Resumed(position=at(1, epoch="g"))
    assert member.heard == ["x"]


async def test_who_leaves_meanwhile_gets_no_more() -> None:
    world = World(on_join=2)
    world.say("a", "b")
    member, resuming = await enters_slowly(world)
    world.leave(member)
    member.reads()
    assert (await resuming, member.heard) == (Resumed(), ["a"])
