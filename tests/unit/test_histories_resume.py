"""Who comes back gets all that it missed, in order and before live messages, or is told why not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_rooms.history_ports import Resumed
from fastapi_rooms.position import Position
from unit.fakes import SOON
from unit.history_world import ROOM, Member, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A room with three messages, which this process has not seen live, and one member."""
    world = World()
    world.say("a", "b", "c")
    await world.join("first")
    yield world
    await world.histories.stop(SOON)


async def back(world: World, since: str | None) -> tuple[Resumed, list[str]]:
    """What becomes of somebody who brings this position."""
    member = Member("back")
    world.enter(member)
    resumed = await world.resume(member, since)
    assert resumed is not None
    return resumed, member.heard


async def held_up(world: World, *, since: int) -> "tuple[Member, asyncio.Event, asyncio.Task[Resumed | None]]":
    """Somebody who comes back and takes nothing until the event is set; the first message waits for it."""
    member = Member("back")
    member.gate = gate = asyncio.Event()
    world.enter(member)
    resuming = asyncio.create_task(world.resume(member, world.position(since)))
    await member.waits.wait()
    return member, gate, resuming


def at(offset: int, *, epoch: str = "e") -> Position:
    return Position(ROOM, epoch, offset)


async def test_who_brings_none_begins_here(world: World) -> None:
    assert await back(world, None) == (Resumed(position=at(3)), [])


async def test_who_brings_the_newest_has_all(world: World) -> None:
    assert await back(world, world.position(3)) == (Resumed(position=at(3), recovered=True), [])
    assert world.reads == [0]


async def test_what_members_here_got_is_replayed_from_memory(world: World) -> None:
    await world.hear(*world.say("d", "e"))
    assert await back(world, world.position(3)) == (Resumed(position=at(5), recovered=True), ["d", "e"])
    assert world.reads == [0]


async def test_what_is_older_is_read_once_by_many_at_once(world: World) -> None:
    with world.slow_reads():
        resuming = [asyncio.create_task(back(world, world.position(offset))) for offset in (0, 1, 2)]
        await world.reading.wait()
    heard = [(await one)[1] for one in resuming]
    assert (heard, world.reads) == ([["a", "b", "c"], ["b", "c"], ["c"]], [0, 0])


async def test_what_is_not_kept_any_more_has_expired(world: World) -> None:
    world.kept = 1
    assert await back(world, world.position(0)) == (
        Resumed(position=at(3), recovered=False, reason="expired"),
        [],
    )


async def test_more_than_are_kept_are_too_many(world: World) -> None:
    await world.hear(*world.say(*"defghijk"))
    assert await back(world, world.position(0)) == (
        Resumed(position=at(11), recovered=False, reason="too_many"),
        [],
    )


@pytest.mark.parametrize(
    "since", [str(at(3, epoch="other")), str(Position("blue", "e", 3)), "", "x", "9" * 300, "-1"]
)
async def test_what_is_no_position_of_this_room_and_epoch_is_told(world: World, since: str) -> None:
    told = Resumed(position=at(3), recovered=False, reason="epoch_changed")
    assert await back(world, since) == (told, [])


async def test_who_was_at_a_process_that_is_ahead_waits_until_this_one_has_caught_up(world: World) -> None:
    world.say("d", "e")
    assert await back(world, world.position(4)) == (Resumed(position=at(5), recovered=True), ["e"])
    assert next(member.heard for member in world.members) == ["d", "e"]


async def test_who_is_ahead_of_what_is_being_read_waits_for_the_next_read(world: World) -> None:
    with world.slow_reads():
        world.histories.restored()
        await world.reading.wait()
        world.say("d")
        resuming = asyncio.create_task(back(world, world.position(4)))
        await asyncio.sleep(0)
    assert await resuming == (Resumed(position=at(4), recovered=True), [])


async def test_a_position_ahead_of_everybody_is_told(world: World) -> None:
    told = Resumed(position=at(3), recovered=False, reason="epoch_changed")
    assert await back(world, world.position(99)) == (told, [])


async def test_whether_a_position_ahead_is_true_is_unknown_while_nothing_can_be_read(world: World) -> None:
    world.down = True
    assert await back(world, world.position(4)) == (Resumed(recovered=False, reason="unavailable"), [])


async def test_what_is_older_is_unavailable_while_nothing_can_be_read(world: World) -> None:
    world.down = True
    with world.slow_reads():
        resuming = [asyncio.create_task(back(world, world.position(1))) for _ in range(3)]
        await world.reading.wait()
    for one in resuming:
        assert await one == (Resumed(recovered=False, reason="unavailable"), [])
    assert world.reads == [0, 0]
    world.down = False
    assert (await back(world, world.position(1)))[1] == ["b", "c"]


