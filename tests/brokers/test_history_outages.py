"""Rooms with a history while an engine is dead, or out of reach of one process: what is missing is told."""

import asyncio
import itertools
import json
import random
from contextlib import AsyncExitStack

from fastapi_rooms import BrokerUnavailable, CloseCode
from fastapi_rooms.testing import SocketClosed, eventually

from .engines import QUICK, WATCHFUL, Engine, give_timings
from .proxy import Proxy
from .scale import LONGER
from .test_histories import Process
from .workers import SOON

_PREFIXES = itertools.count()

THIRD = 100 * LONGER
MESSAGES = 3 * THIRD


class Roamer:
    """A client that comes back whenever it is sent away, at any process, with its position.

    Attributes:
        heard: Numbers in the order in which they came; `None` where it was told that some may be missing.
    """

    def __init__(self, processes: list[Process], *, seed: int) -> None:
        self.heard: list[int | None] = []
        self._processes = processes
        self._luck = random.Random(seed)
        self._position: str | None = None
        self.entered = asyncio.Event()

    async def roam(self, last: int) -> None:
        """Until this number has come."""
        while last not in self.heard:
            process = self._luck.choice(self._processes)
            query = "" if self._position is None else f"?since={self._position}"
            try:
                async with process.client.websocket(f"/red{query}") as socket:
                    while last not in self.heard:
                        self._take(json.loads(await socket.receive_text(timeout=SOON)))
            except SocketClosed as closed:
                if closed.code != CloseCode.POSITION_LOST:
                    raise

    def _take(self, message: dict[str, str | bool | None]) -> None:
        if "message" in message:
            self.heard.append(int(str(message["message"])))
        else:
            self.entered.set()
            if message["recovered"] is not True:
                self.heard.append(None)
        position = message["position"]
        assert position is None or isinstance(position, str)
        self._position = position

    def is_told_of_all_gaps(self) -> bool:
        """Whether each number follows the one before it, or a notice."""
        before: int | None = None
        for number in self.heard:
            if number is not None and before is not None and number != before + 1:
                return False
            before = number
        return True


async def talk(process: Process, numbers: range) -> None:
    """Say them one after the other; each until it was taken."""
    for number in numbers:
        while True:
            try:
                await process.manager.broadcast(str(number), room="red", idempotency_key=str(number))
            except BrokerUnavailable:
                await eventually(lambda: process.manager.health().connected, timeout=SOON)  # type: ignore[union-attr]  # it has a broker
            else:
                break


async def test_an_engine_that_is_killed_twice_loses_nothing_that_is_not_told(own_engine: Engine) -> None:
    prefix = f"killed{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        processes = [Process(own_engine.broker(prefix=prefix)) for _ in range(3)]
        for process in processes:
            await stack.enter_async_context(process.client)
        roamers = [Roamer(processes, seed=seed) for seed in range(6)]
        async with asyncio.timeout(60.0 * LONGER), asyncio.TaskGroup() as tasks:
            for roamer in roamers:
                tasks.create_task(roamer.roam(MESSAGES - 1))
            for roamer in roamers:
                await roamer.entered.wait()
            await talk(processes[0], range(THIRD))
            for said in (THIRD, 2 * THIRD):
                talking = tasks.create_task(talk(processes[0], range(said, said + THIRD)))
                await asyncio.to_thread(own_engine.kill)
                await asyncio.to_thread(own_engine.start)
                await talking
        for roamer in roamers:
            assert roamer.is_told_of_all_gaps(), roamer.heard


async def test_who_was_cut_off_gets_from_the_history_what_others_got_live(own_engine: Engine) -> None:
    prefix = f"cut{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(own_engine.port))
        broker = own_engine.broker(prefix=prefix, port=proxy.port, timings=WATCHFUL)
        cut = Process(broker)
        near = Process(own_engine.broker(prefix=prefix))
        for process in (cut, near):
            await stack.enter_async_context(process.client)
        page = await stack.enter_async_context(cut.page("red"))
        health = cut.manager.health
        await talk(near, range(3))
        await page.until("2")
        give_timings(broker, QUICK)
        proxy.to_broker = False
        await eventually(lambda: not health().connected, timeout=SOON)  # type: ignore[union-attr]
        await talk(near, range(3, 10))
        give_timings(broker, WATCHFUL)
        proxy.to_broker = True
        await eventually(lambda: health().connected, timeout=SOON)  # type: ignore[union-attr]
        await talk(near, range(10, 12))
        assert await page.until("11") == [str(number) for number in range(12)]
        assert cut.manager.lost == []


async def test_who_joins_while_the_engine_is_dead_is_told_and_sent_away_to_come_back_after_it(
    own_engine: Engine,
) -> None:
    prefix = f"dead{next(_PREFIXES)}"
    async with AsyncExitStack() as stack:
        process = Process(own_engine.broker(prefix=prefix))
        await stack.enter_async_context(process.client)
        own_engine.kill()
        try:
            await eventually(lambda: not process.manager.health().connected, timeout=SOON)  # type: ignore[union-attr]
            page = await stack.enter_async_context(process.page("red", "1.AAAAAAAA.e"))
            assert page.joined == {"recovered": False, "reason": "unavailable", "position": None}
        finally:
            own_engine.start()
        assert (await page.socket.wait_closed()).code == CloseCode.POSITION_LOST  # what it missed, nobody knows
        again = await stack.enter_async_context(process.page("red"))
        await talk(process, range(1))
        assert await again.until("0") == ["0"]
