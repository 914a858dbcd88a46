"""Real worker processes on a real engine: many messages, and what dies in the middle."""

import asyncio
import itertools

from .engines import Engine
from .processes import Person, Process, by_room, crowd, processes
from .scale import LONGER

_PREFIXES = itertools.count()

PEOPLE, ROOMS, MESSAGES = 30, 10, 5_000 * LONGER

MEMORY = 30 * 1024 * 1024
"""Bytes that a worker may grow by while its broker is away twice."""


def prefix() -> str:
    return f"processes{next(_PREFIXES)}"


async def talk(people: list[Person], numbers: range) -> None:
    """Everybody says all the numbers, one after the other, all at once."""

    async def say_all(person: Person) -> None:
        for number in numbers:
            await person.say(number)
            if number % 20 == 0:
                await person.until_said(number)

    await asyncio.gather(*(say_all(person) for person in people))


async def test_every_member_sees_each_message_of_its_room_once_and_in_order(own_engine: Engine) -> None:
    each = range(MESSAGES // PEOPLE)
    async with (
        processes(3, url=own_engine.url, prefix=prefix()) as workers,
        crowd(workers, people=PEOPLE, rooms=ROOMS) as people,
    ):
        await talk(people, each)
        for members in by_room(people).values():
            assert len(members) == PEOPLE // ROOMS
            for person in members:
                await person.until_heard(*((member.name, each[-1]) for member in members))
            for person in members:
                assert len(person.heard) == len(members) * len(each)
                for member in members:
                    assert person.numbers_of(member.name) == list(each)
                if own_engine.one_order:
                    assert person.heard == members[0].heard
        assert {scope for person in people for scope in person.scopes.values()} == {"cluster"}
        assert sum([(await worker.health())["foreign"] for worker in workers]) == 0


async def test_a_broker_that_is_killed_twice_in_the_middle_splits_the_rooms_and_joins_them_again(
    own_engine: Engine,
) -> None:
    async with (
        processes(3, url=own_engine.url, prefix=prefix()) as workers,
        crowd(workers, people=PEOPLE, rooms=ROOMS) as people,
    ):
        await talk(people, range(10))
        pids = [(await worker.health())["pid"] for worker in workers]
        memory = [worker.memory for worker in workers]
        for outage in (1, 2):
            talking = asyncio.create_task(talk(people, range(100 * outage, 100 * outage + 40)))
            await people[0].until_said(100 * outage)
            own_engine.kill()
            await talking
            for worker in workers:
                await worker.wait_health(connected=False)
            for person in people:
                await person.say(1000 * outage)
                assert await person.until_said(1000 * outage) == "local"
                await person.until_heard((person.name, 1000 * outage))
            own_engine.start()
            for worker in workers:
                lost = sorted(outage * [*by_room(people)])  # the hooks run a moment after all is well
                await worker.wait_health(connected=True, peers=2, outages=outage, continuity_lost=lost)
            for person in people:
                await person.say(1000 * outage + 1)
            for members in by_room(people).values():
                for person in members:
                    await person.until_heard(*((member.name, 1000 * outage + 1) for member in members))
        assert [(await worker.health())["pid"] for worker in workers] == pids
        for worker, before in zip(workers, memory, strict=True):
            assert worker.memory - before < MEMORY
        for person in people:
            assert len(set(person.heard)) == len(person.heard)


async def test_a_worker_that_is_killed_is_never_noticed_by_the_others(own_engine: Engine) -> None:
    each = range(100)
    async with (
        processes(3, url=own_engine.url, prefix=prefix()) as workers,
        crowd(workers, people=PEOPLE, rooms=ROOMS) as people,
    ):
        victim: Process = workers[0]
        left = [person for number, person in enumerate(people) if number % 3]
        talking = asyncio.create_task(talk(left, each))
        await left[0].until_heard((left[0].name, 20))
        victim.kill()
        await talking
        for members in by_room(left).values():
            for person in members:
                await person.until_heard(*((member.name, each[-1]) for member in members))
                for member in members:
                    assert person.numbers_of(member.name) == list(each)
        for worker in workers[1:]:
            await worker.wait_health(connected=True, peers=1, outages=0)
        assert all(scope == "cluster" for person in left for scope in person.scopes.values())
        workers.remove(victim)
