"""Case 10: a hook that hangs or raises costs that one connection; long runs of sends all arrive."""

import asyncio
import time

import pytest

from .managers import HOOK_TIMEOUT
from .servers import UVICORN_ON_DENIALS
from .watch import State, Watch, events
from .wire import Client, Closed, RefusedError, connected

IN_TIME = HOOK_TIMEOUT + 6.0
HOOKS = ("authorize", "on_connect", "on_join", "on_leave", "on_disconnect")


async def _fails_at_once(watch: Watch, user: str) -> Closed:
    """A user whose hook fails while connecting."""
    async with connected(watch.port, f"/serve/fragile?user={user}") as client:
        return await client.receive_close(timeout=IN_TIME)


async def _fails_on_leave(watch: Watch, user: str) -> Closed:
    async with connected(watch.port, f"/serve/fragile?user={user}") as client:
        await client.send('"leave"')
        return await client.receive_close(timeout=IN_TIME)


async def _fails_on_message(watch: Watch, user: str) -> Closed:
    async with connected(watch.port, f"/serve/fragile?user={user}") as client:
        await client.send('"anything"')
        return await client.receive_close(timeout=IN_TIME)


async def _fails_on_disconnect(watch: Watch, user: str) -> None:
    client = await Client.connect(watch.port, f"/serve/fragile?user={user}")
    await client.send('"hi"')
    assert await client.receive() == '{"echo":"hi"}'
    await client.close()


async def _refused(watch: Watch, user: str, room: str = "lobby") -> float:
    started = time.monotonic()
    with pytest.raises(RefusedError) as refusal:
        await Client.connect(watch.port, f"/serve/fragile?user={user}&room={room}")
    assert refusal.value.status == 403
    return time.monotonic() - started


async def _neighbour(watch: Watch, stop: asyncio.Event) -> None:
    """Served all the time."""
    async with connected(watch.port, "/serve/fragile?user=neighbour") as client:
        while not stop.is_set():
            await client.send('"hi"')
            assert await client.receive() == '{"echo":"hi"}'
            await asyncio.sleep(0.02)
        assert await client.close() == Closed(1000)


async def test_a_hook_that_hangs_or_raises_costs_that_one_connection_within_hook_timeout(
    watch: Watch,
) -> None:
    watch.expect_logged("hook_timeout|HookTimeout")
    watch.expect_logged(UVICORN_ON_DENIALS)
    stop = asyncio.Event()
    neighbour = asyncio.create_task(_neighbour(watch, stop))
    connecting = [f"{how}:{hook}" for how in ("hang", "raise") for hook in ("on_connect", "on_join")]
    try:
        closed, waits, _ = await asyncio.gather(
            asyncio.gather(
                *(_fails_at_once(watch, user) for user in connecting),
                _fails_on_leave(watch, "hang:on_leave"),
                _fails_on_leave(watch, "raise:on_leave"),
                _fails_on_message(watch, "raise:on_message"),
            ),
            asyncio.gather(
                _refused(watch, "hang:authorize"),
                _refused(watch, "raise:authorize"),
                _refused(watch, "anyone", room="forbidden"),
            ),
            asyncio.gather(
                _fails_on_disconnect(watch, "hang:on_disconnect"),
                _fails_on_disconnect(watch, "raise:on_disconnect"),
            ),
        )
        assert {end.code for end in closed} == {watch.kind.seen(1011)}, closed
        assert HOOK_TIMEOUT - 0.1 <= waits[0] <= IN_TIME
        state = await watch.until(
            lambda now: (
                now["connections"]["fragile"] == 1
                and events(now, "fragile", "error", "hang:on_disconnect")
                and events(now, "fragile", "error", "raise:on_disconnect")
                and _begun(now) == _ended(now)
            ),
            within=IN_TIME,
        )
    finally:
        stop.set()
        await neighbour
    failed = {entry["who"]: entry["error"] for entry in events(state, "fragile", "error")}
    assert {who: error for who, error in failed.items() if who.startswith("raise:on_")} == {
        f"raise:{hook}": "RuntimeError"
        for hook in ("on_connect", "on_join", "on_leave", "on_message", "on_disconnect")
    }
    for hook in ("on_connect", "on_join", "on_leave", "on_disconnect"):
        assert failed[f"hang:{hook}"] == "HookTimeout"
    for users in _begun(state):
        assert len(users) == len(set(users))


def _begun(state: State) -> list[list[str]]:
    return [_users(state, event) for event in ("connect", "join")]


def _ended(state: State) -> list[list[str]]:
    """A disconnect for each connect that began, a leave for each join that began, and no other."""
    return [_users(state, event) for event in ("disconnect", "leave")]


def _users(state: State, event: str) -> list[str]:
    return sorted(entry["who"] for entry in events(state, "fragile", event) if entry["who"] != "neighbour")


async def _comes_and_goes(watch: Watch, user: str) -> None:
    async with connected(watch.port, f"/serve/fragile-patient?user={user}") as client:
        await client.send('"leave"')
        assert await client.receive() == '{"echo":"leave"}'
        assert await client.close() == Closed(1000)


async def test_hooks_that_take_their_time_hold_up_nobody_else(watch: Watch) -> None:
    async with asyncio.TaskGroup() as tasks:
        for hook in HOOKS:
            tasks.create_task(_comes_and_goes(watch, f"held:{hook}"))
        await watch.until(lambda now: all(events(now, "fragile-patient", f"{hook} is held") for hook in HOOKS))
        await _comes_and_goes(watch, "anyone")
        for hook in HOOKS:
            await watch.server.post(f"/release?user=held:{hook}")
    state = await watch.until(lambda now: not now["connections"]["fragile-patient"])
    assert not events(state, "fragile-patient", "error")
