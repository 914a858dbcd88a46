"""Rooms with a history in real worker processes: clients come back elsewhere; what they miss, they are told."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from conformance.wire import OPENED, request
from fastapi_rooms import CloseCode

from .engines import STARTS_WITHIN, Engine
from .history_clients import Author, Told, Traveller, holes, travelling
from .processes import Process
from .scale import LONGER, SOAK

_NUMBERS = itertools.count()

WORKERS = 3

CLIENTS, ROOMS, MESSAGES, KILLS = 12, 4, 5_000 * LONGER, 2

AT_ONCE = 10
"""Messages in one request of an author to its worker."""

AWAY, STAY, ROAMING, ROAMERS, A_SECOND = (2.0, 2.0, 60.0, 20, 20) if SOAK else (0.2, 0.1, 3.0, 20, 40)
"""Seconds away, at a worker, and in all; clients; messages in a second."""

JOINS, FLOOD, FLOODING = 200, 200, 2.0 * LONGER
"""Joins; messages in a second; seconds."""

BACK, LIVE = 100, 20
"""Messages that who joins amid the flood has missed, at most; that it gets live, at least."""

SLOW, MISSED = 3, 300
"""Clients that take little at a time; messages that they have missed."""


class Team:
    """Three workers, which are replaced when they have died."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = f"historic{next(_NUMBERS)}"
        self.workers: list[Process] = []

    def complete(self) -> list[Process]:
        self.workers = [one for one in self.workers if one.alive]
        new = [
            Process(url=self._url, prefix=self._prefix, timings="steady", app="history_app")
            for _ in range(WORKERS - len(self.workers))
        ]
        self.workers += new
        for one in new:
            one.wait_started()
        return self.workers

    def stop(self) -> None:
        for one in self.workers:
            one.stop()


@pytest.fixture(scope="module")
def team(own_engine: Engine) -> Iterator[Team]:
    team = Team(own_engine.url)
    try:
        yield team
    finally:
        team.stop()


@pytest.fixture
def workers(team: Team) -> Iterator[list[Process]]:
    """They run, and are connected, or will be soon."""
    yield team.complete()
    while OPENED:
        OPENED.pop().close()


def rooms(count: int, *, kind: str = "room") -> list[str]:
    """Rooms that nobody has used."""
    return [f"{kind}-{next(_NUMBERS)}" for _ in range(count)]


@asynccontextmanager
async def authors(workers: Sequence[Process], names: Sequence[str]) -> AsyncIterator[list[Author]]:
    """One for each of these rooms."""
    found = [Author(workers, room=room, name=f"author-{number}") for number, room in enumerate(names)]
    try:
        yield found
    finally:
        for author in found:
            author.leave()


async def all_say(authors: Sequence[Author], numbers: range, *, at_once: int = 1, every: float = 0.0) -> None:
    async with asyncio.TaskGroup() as group:
        for author in authors:
            group.create_task(author.say(numbers, at_once=at_once, every=every))


async def all_arrive(travellers: Sequence[Traveller], worker: Process) -> None:
    """Wait until everybody is where their room is."""
    for room in {one.room for one in travellers}:
        end = await request(worker.port, "GET", f"/{room}/position", timeout=STARTS_WITHIN)
        for traveller in travellers:
            if traveller.room == room:
                await traveller.until(lambda one, end=end: one.position == end)  # type: ignore[misc]


def check(travellers: Sequence[Traveller], authors: Sequence[Author], *, last: int) -> None:
    """Everybody has each message of their room up to the last one, once and in order; or was told."""
    uncertain = {(author.name, number) for author in authors for number in author.uncertain}
    for one in travellers:
        assert holes(one, uncertain=uncertain) == [], (one.journal, uncertain)
        assert len({said.position for said in one.heard}) == len(one.heard)
        for author in authors:
            if author.room == one.room:
                assert [said.number for said in one.heard if said.author == author.name][-1] == last


