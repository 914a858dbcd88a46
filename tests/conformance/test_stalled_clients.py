"""Case 1: a client that stops reading, or vanishes, costs the others nothing and is gone in time."""

import asyncio
import time

import pytest

from .managers import AFTER, HEARTBEAT, IN_TIME, QUEUE_BYTES, QUEUE_MESSAGES, SEND_TIMEOUT
from .watch import Watch, events
from .wire import Client, Closed, connected

HEALTHY = 50
ANSWERS = 5
"""Heartbeats of a client that stays: each comes only if the answer to the one before counted."""


async def _read_numbers(client: Client) -> list[int]:
    """Every number."""
    numbers: list[int] = []
    message = ""
    while not message.endswith("end"):
        message = await client.receive_text(timeout=20)
        numbers.append(int(message[:6]))
    return numbers


@pytest.mark.parametrize(("label", "reason"), [("stall-drop", "send_timeout"), ("stall-close", "slow_consumer")])
async def test_a_client_that_never_reads_is_unregistered_in_time_and_the_others_miss_nothing(
    watch: Watch, label: str, reason: str
) -> None:
    if not watch.kind.bounds_stalled:
        pytest.skip(f"{watch.kind.name}'s send never blocks: memory for a stalled client cannot be bounded there")
    before = await watch.state()
    healthy = [await Client.connect(watch.port, f"/listen/{label}?user=healthy") for _ in range(HEALTHY)]
    async with connected(watch.port, f"/listen/{label}?user=stalled", small=True):
        readers = [asyncio.create_task(_read_numbers(client)) for client in healthy]
        flood = await watch.server.post(f"/stall/{label}?user=stalled&after={AFTER[reason]}")
        gone = await watch.until_event(label, "disconnect", "stalled", within=IN_TIME + 5)
        received = await asyncio.gather(*readers)
        if watch.kind.aborts:
            await watch.until(lambda now: now["sockets"] <= before["sockets"] + HEALTHY, within=IN_TIME)
    await asyncio.gather(*(client.close() for client in healthy))

    assert all(numbers == list(range(flood["messages"])) for numbers in received)
    assert flood["queued"] <= QUEUE_MESSAGES
    assert flood["queued_bytes"] <= QUEUE_BYTES
    # If sending waited for the stalled one, its queue would never be full: `send_timeout` would always end it.
    assert (gone["reason"], gone["code"]) == (reason, 4008)
    if reason == "send_timeout":
        assert gone["at"] - flood["blocked"] <= IN_TIME
        assert gone["at"] - flood["blocked"] >= SEND_TIMEOUT - 0.1
    state = await watch.state()
    assert [entry["who"] for entry in events(state, label, "disconnect")].count("stalled") == 1


async def _awaited_send_gives_up(watch: Watch) -> None:
    path = "/awaits/stall-await?messages=2000&size=16384&user=waits"
    async with connected(watch.port, path, small=True):
        started = time.monotonic()
        gone = await watch.until_event("stall-await", "disconnect", "waits", within=IN_TIME + 3)
        assert gone["code"] == 4008
        assert gone["reason"] in {"send_timeout", "slow_consumer"}
        assert gone["at"] - started <= IN_TIME


async def _vanishes(watch: Watch, user: str, *, messages: int, size: int, small: bool) -> None:
    path = f"/awaits/heartbeat?messages={messages}&size={size}&user={user}"
    async with connected(watch.port, path, small=small):
        started = time.monotonic()
        gone = await watch.until_event("heartbeat", "disconnect", user, within=10)
        assert gone["reason"] in {"heartbeat_timeout", "send_timeout"}
        assert gone["at"] - started <= IN_TIME
        if not small:
            assert (gone["reason"], gone["code"]) == ("heartbeat_timeout", 4012)


async def _answers(watch: Watch, others: asyncio.Future[tuple[None, None]]) -> None:
    async with connected(watch.port, "/listen/patient-heartbeat?user=lively") as client:
        answered = 0
        while answered < ANSWERS or not others.done():
            assert await client.receive_text() == HEARTBEAT.message
            await client.send("yes")
            answered += 1
        assert await client.close() == Closed(1000)


async def test_a_client_that_vanishes_without_fin_is_given_up_by_the_heartbeat(watch: Watch) -> None:
    vanish = asyncio.gather(
        _vanishes(watch, "little-unread", messages=3, size=100, small=False),
        _vanishes(watch, "much-unread", messages=10, size=4000, small=True),
    )
    await asyncio.gather(vanish, _answers(watch, vanish))


async def test_an_awaited_send_to_a_client_that_never_reads_gives_up_in_time(watch: Watch) -> None:
    if not watch.kind.bounds_stalled:
        pytest.skip(f"{watch.kind.name}'s send never blocks")
    await _awaited_send_gives_up(watch)
