import asyncio
import random
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.scale import examples
from fastapi_rooms.activity import Activity
from unit.fakes import SOON


class Scene:
    """People come and go; transitions are noted, and may be held up."""

    def __init__(self) -> None:
        self.inside = 0
        self.log: list[str] = []
        self.running = 0
        self.succeed = True
        self.pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
        self.activity = Activity(occupied=lambda: self.inside > 0)

    async def on_active(self) -> bool:
        return await self._run("active")

    async def on_idle(self) -> bool:
        return await self._run("idle")

    async def _run(self, name: str) -> bool:
        self.running += 1
        assert self.running == 1, "transitions overlap"
        await self.pause()
        self.running -= 1
        self.log.append(name)
        return self.succeed

    async def come(self) -> None:
        self.inside += 1
        await self.activity.enter(self.on_active)

    async def go(self) -> None:
        self.inside -= 1
        await self.activity.leave(self.on_idle)


async def test_it_is_active_from_the_first_to_the_last() -> None:
    scene = Scene()
    await scene.come()
    await scene.come()
    assert (scene.log, scene.activity.active, scene.activity.settled) == (["active"], True, False)
    await scene.go()
    await scene.go()
    assert (scene.log, scene.activity.active, scene.activity.settled) == (["active", "idle"], False, True)


async def test_who_comes_while_it_becomes_active_waits() -> None:
    scene = Scene()
    hold = asyncio.Event()
    scene.pause = hold.wait
    first, second = asyncio.create_task(scene.come()), asyncio.create_task(scene.come())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (scene.activity.visitors, first.done(), second.done()) == (2, False, False)
    hold.set()
    await asyncio.gather(first, second)
    assert scene.log == ["active"]


async def test_a_quick_leave_and_return_runs_nothing() -> None:
    scene = Scene()
    await scene.come()
    scene.inside -= 1
    scene.inside += 1
    await scene.activity.leave(scene.on_idle)
    assert scene.log == ["active"]


async def test_who_has_left_before_its_turn_makes_nothing_active() -> None:
    scene = Scene()
    scene.inside += 1
    coming = asyncio.create_task(scene.activity.enter(scene.on_active))
    scene.inside -= 1
    await coming
    assert (scene.log, scene.activity.settled) == ([], True)


async def test_after_a_failure_the_next_to_come_tries_again() -> None:
    scene = Scene()
    scene.succeed = False
    await scene.come()
    assert not scene.activity.active
    scene.succeed = True
    await scene.come()
    assert scene.log == ["active", "active"]
    assert scene.activity.active


async def test_without_a_successful_on_active_there_is_no_on_idle() -> None:
    scene = Scene()
    scene.succeed = False
    await scene.come()
    await scene.go()
    assert (scene.log, scene.activity.settled) == (["active"], True)


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32), people=st.integers(1, 6), rounds=st.integers(1, 5))
def test_transitions_alternate_however_people_come_and_go(seed: int, people: int, rounds: int) -> None:
    chance = random.Random(seed)
    scene = Scene()

    async def ticks() -> None:
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)

    async def person() -> None:
        for _ in range(rounds):
            await ticks()
            await scene.come()
            await ticks()
            await scene.go()

    async def run() -> None:
        scene.pause = ticks
        async with asyncio.timeout(SOON):
            await asyncio.gather(*(person() for _ in range(people)))

    asyncio.run(run())
    assert scene.log == ["active", "idle"] * (len(scene.log) // 2)
    assert scene.log
    assert scene.activity.settled
