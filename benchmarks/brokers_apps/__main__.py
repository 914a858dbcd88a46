"""One process of the benchmark of brokers: publishes, or receives, as `benchmarks.brokers_process` tells it."""

import asyncio
import itertools
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any, cast

from benchmarks.brokers_apps.contract import App, Publish, message, read

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]  # uvicorn goes on without it, too

_LOOK_SECONDS = 0.005
Answer = dict[str, Any]


class Publisher:
    """Publishes to all rooms by turns."""

    def __init__(self, publish: Publish, rooms: Sequence[str]) -> None:
        self._publish = publish
        self._rooms = rooms
        self._numbers = itertools.count()

    async def paced(self, *, count: int, rate: float) -> Answer:
        """One after the other, `rate` a second."""
        start = time.monotonic()
        numbers = list(itertools.islice(self._numbers, count))
        for step, number in enumerate(numbers):
            await asyncio.sleep(max(start + step / rate - time.monotonic(), 0))
            await self._say(number)
        return _said(start, numbers[0], count)

    async def closed(self, *, seconds: float, callers: int) -> Answer:
        """So many callers, each of which publishes the next one when its last one is done."""
        start = time.monotonic()
        first = next(self._numbers)
        last = first

        async def call(number: int) -> None:
            nonlocal last
            while True:
                last = max(last, number)
                await self._say(number)
                if time.monotonic() > start + seconds:
                    return
                number = next(self._numbers)

        async with asyncio.TaskGroup() as group:
            for number in (first, *itertools.islice(self._numbers, callers - 1)):
                group.create_task(call(number))
        return _said(start, first, last - first + 1)

    async def _say(self, number: int) -> None:
        await self._publish(self._rooms[number % len(self._rooms)], message(number))


class Receiver:
    """Notes what comes."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._sent: list[int] = []
        self._came: list[int] = []

    def deliver(self, text: str | bytes) -> None:
        now = time.monotonic_ns()
        number, sent = read(text)
        self._numbers.append(number)
        self._sent.append(sent)
        self._came.append(now)

    async def collect(self, *, first: int, count: int, patience: float, times: bool) -> Answer:
        """What has come of these messages, once all have, or nothing has for `patience` seconds."""
        seen, since = -1, time.monotonic()
        while len(self._numbers) < count and time.monotonic() < since + patience:
            if len(self._numbers) > seen:
                seen, since = len(self._numbers), time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)
        rows = [row for row in zip(self._numbers, self._sent, self._came, strict=True) if row[0] >= first]
        for noted in (self._numbers, self._sent, self._came):
            noted.clear()
        took = [(came - sent) / 1e3 for _, sent, came in rows] if times else []
        distinct = len({number for number, _, _ in rows})
        last = max((came for _, _, came in rows), default=0) / 1e9
        return {"received": distinct, "doubled": len(rows) - distinct, "last": last, "took_us": took}


def _said(start: float, first: int, count: int) -> Answer:
    return {"start": start, "first": first, "count": count}


async def _obey(line: socket.socket, commands: dict[str, Callable[..., Awaitable[Answer]]]) -> None:
    """Answer each command with a line, until there are no more."""
    reader, writer = await asyncio.open_connection(sock=line)
    writer.write(b"{}\n")
    async for asked in reader:
        command = json.loads(asked)
        answer = await commands[command.pop("do")](**command)
        writer.write(json.dumps(answer).encode() + b"\n")
    writer.close()


async def _main(name: str, role: str, url: str, rooms: int, line: socket.socket) -> None:
    app = cast("App", import_module(f"benchmarks.brokers_apps.{name}"))
    # All contestants are on one Redis, and some use the name of a room as it is.
    names = [f"{name}-{number}" for number in range(rooms)]
    if role == "publish":
        async with app.publishing(url) as publish:
            publisher = Publisher(publish, names)
            await _obey(line, {"paced": publisher.paced, "closed": publisher.closed})
    else:
        receiver = Receiver()
        async with app.receiving(url, names, receiver.deliver):
            await _obey(line, {"collect": receiver.collect})


if __name__ == "__main__":
    name, role, url, rooms, line = sys.argv[1:]
    with asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as runner:
        runner.run(_main(name, role, url, int(rooms), socket.socket(fileno=int(line))))