@pytest.mark.parametrize("since", [None, str(at(1))])
async def test_who_enters_first_while_nothing_can_be_read_is_told(since: str | None) -> None:
    world = World()
    world.down = True
    recovered = None if since is None else False
    assert await back(world, since) == (Resumed(recovered=recovered, reason="unavailable"), [])
    await world.histories.stop(SOON)


async def test_an_epoch_that_is_found_out_when_looking_back_is_told(world: World) -> None:
    since = world.position(1)
    world.begin_anew("f")
    told = Resumed(position=at(0, epoch="f"), recovered=False, reason="epoch_changed")
    assert await back(world, since) == (told, [])
    assert [[member.id for member in members] for members in world.lost] == [["first"]]


async def test_who_has_not_entered_does_not_resume(world: World) -> None:
    assert await world.resume(Member("stranger"), world.position(0)) is None
    assert await World().resume(Member("stranger")) is None


async def test_live_messages_during_a_replay_come_after_it_and_once(world: World) -> None:
    member = Member("back")
    member.gate = asyncio.Event()
    world.enter(member)
    await world.hear(*world.say("d"))
    resuming = asyncio.create_task(world.resume(member, world.position(0)))
    await member.waits.wait()
    await world.hear(*world.say("e", "f"))
    member.gate.set()
    assert await resuming == Resumed(position=at(6), recovered=True)
    await world.hear(*world.say("g"))
    assert member.heard == list("abcdefg")


async def test_a_replay_that_is_overtaken_is_told(world: World) -> None:
    _, gate, resuming = await held_up(world, since=2)
    await world.hear(*world.say(*"defghijklmnop"))
    gate.set()
    assert await resuming == Resumed(position=at(16), recovered=False, reason="too_many")


async def test_a_new_epoch_during_a_replay_is_told_and_the_member_stays(world: World) -> None:
    member, gate, resuming = await held_up(world, since=1)
    world.begin_anew("f")
    await world.hear(*world.say("x"))
    await world.settled()
    gate.set()
    assert await resuming == Resumed(position=at(1, epoch="f"), recovered=False, reason="epoch_changed")
    await world.hear(*world.say("y"))
    assert member.heard[-1] == "y"
    assert member in world.members


async def test_a_replay_ends_when_its_member_leaves(world: World) -> None:
    member, gate, resuming = await held_up(world, since=0)
    world.leave(member)
    gate.set()
    await resuming
    assert member.heard == ["a"]  # it was on its way


async def test_who_leaves_and_comes_again_during_a_replay_gets_all_of_the_second_once(world: World) -> None:
    member, gate, first = await held_up(world, since=0)
    world.leave(member)
    world.enter(member)
    second = asyncio.create_task(world.resume(member, world.position(0)))
    await asyncio.sleep(0)
    await world.hear(*world.say("d"))
    gate.set()
    await asyncio.gather(first, second)
    await world.hear(*world.say("e"))
    assert member.heard == ["a", *"abcde"]  # the first "a" was on its way


async def test_a_joining_that_is_cancelled_leaves_the_reading_to_others(world: World) -> None:
    with world.slow_reads():
        one = asyncio.create_task(back(world, world.position(0)))
        other = asyncio.create_task(back(world, world.position(1)))
        await world.reading.wait()
        one.cancel()
        await asyncio.wait((one,))
        assert one.cancelled()
    assert (await other)[1] == ["b", "c"]
    assert not world.histories._rooms[ROOM].replaying


async def test_who_enters_while_the_room_is_forgotten_is_told_and_not_cancelled() -> None:
    world = World()
    with world.slow_reads():
        resuming = asyncio.create_task(back(world, None))
        await world.reading.wait()
        world.histories.forget(ROOM)
        assert await resuming == (Resumed(reason="unavailable"), [])


async def test_who_enters_a_room_that_was_forgotten_begins_where_it_is_now(world: World) -> None:
    world.histories.forget(ROOM)
    await world.hear(*world.say("d"))
    member = await world.join("back", world.position(1))
    await world.hear(*world.say("e"))
    assert member.heard == ["b", "c", "d", "e"]


async def test_who_is_excluded_is_spared_in_a_replay(world: World) -> None:
    await world.hear(*world.say("for others", exclude=("back",)))
    await world.hear(*world.say("for other users", exclude_users=("u",)))
    await world.hear(*world.say("d", exclude=("another",)))
    member = Member("back", user_id="u")
    world.enter(member)
    resumed = await world.resume(member, world.position(2))
    assert (resumed, member.heard) == (Resumed(position=at(6), recovered=True), ["c", "d"])


async def test_a_history_of_one_message_is_replayed() -> None:
    world = World(messages=1)
    world.say("a", "b")
    assert await back(world, world.position(1)) == (Resumed(position=at(2), recovered=True), ["b"])
    resumed, heard = await back(world, world.position(0))
    assert (resumed.recovered, resumed.reason, heard) == (False, "too_many", [])
