"""Draw with 200 people: a hundred strokes a second, and pointers that are fresh, while the server does not grow.

In `make soak`, on a machine that does nothing else, it takes 5 minutes and holds the bars; else it is short, with
40 people, and sees that it works.
"""

import asyncio
import json
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
PEOPLE, PER_CANVAS, POINTS, STROKES = 200 if SOAK else 40, 10, 0.33, 2.0
"""How many, and seconds between two pointers and two strokes of each."""

SECONDS, KEPT, STROKES_A_SECOND, P99, GROWTH = (300.0, 200, 90.0, 0.1, 20e6) if SOAK else (4.0, 2, 1.0, 10.0, 40e6)
"""How long it lasts; strokes of each before, so that the history is full; strokes a second at least; the age of
pointers in seconds, and the server's growth in bytes, at most."""

SEEN_WITHIN = 60.0
"""Seconds more, at most, until each has seen a stroke."""

AUTH = JWTAuth(key=SECRET, algorithms=["HS256"])
POINTER: Final = re.compile(r'"event":"pointer","data":\{[^}]*"x":(\d+)')
STROKE: Final = re.compile(r'"event":"stroke"')
ROUND = 16_000
"""Milliseconds that fit into the x of a pointer, which here says when it was there."""


def now() -> int:
    return int(time.time() * 1000) % ROUND


class Crowd:
    """People who draw, each on a socket, and note how old the pointers are that they see."""

    def __init__(self, port: int) -> None:
        self.ages: list[float] = []
        self.strokes: Counter[int] = Counter()
        self.drawn = 0
        self.measuring = False
        self.all_drew = asyncio.Event()
        self.all_saw = asyncio.Event()
        self._url = f"ws://127.0.0.1:{port}/live/websocket"

    async def draw(self, number: int) -> None:
        """Come in, and draw until cancelled."""
        token = AUTH.issue(f"{number}", expires_in=3600, claims={"name": f"Person {number}"})
        canvas = f"load-{number // PER_CANVAS}"
        protocol = Subprotocol("rooms.v1.json")
        async with connect(
            self._url, subprotocols=[protocol], compression=None, open_timeout=60, ping_interval=None
        ) as socket:
            await say(socket, {"type": "connect", "id": 1, "token": token})
            for kind in ("canvas", "moving"):
                await say(socket, {"type": "join", "id": 2, "room": f"{kind}-{canvas}"})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._scribble(socket, number, canvas))
                await self._look(socket, number)

    async def _scribble(self, socket: ClientConnection, number: int, canvas: str) -> None:
        chance = random.Random(number)
        with suppress(ConnectionClosed):
            for _ in range(KEPT):
                await self._stroke(socket, chance, canvas)
                await asyncio.sleep(0.1)  # within the rate that the hub allows
            self.drawn += 1
            if self.drawn == PEOPLE:
                self.all_drew.set()
            next_stroke = 0.0
            while True:
                where = {"x": now(), "y": chance.randrange(10_000)}
                told = {"type": "send", "id": 3, "room": f"moving-{canvas}", "command": "cursor"}
                await say(socket, {**told, "data": where})
                if time.monotonic() > next_stroke:
                    next_stroke = time.monotonic() + STROKES * chance.uniform(0.5, 1.5)
                    await self._stroke(socket, chance, canvas)
                await asyncio.sleep(POINTS * chance.uniform(0.5, 1.5))

    async def _stroke(self, socket: ClientConnection, chance: random.Random, canvas: str) -> None:
        line = {"id": f"{chance.getrandbits(60):x}", "points": [chance.randrange(10_000) for _ in range(40)]}
        told = {"type": "send", "id": 4, "room": f"canvas-{canvas}", "command": "stroke"}
        await say(socket, {**told, "data": line})

    async def _look(self, socket: ClientConnection, number: int) -> None:
        async for message in socket:
            if not self.measuring:
                continue
            text = str(message)
            if strokes := STROKE.findall(text):
                self.strokes[number] += len(strokes)
            if len(self.strokes) == PEOPLE:
                self.all_saw.set()
            self.ages += [((now() - int(found)) % ROUND) / 1000 for found in POINTER.findall(text)]


async def say(socket: ClientConnection, frame: dict[str, Any]) -> None:
    await socket.send(json.dumps(frame))


async def test_200_people_see_what_the_others_draw_soon_and_the_server_does_not_grow() -> None:
    with ExampleProcess({"ROOMS_SECRET": SECRET}, app="examples.draw:app") as draw:
        crowd = Crowd(draw.port)
        drawing = [asyncio.create_task(crowd.draw(number)) for number in range(PEOPLE)]
        try:
            async with asyncio.timeout(240):
                await crowd.all_drew.wait()
            await asyncio.sleep(SECONDS / 5)  # until nothing is new to it any more
            before, crowd.measuring, began = draw.memory, True, time.monotonic()
            await asyncio.sleep(SECONDS)
            async with asyncio.timeout(SEEN_WITHIN):
                await crowd.all_saw.wait()
            crowd.measuring, lasted = False, time.monotonic() - began
            growth = draw.memory - before
        finally:
            for task in drawing:
                task.cancel()
            await asyncio.wait(drawing)
    ages = sorted(crowd.ages)
    p50, p99 = (ages[int(len(ages) * share)] for share in (0.5, 0.99))
    rate = crowd.strokes.total() / PER_CANVAS / lasted
    print(
        f"{PEOPLE} people, {rate:.0f} strokes a second, {len(ages) / lasted:.0f} pointers seen a second, of age "
        f"{p50 * 1000:.0f} and {p99 * 1000:.0f} ms (p50, p99), {growth / 1e6:.1f} MB more in {lasted:.0f} s"
    )
    assert rate >= STROKES_A_SECOND
    assert p99 <= P99
    assert growth <= GROWTH
    assert "Traceback" not in draw.log, draw.log