async def test_two_hundred_joins_amid_a_flood_have_no_gap_and_nothing_twice(workers: list[Process]) -> None:
    (room,) = rooms(1)
    witness = Traveller(workers, room=room, seed=0)
    luck = random.Random(0)

    async def join(number: int) -> Traveller:
        """Someone who has missed some, and then hears some more."""
        await asyncio.sleep(number * FLOODING / JOINS)
        everything = witness.heard
        since = luck.randrange(max(0, len(everything) - BACK), len(everything))
        one = Traveller(workers, room=room, seed=number, since=everything[since].position)
        enough = len(everything) - since + LIVE
        async with travelling(one):
            await one.until(lambda one: len(one.journal) > enough)
        await witness.until(lambda witness: len(witness.journal) > since + len(one.journal))
        assert one.heard == witness.heard[since + 1 :][: len(one.heard)]
        return one

    async with authors(workers, [room] * 4) as four, travelling(witness), asyncio.TaskGroup() as group:
        flood = group.create_task(all_say(four, range(10**6), every=len(four) / FLOOD))
        await witness.until(lambda witness: len(witness.journal) > BACK // 2)
        joins = await asyncio.gather(*(group.create_task(join(number)) for number in range(JOINS)))
        flood.cancel()
    for one in joins:
        assert (one.told, one.sent_away) == ([Told(recovered=True, reason=None)], [])
    assert sum(one.replayed for one in joins) > JOINS // 2
    assert holes(witness) == []


async def test_what_is_said_while_somebody_slow_is_brought_up_to_date_comes_afterwards(
    workers: list[Process],
) -> None:
    (room,) = rooms(1, kind="wide")
    start = await request(workers[0].port, "GET", f"/{room}/position", timeout=STARTS_WITHIN)
    slow = [Traveller(workers, room=room, seed=seed, since=start, slow=True) for seed in range(SLOW)]
    last = MISSED + 200
    async with authors(workers, [room]) as one, asyncio.TaskGroup() as group:
        await all_say(one, range(MISSED), at_once=MISSED)
        group.create_task(all_say(one, range(MISSED, last + 1), every=0.001))
        async with travelling(*slow):
            for traveller in slow:
                await traveller.until(lambda traveller: traveller.newest == last)
    check(slow, one, last=last)
    for traveller in slow:
        assert traveller.told == [Told(recovered=True, reason=None)]
    assert max(traveller.journal.index(traveller.told[0]) for traveller in slow) > MISSED


def have_roamed(travellers: Sequence[Traveller]) -> bool:
    """Whether each has missed something, and all have come back often, though they may be slow."""
    visits = sum(len(one.told) - 1 for one in travellers)
    replays = [one.replayed for one in travellers]
    return all(replays) and sum(replays) > 2 * ROAMERS and visits > ROAMERS * ROAMING / (AWAY + STAY) / 4


async def test_who_is_away_again_and_again_misses_nothing_and_gets_nothing_twice(workers: list[Process]) -> None:
    names = rooms(ROOMS)
    travellers = [
        Traveller(workers, room=names[seed % ROOMS], seed=seed, stay=STAY, away=AWAY) for seed in range(ROAMERS)
    ]
    said, least, some = 0, int(ROAMING * A_SECOND / ROOMS), A_SECOND // ROOMS
    async with authors(workers, names) as one_each, travelling(*travellers):
        async with asyncio.timeout(ROAMING + STARTS_WITHIN):
            while said < least or not have_roamed(travellers):
                await all_say(one_each, range(said, said + some), every=ROOMS / A_SECOND)
                said += some
        await all_arrive(travellers, workers[0])
    check(travellers, one_each, last=said - 1)
    always = Told(recovered=True, reason=None)
    for one in travellers:
        assert one.told == [Told(None, None), *[always] * (len(one.told) - 1)]
        assert one.sent_away == []


async def test_an_engine_that_is_killed_twice_loses_nothing_that_is_not_told(
    workers: list[Process], own_engine: Engine
) -> None:
    names = rooms(ROOMS)
    travellers = [Traveller(workers, room=names[seed % ROOMS], seed=seed) for seed in range(CLIENTS)]
    last = MESSAGES // CLIENTS
    pids = [(await one.health())["pid"] for one in workers]
    async with (
        authors(workers, [one.room for one in travellers]) as twelve,
        travelling(*travellers),
        asyncio.TaskGroup() as group,
    ):
        talking = group.create_task(all_say(twelve, range(last), at_once=AT_ONCE))
        for kills in range(1, KILLS + 1):
            reached = kills * last // (KILLS + 1)
            await travellers[0].until(lambda one, reached=reached: one.newest >= reached)  # type: ignore[misc]
            await asyncio.to_thread(own_engine.kill)
            await asyncio.to_thread(own_engine.start)
            for one in travellers:
                await one.until(lambda one, kills=kills: len(one.told_of_loss) >= kills)  # type: ignore[misc]
        await talking
        for worker in workers:
            await worker.wait_health(connected=True)
        await all_say(twelve, range(last, last + 1))
        await all_arrive(travellers, workers[0])
    check(travellers, twelve, last=last)
    assert sum(len(one.uncertain) for one in twelve) <= KILLS * CLIENTS
    for one in travellers:
        assert (
            {CloseCode.POSITION_LOST} <= set(one.sent_away) <= {CloseCode.POSITION_LOST, CloseCode.SLOW_CONSUMER}
        )
        assert one.sent_away.count(CloseCode.POSITION_LOST) <= KILLS * WORKERS
        assert {told.reason for told in one.told_of_loss} <= {"epoch_changed", "unavailable"}
        assert [told for told in one.told if told.recovered is None] == one.told[:1]
    assert [(await one.health())["pid"] for one in workers] == pids


async def test_clients_of_a_worker_that_is_killed_come_back_at_others_and_miss_nothing(
    workers: list[Process],
) -> None:
    names = rooms(ROOMS)
    travellers = [Traveller(workers, room=names[seed % ROOMS], seed=seed) for seed in range(CLIENTS)]
    last = 50 * LONGER
    async with (
        authors(workers, [one.room for one in travellers]) as twelve,
        travelling(*travellers),
        asyncio.TaskGroup() as group,
    ):
        talking = group.create_task(all_say(twelve, range(last + 1), at_once=AT_ONCE))
        await travellers[0].until(lambda one: len(one.journal) > last)
        victim = travellers[0].worker
        assert victim is not None
        its = [one for one in travellers if one.worker is victim]
        victim.kill()
        await talking
        await all_arrive(travellers, next(one for one in workers if one is not victim))
    check(travellers, twelve, last=last)
    always = Told(recovered=True, reason=None)
    for one in travellers:
        assert one.told == [Told(None, None), *[always] * len(one.sent_away)]
        assert one.sent_away.count(None) == (one in its)
        assert set(one.sent_away) <= {None, CloseCode.SLOW_CONSUMER}
