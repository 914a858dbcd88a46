"""Live messages of a history come in order and once; what was missed is read, or members are told."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_rooms import histories as module
from fastapi_rooms.brokers.streams import Entry
from fastapi_rooms.envelope import ForeignMessage
from fastapi_rooms.position import Position
from fastapi_rooms.testing import eventually
from unit.fakes import SOON
from unit.history_world import ROOM, TOO_LARGE, Member, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.histories.stop(SOON)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read is read again in the next turn."""
    monkeypatch.setattr(module, "_PAUSE", 0.0)


async def test_live_messages_are_delivered_in_order(world: World) -> None:
    one = await world.join("one")
    await world.hear(*world.say("a", "b", "c"))
    assert one.heard == ["a", "b", "c"]
    assert world.reads == [0]


async def test_what_is_missing_is_read_and_delivered_before_what_came_live(world: World) -> None:
    one = await world.join("one")
    live = world.say("a", "b", "c")
    await world.hear(live[2])
    await world.idle()
    assert one.heard == ["a", "b", "c"]
    await world.hear(*world.say("d"))
    assert one.heard == ["a", "b", "c", "d"]
    assert world.lost == []


async def test_a_message_that_comes_again_is_ignored(world: World) -> None:
    one = await world.join("one")
    live = world.say("a", "b")
    await world.hear(*live, *live)
    assert one.heard == ["a", "b"]


async def test_what_comes_while_the_history_is_read_comes_after_it(world: World) -> None:
    one = await world.join("one")
    a, b, c = world.say("a", "b", "c")
    with world.slow_reads():
        await world.hear(b)
        await world.reading.wait()
        await world.hear(c)
        assert one.heard == []
    await world.idle()
    assert (one.heard, a[0].offset) == (["a", "b", "c"], 1)


async def test_another_epoch_closes_the_members_and_goes_on(world: World) -> None:
    one = await world.join("one")
    await world.hear(*world.say("a"))
    world.begin_anew("f")
    await world.hear(*world.say("b"))
    await world.idle()
    assert (one.heard, world.lost) == (["a"], [[one]])
    two = await world.join("two")
    await world.hear(*world.say("c"))
    assert two.heard == ["c"]


async def test_what_came_before_another_epoch_was_found_is_of_one_that_is_over(world: World) -> None:
    one = await world.join("one")
    _, b = world.say("a", "b")
    world.down = True
    await world.hear(b)
    await world.idle()
    world.begin_anew("f")
    world.down = False
    world.histories.restored()
    await world.idle()
    assert world.lost == [[one]]
    two = await world.join("two")
    await world.hear(*world.say("c"))
    assert (two.heard, len(world.lost)) == (["c"], 1)


async def test_a_late_message_of_an_epoch_that_is_over_moves_nobody_back_to_it(world: World) -> None:
    late = world.say("of an epoch that is over")
    world.begin_anew("f")
    one = await world.join("one")
    await world.hear(*late)
    await world.idle()
    assert (world.lost, one.heard) == ([], [])
    world.enter(two := Member("two"))
    resumed = await world.resume(two)
    assert resumed is not None
    assert resumed.position == Position(ROOM, "f", 0)


async def test_what_is_missing_and_not_kept_any_more_closes_the_members(world: World) -> None:
    one = await world.join("one")
    live = world.say(*(f"{number}" for number in range(12)))
    await world.hear(live[-1])
    await world.idle()
    assert (one.heard, world.lost) == ([], [[one]])


async def test_what_was_pruned_and_has_come_live_meanwhile_is_not_missing() -> None:
    world = World(messages=1)
    one = await world.join("one")
    with world.slow_reads() as gate:
        world.histories.restored()
        await world.reading.wait()
        await world.hear(*world.say("a", "b", "c"))
        gate.set()
        await world.idle()
    world.histories.restored()
    await world.hear(*world.say("d", "e"))
    await world.idle()
    assert (one.heard, world.lost) == (["a", "b", "c", "d", "e"], [])


async def test_a_history_of_one_message_misses_none_of_those_that_come_while_it_is_read() -> None:
    world = World(messages=1)
    one = await world.join("one")
    live = world.say("a", "b", "c")
    with world.slow_reads():
        world.histories.restored()  # and what is read has only the last one
        await world.reading.wait()
        await world.hear(*live)
    await world.idle()
    assert (one.heard, world.lost) == (["a", "b", "c"], [])


async def test_a_foreign_entry_in_the_history_is_skipped(world: World) -> None:
    one = await world.join("one")
    _, _, c = world.say("a", "b", "c")
    world.log[1] = Entry(2, 1, b"somebody else's")
    await world.hear(c)
    await world.idle()
    assert (one.heard, world.lost) == (["a", "c"], [])


async def test_a_live_message_that_nobody_can_get_is_skipped_and_said(world: World) -> None:
    one = await world.join("one")
    a, foreign, c = world.say("a", TOO_LARGE, "c")
    await world.hear(a)
    with pytest.raises(ForeignMessage):
        await world.hear(foreign)
    await world.hear(c)
    assert (one.heard, world.reads) == (["a", "c"], [0])


async def test_a_message_that_nobody_can_get_keeps_none_of_those_that_wait_with_it(world: World) -> None:
    one = await world.join("one")
    with world.slow_reads():
        world.histories.restored()
        await world.reading.wait()
        await world.hear(*world.say("a", TOO_LARGE, "c"))
    await world.idle()
    assert one.heard == ["a", "c"]


