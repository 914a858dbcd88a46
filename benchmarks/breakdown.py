"""Where the memory of an idle connection goes: `python -m benchmarks.breakdown`.

Traces what is allocated while connections are made inside one process, without a server. `idle` measures what
counts; this says where to look.
"""

import asyncio
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path

import fastapi_rooms
from benchmarks.report import table
from benchmarks.silent import SilentClient
from fastapi_rooms import ConnectionManager

CONNECTIONS = 2000
SETTLE_SECONDS = 0.2
LINES = 25


async def _trace() -> list[tracemalloc.Statistic]:
    manager = ConnectionManager()

    async def endpoint() -> None:
        async with manager.connect(SilentClient().websocket()) as connection:
            async for _ in connection.iter_text():
                pass

    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(endpoint()) for _ in range(100)]
        await asyncio.sleep(SETTLE_SECONDS)
        tracemalloc.start()
        tasks += [group.create_task(endpoint()) for _ in range(CONNECTIONS)]
        await asyncio.sleep(SETTLE_SECONDS)
        snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
        for connection in manager.connections:
            group.create_task(connection.close())
    return snapshot.statistics("lineno")


def main() -> None:
    package = Path(fastapi_rooms.__file__).parent
    ours = [one for one in asyncio.run(_trace()) if Path(one.traceback[0].filename).is_relative_to(package)]
    rows = [
        (
            f"{one.size / CONNECTIONS:.0f}",
            f"{one.count / CONNECTIONS:.1f}",
            f"{Path(one.traceback[0].filename).relative_to(package)}:{one.traceback[0].lineno}",
        )
        for one in ours[:LINES]
    ]
    total = sum(one.size for one in ours) / CONNECTIONS
    rows.append((f"{total:.0f}", "", "all lines of the package"))
    print(table("For each idle connection", ("bytes", "blocks", "allocated at"), rows))


if __name__ == "__main__":
    main()
