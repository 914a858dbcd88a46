"""`listen` in two worker processes on a real engine: each hears what is said at both."""

import asyncio
import json

from websockets.asyncio.client import ClientConnection, connect

from fastapi_rooms.private_engine import private_redis

from .processes import Process, processes

SAID = [str(number) for number in range(200)]


def talking(worker: Process) -> connect:
    return connect(f"ws://127.0.0.1:{worker.port}/outputs/somebody", ping_interval=None)


async def heard_by(socket: ClientConnection, workers: int) -> list[list[str]]:
    """What each of so many listeners has heard, in its order."""
    by: dict[int, list[str]] = {}
    async with asyncio.timeout(30):
        while sum(map(len, by.values())) < workers * len(SAID):
            told = json.loads(await socket.recv())
            by.setdefault(told["by"], []).append(told["heard"])
    return list(by.values())


async def test_listeners_in_two_processes_hear_what_a_member_of_one_says_once_and_in_order() -> None:
    with private_redis() as url:
        async with (
            processes(2, url=url, prefix="listening", app="listening_app") as (here, there),
            talking(here) as says,
            talking(there) as sees,
        ):
            for socket in (says, sees):
                assert "ready" in json.loads(await socket.recv())
            for text in SAID:
                await says.send(text)
            assert await heard_by(says, 2) == await heard_by(sees, 2) == [SAID, SAID]
