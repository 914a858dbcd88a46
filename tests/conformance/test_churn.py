"""Case 9: ten thousand clients come and go, half of them without a word, and nothing of them stays.

Ten thousand at each server in `make soak`; else a thousand at each.
"""

import asyncio
from pathlib import Path

from brokers.scale import SOAK

from .servers import Server, ServerKind
from .watch import State, Watch, events, watching
from .wire import Client

ROUNDS = 4
ROUND = 3334 if SOAK else 250
AT_ONCE = 40


async def _come_and_go(port: int, numbers: "list[int]") -> None:
    while numbers:
        number = numbers.pop()
        client = await Client.connect(port, f"/echo/churn?user=u{number % 100}&room=r{number % 97}")
        assert await client.receive() == "hello"
        if number % 2:
            await client.close()
        elif number % 4:
            client.reset()
        else:
            client.socket.close()


async def _round(watch: Watch, connections: int = ROUND) -> State:
    numbers = list(range(connections))
    await asyncio.gather(*(_come_and_go(watch.port, numbers) for _ in range(AT_ONCE)))
    await watch.until(lambda now: len(events(now, "churn", "disconnect")) == connections)
    await watch.nothing_left()
    await watch.server.post("/reset")
    state: State = await watch.server.get("/observe?objects=1")
    return state


async def test_connections_by_the_thousand_leave_no_object_no_task_and_no_memory(
    kind: ServerKind, tmp_path: Path
) -> None:
    server = Server(kind, directory=tmp_path)
    try:
        async with watching(server) as watch:
            before = await _round(watch, AT_ONCE)
            rounds = [await _round(watch) for _ in range(ROUNDS)]
    finally:
        server.stop()
    assert rounds[-1]["objects"] == before["objects"]
    resident = [state["rss"] for state in rounds]
    # What leaks makes every later round larger; an allocator's arenas, only some.
    assert not kind.steady_memory or min(resident[2:]) <= max(resident[:2]) * 1.05, resident
