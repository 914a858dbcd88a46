import asyncio

import pytest

from fastapi_rooms.tasks import TaskOwner
from unit.fakes import SHORT, SOON


async def test_a_task_is_kept_until_it_is_done() -> None:
    owner = TaskOwner()
    go = asyncio.Event()
    task = owner.spawn(_wait(go), name="work")
    assert (len(owner), task.get_name()) == (1, "fastapi_rooms work")
    go.set()
    await owner.join(SOON)
    assert len(owner) == 0


async def test_joining_nothing_returns_at_once() -> None:
    await TaskOwner().join(None)


async def test_tasks_that_tasks_start_are_waited_for_too() -> None:
    owner = TaskOwner()
    done: list[str] = []

    async def child() -> None:
        await asyncio.sleep(0)
        done.append("child")

    async def parent() -> None:
        await asyncio.sleep(0)
        owner.spawn(child(), name="child")
        done.append("parent")

    owner.spawn(parent(), name="parent")
    await owner.join(None)
    assert done == ["parent", "child"]


async def test_what_is_late_is_cancelled() -> None:
    owner = TaskOwner()
    task = owner.spawn(_wait(asyncio.Event()), name="late")
    await owner.join(SHORT)
    assert task.cancelled()
    assert len(owner) == 0


async def test_a_task_that_joins_does_not_wait_for_itself() -> None:
    owner = TaskOwner()
    async with asyncio.timeout(SOON):
        await owner.spawn(owner.join(None), name="itself")


@pytest.mark.logged_errors
async def test_an_exception_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    owner = TaskOwner()

    async def fails() -> None:
        raise LookupError("why")

    task = owner.spawn(fails(), name="work")
    await asyncio.wait((task,))
    await owner.join(SOON)
    assert caplog.messages == ["fastapi_rooms work failed"]


async def test_tasks_of_a_loop_that_is_closed_are_forgotten() -> None:
    owner = TaskOwner()
    go = asyncio.Event()
    task = owner.spawn(_wait(go), name="work")
    owner.abandon()
    assert len(owner) == 0
    go.set()
    await task


async def _wait(go: asyncio.Event) -> None:
    await go.wait()