@pytest.mark.logged_errors
async def test_a_message_that_cannot_be_delivered_closes_the_members(world: World) -> None:
    one = await world.join("one")
    world.fails = 1
    a, _, c = world.say("a", "b", "c")
    await world.hear(a)
    assert world.lost == [[one]]
    two = await world.join("two", world.position(0))
    world.fails = 1
    await world.hear(c)  # "b" is read, and fails
    await world.idle()
    assert (two.heard, world.lost[1:]) == (["a"], [[two]])
    three = await world.join("three", world.position(1))
    assert three.heard == ["b", "c"]


@pytest.mark.usefixtures("at_once")
async def test_a_history_that_cannot_be_read_is_read_again(world: World) -> None:
    one = await world.join("one")
    world.failures = 2
    await world.hear(world.say("a", "b")[1])
    await eventually(lambda: one.heard == ["a", "b"])
    assert world.reads == [0, 0, 0, 0]


async def test_a_history_that_could_not_be_read_is_read_when_messages_are_heard_again(world: World) -> None:
    one = await world.join("one")
    _, b = world.say("a", "b")
    world.down = True
    await world.hear(b)
    await world.idle()
    world.down = False
    world.histories.restored()
    await world.idle()
    assert one.heard == ["a", "b"]


async def test_what_was_missed_in_an_outage_is_read_though_nothing_comes_after_it(world: World) -> None:
    one = await world.join("one")
    world.say("a")
    world.histories.restored()
    await world.idle()
    assert one.heard == ["a"]


async def test_a_read_from_before_messages_were_heard_again_is_not_the_last(world: World) -> None:
    one = await world.join("one")
    with world.slow_reads():
        world.histories.restored()
        await world.reading.wait()
        world.say("a")  # neither read, nor heard
        world.histories.restored()
    await world.idle()
    assert one.heard == ["a"]


async def test_where_more_wait_than_there_is_place_for_the_history_is_read_again_or_members_are_told() -> None:
    world = World(messages=module._WAITING)
    one = await world.join("one")
    texts = [f"{number}" for number in range(module._WAITING + 20)]
    with world.slow_reads():
        await world.hear(world.say(*texts[:2])[1])
        await world.reading.wait()
        await world.hear(*world.say(*texts[2:]))
    await world.idle()
    assert (one.heard, world.lost, world.reads) == (texts[:2], [[one]], [0, 0, 2])
    two = await world.join("two")
    await world.hear(*world.say("on"))
    assert two.heard == ["on"]


async def test_a_gap_that_is_never_filled_is_a_new_beginning_after_three_reads(world: World) -> None:
    one = await world.join("one")
    _, b = world.say("a", "b")
    world.log.clear()  # an engine that does not show what it has published
    await world.hear(b)
    await world.idle()
    assert (world.reads, world.lost) == ([0, 0, 0, 0], [[one]])
    two = await world.join("two")
    place, header, body = b
    await world.hear((place._replace(offset=3, previous=2), header, body))
    assert two.heard == ["b"]


@pytest.mark.usefixtures("at_once")
async def test_a_second_gap_after_the_new_beginning_does_not_stay(world: World) -> None:
    await world.join("one")
    _, b, _, d = world.say("a", "b", "c", "d")
    world.log.clear()
    await world.hear(b, d)
    await eventually(lambda: len(world.lost) == 3)
    two = await world.join("two")
    place, header, body = d
    await world.hear((place._replace(offset=5, previous=4), header, body))
    assert two.heard == ["d"]


async def test_forgetting_a_room_cancels_what_is_read_for_it(world: World) -> None:
    await world.join("one")
    with world.slow_reads():
        await world.hear(world.say("a", "b")[1])
        await world.reading.wait()
        world.histories.forget("red")
        await world.idle()
        world.histories.forget("red")


@pytest.mark.usefixtures("at_once")
async def test_forgetting_a_room_ends_the_attempts_to_read_it(world: World) -> None:
    await world.join("one")
    world.failures = 1
    world.histories.restored()
    await world.idle()
    reads = len(world.reads)
    world.histories.forget("red")
    await asyncio.sleep(0)
    await world.idle()
    assert len(world.reads) == reads


async def test_messages_of_a_room_that_was_forgotten_are_ignored(world: World) -> None:
    one = await world.join("one")
    world.histories.forget("red")
    await world.hear(*world.say("a"))
    assert one.heard == []


async def test_a_room_where_nobody_has_begun_is_not_read(world: World) -> None:
    one = Member("one")
    world.enter(one)  # and it is not listened to yet
    await world.hear(*world.say("a"))
    world.histories.restored()
    await world.idle()
    assert world.reads == []
    world.say("b")  # neither heard, nor read
    await world.resume(one)
    await world.hear(*world.say("c"))
    assert one.heard == ["c"]


async def test_excluded_connections_and_users_are_spared(world: World) -> None:
    one, two = await world.join("one", user_id="u"), await world.join("two", user_id="v")
    await world.hear(*world.say("a", exclude=("one", "gone")), *world.say("b", exclude_users=("v",)))
    assert (one.heard, two.heard) == (["b"], ["a"])
