"""The game under 200 players: states come as often as they should, fresh, and the server does not grow.

In `make soak`, on a machine that does nothing else, it takes 5 minutes and holds the bars; else it is short, with
40 players, and sees that it works.
"""

import asyncio
import json
import math
import random
import re
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Final

from example_process import ExampleProcess
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from brokers.scale import SOAK
from fastapi_rooms.auth import JWTAuth

SECRET = "a secret of 32 characters or more, for tests"
PLAYERS, PER_ARENA, STEERS = 200 if SOAK else 40, 10, 0.4
SECONDS, RATE, P99, GROWTH = (300.0, 20.0, 0.1, 20e6) if SOAK else (4.0, 0.5, 10.0, 40e6)
"""How long it lasts; states a second at least, their age in seconds and the server's growth in bytes at most."""

AUTH = JWTAuth(key=SECRET, algorithms=["HS256"])
AT: Final = re.compile(r'"at":([0-9.]+)')
"""When a state was told. To read all of it would be more work than the server has with it."""


class Crowd:
    """Players who wander about, each on a socket, and note how old what they are told is."""

    def __init__(self, port: int) -> None:
        self.ages: list[float] = []
        self.counts: Counter[int] = Counter()
        self.heard: set[int] = set()
        self.measuring = False
        self.all_hear = asyncio.Event()
        self._url = f"ws://127.0.0.1:{port}/live/websocket"

    async def play(self, number: int) -> None:
        """Come in, and wander until cancelled."""
        token = AUTH.issue(f"player-{number}", expires_in=3600, claims={"name": f"Player {number}"})
        room = f"arena-load-{number // PER_ARENA}"
        protocol = Subprotocol("rooms.v1.json")
        async with connect(
            self._url, subprotocols=[protocol], compression=None, open_timeout=60, ping_interval=None
        ) as socket:
            await say(socket, {"type": "connect", "id": 1, "token": token})
            await say(socket, {"type": "join", "id": 2, "room": room})
            await say(socket, {"type": "send", "id": 3, "room": room, "command": "play"})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(wander(socket, number, room))
                await self._listen(socket, number)

    async def _listen(self, socket: ClientConnection, number: int) -> None:
        async for message in socket:
            found = AT.search(str(message))
            if found is None:
                continue
            self.heard.add(number)
            if len(self.heard) == PLAYERS:
                self.all_hear.set()
            if self.measuring:
                self.ages.append(time.time() - float(found[1]))
                self.counts[number] += 1


async def say(socket: ClientConnection, frame: dict[str, Any]) -> None:
    await socket.send(json.dumps(frame))


async def wander(socket: ClientConnection, number: int, room: str) -> None:
    chance = random.Random(number)
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(STEERS * chance.uniform(0.5, 1.5))
            angle = chance.uniform(0, math.tau)
            where = {"x": round(100 * math.cos(angle)), "y": round(100 * math.sin(angle))}
            told = {"type": "send", "id": 4, "room": room}
            await say(socket, {**told, "command": "steer", "data": where})
            if chance.random() < 0.1:
                await say(socket, {**told, "command": "dash"})


async def test_200_players_are_told_often_and_soon_and_the_server_does_not_grow() -> None:
    with ExampleProcess({"ROOMS_SECRET": SECRET}) as game:
        crowd = Crowd(game.port)
        playing = [asyncio.create_task(crowd.play(number)) for number in range(PLAYERS)]
        try:
            async with asyncio.timeout(120):
                await crowd.all_hear.wait()
            await asyncio.sleep(SECONDS / 5)  # until nothing is new to it any more
            before, crowd.measuring, began = game.memory, True, time.monotonic()
            await asyncio.sleep(SECONDS)
            crowd.measuring, lasted = False, time.monotonic() - began
            growth = game.memory - before
        finally:
            for task in playing:
                task.cancel()
            await asyncio.wait(playing)
        rates = sorted(crowd.counts[number] / lasted for number in range(PLAYERS))
        ages = sorted(crowd.ages)
        p50, p99 = (ages[int(len(ages) * share)] for share in (0.5, 0.99))
        print(
            f"{PLAYERS} players, {rates[0]:.1f} to {rates[-1]:.1f} states a second, age {p50 * 1000:.0f} and "
            f"{p99 * 1000:.0f} ms (p50, p99), {growth / 1e6:.1f} MB more in {lasted:.0f} s"
        )
    assert rates[0] >= RATE
    assert p99 <= P99
    assert growth <= GROWTH
    assert "Traceback" not in game.log, game.log
