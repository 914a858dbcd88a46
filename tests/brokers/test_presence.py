"""Who is present in a room, in several processes on each engine: everybody is told the same, and soon."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple

import pytest

from fastapi_rooms import MetadataTooLarge, NoPresence, Presence, RoomManager, UnencodableMessage
from fastapi_rooms.clustered import Clustered
from fastapi_rooms.envelope import Header, Kind, seal
from fastapi_rooms.testing import eventually

from .engines import Engine
from .presence_pages import HASTY, PATIENT, Page, Process, processes
from .scale import LONGER
from .workers import SOON


@pytest.fixture
async def two(engine: Engine) -> AsyncIterator[list[Process]]:
    async with processes(engine, PATIENT) as two:
        yield two


@pytest.fixture
async def hasty(engine: Engine) -> AsyncIterator[list[Process]]:
    async with processes(engine, HASTY) as two:
        yield two


@pytest.fixture
async def pass_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass at once."""
    loop, passed = asyncio.get_running_loop(), 0.0
    time = loop.time

    def pass_by(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(loop, "time", lambda: time() + passed)
    return pass_by


def is_alone(process: Process) -> bool:
    health = process.manager.health()
    return health is not None and not health.connected


async def test_who_joins_anywhere_is_seen_everywhere_with_what_is_told_of_them(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann", tab="one") as ann:
        assert ann.users == {"ann": ["one"]}
        async with far.page("red", "bob", tab="two") as bob:
            assert bob.users == {"ann": ["one"], "bob": ["two"]}
            await ann.until_there("ann", "bob")
            assert ann.users["bob"] == ["two"]
            async with far.page("red", "cid") as cid:
                assert cid.users.keys() == {"ann", "bob", "cid"}
                await bob.until_there("ann", "bob", "cid")
                await ann.until_there("ann", "bob", "cid")


async def test_two_tabs_are_one_person_who_stays_when_one_is_closed(hasty: list[Process]) -> None:
    near, far = hasty
    async with near.page("red", "ann") as ann:
        async with far.page("red", "bob", tab="two"):
            await ann.until(lambda page: page.users.get("bob") == ["two"])
            async with near.page("red", "bob", tab="one"):
                await ann.until(lambda page: page.users.get("bob") == ["two", "one"])
            await ann.until(lambda page: page.users.get("bob") == ["two"])
            assert "-bob" not in ann.seen
        await ann.until_seen("-bob")


async def test_who_closes_the_last_tab_leaves_after_the_grace_everywhere(hasty: list[Process]) -> None:
    near, far = hasty
    async with near.page("red", "ann") as ann, far.page("red", "bob") as bob:
        loop = asyncio.get_running_loop()
        async with far.page("red", "cid"):
            for page in (ann, bob):
                await page.until_there("ann", "bob", "cid")
            begun = loop.time()
        await ann.until_there("ann", "bob")
        assert loop.time() - begun >= 0.95 * HASTY.grace  # clocks are coarse
        await bob.until_there("ann", "bob")


async def test_who_comes_back_within_the_grace_was_never_away(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann") as ann, far.page("red", "dot") as dot:
        await ann.until_there("ann", "dot")
        for process in (far, near, far):
            async with process.page("red", "bob") as bob:
                assert bob.users.keys() == {"ann", "bob", "dot"}
        async with near.page("red", "cid"):
            await ann.until_seen("+cid")
            await dot.until_seen("+cid")
        # An old tab may be heard to close a moment after the new one was heard to open.
        assert [word for word in ann.seen if word != "~bob"] == ["+dot", "+bob", "+cid"]
        assert [word for word in dot.seen if word != "~bob"] == ["+bob", "+cid"]


async def test_who_leaves_on_purpose_is_gone_at_once(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann") as ann, far.page("red", "bob"):
        await ann.until_there("ann", "bob")
        await far.manager.leave(far.connections("bob")[0], "red")
        await ann.until_there("ann")


async def test_who_is_signed_out_is_gone_at_once_with_all_tabs(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann") as ann, far.page("red", "bob"), near.page("red", "bob"):
        await ann.until(lambda page: len(page.users.get("bob", ())) == 2)
        await near.manager.disconnect_user("bob")
        await ann.until_there("ann")


async def test_a_room_that_is_closed_has_nobody_left(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann") as ann, far.page("red", "bob"):
        await ann.until_there("ann", "bob")
        await near.manager.close_room("red")
        await eventually(lambda: far.manager.count_here("red") == 0, timeout=SOON)
        async with near.page("red", "cid") as cid, far.page("red", "dot"):
            await cid.until_there("cid", "dot")


async def test_what_is_told_of_a_connection_can_change(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann") as ann, far.page("red", "bob", tab="here"):
        await ann.until_there("ann", "bob")
        bob = far.connections("bob")[0]
        assert await far.manager.room("red").update_presence(bob, {"tab": "writing"})
        await ann.until(lambda page: page.users["bob"] == ["writing"])
        assert ann.seen == ["+bob", "~bob"]
        assert not await far.manager.update_presence(bob, "blue", {})
        with pytest.raises(MetadataTooLarge, match="1024"):
            await far.manager.update_presence(bob, "red", {"tab": 2000 * "."})
        with pytest.raises(UnencodableMessage, match="object"):
            await far.manager.update_presence(bob, "red", ["tab"])  # type: ignore[arg-type]


async def test_a_process_without_a_member_asks_the_others(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann"):
        view = await far.manager.room("red").presence()
        assert (set(view.users), view.count, set(view.missing)) == ({"ann"}, 1, set())
        assert (await far.manager.who("blue")).count == 0
    assert isinstance(far.manager._across, Clustered)
    assert not far.manager._across._presences._rooms


async def test_who_has_no_user_or_is_not_to_be_shown_is_not(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", None) as viewer, far.page("red", "ghost") as ghost:
        async with far.page("red", "ann"):
            await viewer.until_there("ann")
            await ghost.until_there("ann")
        with pytest.raises(UnencodableMessage, match="no user"):
            await near.manager.update_presence(near.manager.members_here("red")[0], "red", {})


async def test_above_a_number_of_users_only_the_number_is_told(engine: Engine) -> None:
    few = Presence(grace=0.0, ttl=120.0, refresh=25.0, interval=0.0, listed=3)
    async with (
        processes(engine, few) as (near, far),
        near.page("red", "ann") as ann,
        far.page("red", "bob") as bob,
        near.page("red", "cid"),
    ):
        for page in (ann, bob):  # each at a process of its own
            await page.until_there("ann", "bob", "cid")
        async with far.page("red", "dot") as dot:
            assert (dot.users, dot.count) == ({}, 4)
            await ann.until(lambda page: (page.users, page.count) == ({}, 4))
            await far.manager.leave(far.connections("bob")[0], "red")
            await ann.until(lambda page: (page.users, page.count) == ({}, 3))
            await far.manager.leave(far.connections("dot")[0], "red")
            await ann.until_there("ann", "cid")


async def test_a_change_that_was_lost_is_noticed_and_asked_for(hasty: list[Process]) -> None:
    near, far = hasty
    async with near.page("red", "ann") as ann, far.page("red", "bob"):
        await ann.until_there("ann", "bob")
        assert isinstance(near.manager._across, Clustered)
        cluster = near.manager._across.cluster
        received = cluster.received
        lost: list[bytes] = []

        async def lose(channel: str, data: bytes) -> None:
            if b'"presence"' in data and b"cid" in data and not lost:
                lost.append(data)
            else:
                await received(channel, data)

        cluster.received = lose  # type: ignore[method-assign]
        async with far.page("red", "cid"):
            await ann.until_there("ann", "bob", "cid")
        assert lost


async def test_what_is_no_presence_of_ours_is_counted_and_dropped(two: list[Process]) -> None:
    near, far = two
    async with near.page("red", "ann") as ann, far.page("red", "bob"):
        assert isinstance(far.manager._across, Clustered)
        cluster = far.manager._across.cluster
        bodies = (
            b"",
            b"no json",
            b"{}",
            b'{"after": 2, "clock": 1}',
            b'{"after": 0, "clock": 1, "put": [["id", 1, {}, null]]}',
            b'{"after": 0, "clock": 1, "drop": "all"}',
        )
        for number, body in enumerate(bodies):
            header = Header(kind=Kind.PRESENCE, process="stranger", number=number, room="red")
            await cluster.outbox.publish(cluster.channels.room("red"), seal(header, body))
        await eventually(
            lambda: near.manager.health().foreign == len(bodies),  # type: ignore[union-attr]
            timeout=SOON,
        )
        async with far.page("red", "cid"):
            await ann.until_there("ann", "bob", "cid")


async def test_the_people_of_a_process_that_ends_have_the_time_to_come_back(engine: Engine) -> None:
    async with processes(engine, PATIENT, count=3) as (near, far, old), near.page("red", "ann") as ann:
        async with old.page("red", "bob"), old.page("red", "cid"):
            await ann.until_there("ann", "bob", "cid")
            await old.stop()
        async with far.page("red", "bob"), near.page("red", "cid") as cid:
            assert cid.users.keys() == {"ann", "bob", "cid"}
            async with far.page("red", "dot"):
                await ann.until_seen("+dot")
        assert sorted(word for word in ann.seen if word[0] != "~") == ["+bob", "+cid", "+dot"]


async def test_those_who_do_not_come_back_from_a_process_that_ended_leave(engine: Engine) -> None:
    async with processes(engine, HASTY) as (near, old), near.page("red", "ann") as ann:
        async with old.page("red", "bob"):
            await ann.until_there("ann", "bob")
            await old.stop()
        await ann.until_there("ann")


async def test_nobody_leaves_while_the_broker_is_out_of_reach_nor_soon_after(
    own_engine: Engine, pass_by: Callable[[float], None]
) -> None:
    short = Presence(grace=0.1, ttl=max(8.0, LONGER), refresh=0.3 * LONGER, interval=0.0)
    async with (
        processes(own_engine, short) as (near, far),
        near.page("red", "ann") as ann,
        far.page("red", "bob") as bob,
    ):
        await ann.until_there("ann", "bob")
        own_engine.kill()
        for process in (near, far):
            await eventually(partial(is_alone, process), timeout=SOON)
        async with near.page("red", "cid") as cid:
            await cid.until_there("ann", "bob", "cid")
            pass_by(1.25 * short.ttl)
            await asyncio.sleep(0.1)  # what is due by then is done
            own_engine.start()
            await bob.until_there("ann", "bob", "cid")
            await ann.until_there("ann", "bob", "cid")
        await ann.until_there("ann", "bob")
        await bob.until_there("ann", "bob")
        assert not {"-ann", "-bob"} & {*ann.seen, *bob.seen, *cid.seen}


@pytest.mark.parametrize("listed", [1_000, None])
async def test_a_join_among_five_thousand_costs_what_it_costs_among_five(
    engine: Engine, listed: int | None
) -> None:
    many = Presence(grace=60.0, ttl=120.0, refresh=50.0, interval=0.0, listed=listed)
    async with processes(engine, many) as (near, far), near.page("red", "ann") as ann, far.page("red", "bob"):
        await ann.until_there("ann", "bob")
        for number in range(5):
            far.pretend("red", f"early-{number}")
        await ann.until(lambda page: page.count == 7)
        few = await _bytes_of_joins(far, ann, "among few")
        for number in range(5_000):
            far.pretend("red", f"person-{number}")
        await ann.until(lambda page: page.count == 5_010)
        lots = await _bytes_of_joins(far, ann, "among lots")
        assert ann.count == 5_013
        assert lots.published <= few.published + 20
        assert lots.received <= few.received + 20


class Bytes(NamedTuple):
    """What a join was to others."""

    published: int
    received: int


async def _bytes_of_joins(joins: Process, page: Page, user: str) -> Bytes:
    """The least of three, since a process has other things to say besides."""
    joined = [await _bytes_of_a_join(joins, page, f"{user} {number}") for number in range(3)]
    return Bytes(min(one.published for one in joined), min(one.received for one in joined))


async def _bytes_of_a_join(joins: Process, page: Page, user: str) -> Bytes:
    assert isinstance(joins.manager._across, Clustered)
    outbox = joins.manager._across.cluster.outbox
    publish, published, before, count = outbox.publish, 0, page.bytes, page.count

    async def counted(channel: str, data: bytes) -> None:
        nonlocal published
        published += len(data)
        await publish(channel, data)

    outbox.publish = counted  # type: ignore[method-assign]
    joins.pretend("red", user)
    await page.until(lambda page: page.count == count + 1)
    outbox.publish = publish  # type: ignore[method-assign]
    return Bytes(published, page.bytes - before)


async def test_a_room_without_presence_says_so() -> None:
    for manager in (RoomManager[None, None](), RoomManager[None, None](presence=lambda room: None)):
        async with manager.lifespan():
            with pytest.raises(NoPresence, match="red") as refused:
                await manager.who("red")
            assert refused.value.room == "red"
