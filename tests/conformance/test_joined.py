"""Case 13: messages that share one message on the wire, where the manager's protocol allows it."""

import asyncio
import re

import pytest

from .managers import AFTER, IN_TIME, QUEUE_BYTES, QUEUE_MESSAGES, SEND_TIMEOUT
from .watch import Watch
from .wire import Client, connected

HEALTHY = 20
NUMBER = re.compile(r"(\d{6})x*")
"""And what fills its message, which is passed over more quickly than searched."""


async def _read_numbers(client: Client) -> list[int]:
    """Every number."""
    numbers: list[int] = []
    message = ""
    while not message.removesuffix("]").endswith("end"):
        message = await client.receive_text(timeout=20)
        numbers += map(int, NUMBER.findall(message))
    return numbers


async def test_a_burst_comes_in_few_messages_where_sends_can_be_stepped_and_in_order_everywhere(
    watch: Watch,
) -> None:
    clients = [await Client.connect(watch.port, "/listen/joined-close?user=healthy") for _ in range(HEALTHY)]
    await watch.server.post("/broadcast/joined-close?messages=500")
    await watch.server.post("/broadcast/joined-close?messages=1&size=0")
    for client in clients:
        numbers: list[int] = []
        messages = 0
        while len(numbers) < 501:
            numbers += map(int, NUMBER.findall(await client.receive_text()))
            messages += 1
        assert numbers == [*range(500), 0]
        assert messages <= (501 if watch.kind.name == "granian" or "shared" in watch.kind.name else 20)
    await asyncio.gather(*(client.close() for client in clients))


@pytest.mark.parametrize(("label", "reason"), [("joined-drop", "send_timeout"), ("joined-close", "slow_consumer")])
async def test_a_client_that_never_reads_is_unregistered_in_time_and_the_others_miss_nothing(
    watch: Watch, label: str, reason: str
) -> None:
    if not watch.kind.bounds_stalled:
        pytest.skip(f"{watch.kind.name}'s send never blocks")
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
    assert (gone["reason"], gone["code"]) == (reason, 4008)
    if reason == "send_timeout":
        assert SEND_TIMEOUT - 0.1 <= gone["at"] - flood["blocked"] <= IN_TIME


async def test_a_client_that_never_reads_is_noticed_if_nothing_else_is_sent(watch: Watch) -> None:
    if not watch.kind.bounds_stalled:
        pytest.skip(f"{watch.kind.name}'s send never blocks")
    async with connected(watch.port, "/listen/joined-alone?user=stalled", small=True):
        await watch.server.post("/broadcast/joined-alone?messages=40&size=260000")
        gone = await watch.until_event("joined-alone", "disconnect", "stalled", within=IN_TIME + 5)
    assert (gone["reason"], gone["code"]) == ("send_timeout", 4008)
