"""Who falls behind in a room with a history is brought back from it, in order and once; or is closed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_rooms.history_ports import Resumed
from fastapi_rooms.position import Position
from unit.fakes import SOON
from unit.history_world import ROOM, TOO_LARGE, Member, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(messages=5)
    yield world
    await world.histories.stop(SOON)


async def stalled(world: World, name: str = "slow", *, user_id: str | None = None) -> Member:
    """A member whose queue is full."""
    member = await world.join(name, user_id=user_id)
    member.half_empty.clear()
    return member


async def reads_again(world: World, *members: Member) -> None:
    for member in members:
        member.half_empty.set()
    await world.idle()


async def test_who_fell_behind_gets_what_it_missed_once_its_queue_is_half_empty(world: World) -> None:
    slow, quick = await stalled(world), await world.join("quick")
    await world.hear(*world.say("a", "b", "c"))
    assert (slow.heard, quick.heard) == ([], ["a", "b", "c"])
    await reads_again(world, slow)
    assert slow.heard == ["a", "b", "c"]
    await world.hear(*world.say("d"))
    assert slow.heard == quick.heard == ["a", "b", "c", "d"]
    assert (world.closed, world.lost, world.reads) == ([], [], [0])


async def test_who_falls_behind_again_is_brought_back_again(world: World) -> None:
    slow = await stalled(world)
    for text in ("a", "b", "c"):
        slow.half_empty.clear()
        await world.hear(*world.say(text, f"{text}{text}"))
        await reads_again(world, slow)
    assert slow.heard == ["a", "aa", "b", "bb", "c", "cc"]


async def test_what_comes_while_it_is_brought_back_comes_afterwards_and_once(world: World) -> None:
    slow = await stalled(world)
    slow.gate = asyncio.Event()
    await world.hear(*world.say("a", "b"))
    slow.half_empty.set()
    await slow.waits.wait()
    await world.hear(*world.say("c"))
    slow.gate.set()
    await world.idle()
    await world.hear(*world.say("d"))
    assert slow.heard == ["a", "b", "c", "d"]


async def test_who_missed_more_than_is_kept_is_closed_and_nobody_else_is(world: World) -> None:
    slow, quick = await stalled(world), await world.join("quick")
    texts = [f"{number}" for number in range(6)]
    await world.hear(*world.say(*texts))
    await reads_again(world, slow)
    assert (world.closed, world.lost, slow.heard) == ([slow], [], [])
    assert (list(world.members), quick.heard) == ([quick], texts)


async def test_who_missed_as_much_as_is_kept_gets_all_of_it(world: World) -> None:
    slow = await stalled(world)
    await world.hear(*world.say(*"abcde"))
    await reads_again(world, slow)
    assert (world.closed, slow.heard) == ([], [*"abcde"])


async def test_who_is_overtaken_while_it_is_brought_back_is_closed(world: World) -> None:
    slow = await stalled(world)
    slow.gate = asyncio.Event()
    await world.hear(*world.say("a"))
    slow.half_empty.set()
    await slow.waits.wait()
    await world.hear(*world.say(*"bcdefghij"))
    slow.gate.set()
    await world.idle()
    assert (world.closed, slow.heard) == ([slow], ["a"])


async def test_another_epoch_closes_who_fell_behind_at_once(world: World) -> None:
    slow, quick = await stalled(world), await world.join("quick")
    await world.hear(*world.say("a"))
    world.begin_anew("f")
    await world.hear(*world.say("x"))
    await world.settled()
    assert (world.lost, world.closed) == ([[slow, quick]], [])
    await reads_again(world, slow)
    assert slow.heard == []


async def test_a_message_from_the_history_that_does_not_fit_makes_a_member_fall_behind_too(world: World) -> None:
    slow = await stalled(world)
    _, _, c = world.say("a", "b", "c")
    await world.hear(c)  # "a" and "b" are read
    await world.settled()
    assert slow.heard == []
    await reads_again(world, slow)
    assert slow.heard == ["a", "b", "c"]


async def test_what_is_not_for_it_brings_nobody_behind_and_is_not_replayed(world: World) -> None:
    slow = await stalled(world, user_id="u")
    await world.hear(*world.say("for others", exclude=("slow",)), *world.say("for them", exclude_users=("u",)))
    assert not world.histories._rooms[ROOM].replaying
    await world.hear(*world.say("a"), *world.say("for others", exclude=("slow",)), *world.say("b"))
    await reads_again(world, slow)
    assert slow.heard == ["a", "b"]


async def test_a_message_that_nobody_can_get_is_skipped_for_who_fell_behind(world: World) -> None:
    slow = await stalled(world)
    with world.slow_reads():
        world.histories.restored()
        await world.reading.wait()
        await world.hear(*world.say("a", TOO_LARGE, "c"))
    await world.settled()
    await reads_again(world, slow)
    assert slow.heard == ["a", "c"]


async def test_who_leaves_while_it_is_behind_gets_nothing_more_and_may_come_back(world: World) -> None:
    slow = await stalled(world)
    await world.hear(*world.say("a"))
    world.leave(slow)
    await world.idle()
    assert not world.histories._rooms[ROOM].replaying
    slow.half_empty.set()
    world.enter(slow)
    assert await world.resume(slow, world.position(0)) == Resumed(position=Position(ROOM, "e", 1), recovered=True)
    assert (slow.heard, world.closed) == (["a"], [])


async def test_who_leaves_and_comes_again_while_it_is_brought_back_gets_nothing_twice(world: World) -> None:
    slow = await stalled(world)
    slow.gate = asyncio.Event()
    await world.hear(*world.say("a", "b"))
    slow.half_empty.set()
    await slow.waits.wait()
    world.leave(slow)
    world.enter(slow)
    resuming = asyncio.create_task(world.resume(slow, world.position(0)))
    await asyncio.sleep(0)
    slow.gate.set()
    await resuming
    await world.hear(*world.say("c"))
    assert (slow.heard, world.closed) == (["a", "b", "c"], [])


async def test_who_ends_while_it_is_behind_is_not_closed_again(world: World) -> None:
    slow = await stalled(world)
    await world.hear(*world.say("a"))
    slow.gone = True
    await reads_again(world, slow)
    assert (world.closed, slow.heard) == ([], [])


@pytest.mark.logged_errors
async def test_who_cannot_be_brought_back_for_a_reason_that_nobody_knows_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = await stalled(world)
    await world.hear(*world.say("a"))

    async def fail(payload: object) -> None:
        raise RuntimeError(payload)

    monkeypatch.setattr(slow, "send", fail)
    await reads_again(world, slow)
    assert world.closed == [slow]


async def test_who_needs_what_cannot_be_read_is_closed(world: World) -> None:
    slow = await stalled(world)
    await world.hear(*world.say(*"abcdef"))
    world.down = True
    await reads_again(world, slow)
    assert world.closed == [slow]


async def test_many_who_fell_behind_are_brought_back_without_a_read(world: World) -> None:
    crowd = [await stalled(world, f"{number}") for number in range(50)]
    await world.hear(*world.say("a", "b"))
    assert len(world.histories._tasks) == len(crowd)
    await reads_again(world, *crowd)
    assert all(member.heard == ["a", "b"] for member in crowd)
    assert (world.reads, world.histories._rooms[ROOM].replaying) == ([0], {})


async def test_a_room_that_is_forgotten_waits_for_nobody(world: World) -> None:
    slow = await stalled(world)
    await world.hear(*world.say("a"))
    world.histories.forget(ROOM)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (len(world.histories._tasks), slow.heard) == (0, [])
