"""Case 10, the second half: long runs of sends all arrive."""

import asyncio

from .watch import Watch
from .wire import Client, connected

RUN = 5000


async def _read_run(client: Client) -> None:
    for number in range(RUN):
        assert int((await client.receive_text(timeout=20))[:6]) == number


async def test_five_thousand_awaited_sends_in_a_row_all_arrive(watch: Watch) -> None:
    async with connected(watch.port, f"/awaits/bursts?messages={RUN}&size=100&user=one") as client:
        await _read_run(client)
        await client.close()


async def test_five_thousand_broadcasts_without_a_pause_reach_healthy_clients_in_order(watch: Watch) -> None:
    clients = [await Client.connect(watch.port, "/listen/bursts?user=many") for _ in range(8)]
    await watch.until(lambda now: now["connections"]["bursts"] == len(clients))
    readers = asyncio.gather(*(_read_run(client) for client in clients))
    await watch.server.post(f"/broadcast/bursts?messages={RUN}&size=100")
    await readers
    await asyncio.gather(*(client.close() for client in clients))
