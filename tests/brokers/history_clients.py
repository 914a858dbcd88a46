"""Clients of real workers whose rooms have a history: some speak, some hear, come and go, and keep a journal."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import NamedTuple

from conformance.wire import Client, Closed, RefusedError
from fastapi_rooms import CloseCode

from .engines import STARTS_WITHIN
from .processes import Process

_PAUSE = 0.02
"""Seconds before something is tried again."""


class Said(NamedTuple):
    """A number of an author, and where it is in the room's history."""

    author: str
    number: int
    position: str


class Told(NamedTuple):
    """What a client was told when it joined."""

    recovered: bool | None
    reason: str | None


class Author:
    """Says numbers in a room, each until it was taken.

    Attributes:
        uncertain: Numbers of which it was not known at first whether they were taken.
    """

    def __init__(self, workers: Sequence[Process], *, room: str, name: str) -> None:
        self.name = name
        self.room = room
        self.uncertain: set[int] = set()
        self._workers = workers
        self._luck = random.Random(name)
        self._socket: Client | None = None

    async def say(self, numbers: range, *, at_once: int = 1, every: float = 0.0) -> None:
        """One after the other, a request every so many seconds; what was not taken is said again."""
        loop = asyncio.get_running_loop()
        first, due = numbers.start, loop.time()
        while first < numbers.stop:
            taken = await self._taken(first, min(first + at_once, numbers.stop))
            first += taken
            due += every
            await asyncio.sleep(due - loop.time() if taken else _PAUSE)

    def leave(self) -> None:
        if self._socket is not None:
            self._socket.socket.close()
            self._socket = None

    async def _taken(self, first: int, end: int) -> int:
        """How many of them were."""
        try:
            if self._socket is None:
                port = self._luck.choice(self._workers).port
                path = f"/{self.room}/say/{self.name}"
                self._socket = await Client.connect(port, path, timeout=STARTS_WITHIN)
            await self._socket.send(json.dumps([first, end]))
            text = await self._socket.receive(timeout=STARTS_WITHIN)
        except (RefusedError, OSError):
            text = Closed(None)
        if isinstance(text, Closed):
            assert _may_come_back(text), text
            self.leave()
            self.uncertain.update(range(first, end))
            return 0
        answer = json.loads(text)
        if answer["maybe"]:
            self.uncertain.add(first + answer["taken"])
        return int(answer["taken"])


class Traveller:
    """Hears a room at one worker, and then at another, from where it was.

    Args:
        workers: Where it may be.
        room: What it hears.
        seed: Of its ways.
        since: The position that it brings at first.
        stay: Seconds at one worker, about; `None`: until it is sent away.
        away: Seconds until it comes back, about.
        slow: Whether it takes little at a time.

    Attributes:
        journal: What came, in order. Messages that were missed come before what is told about them.
        position: Where it is.
        newest: The number that came last.
        sent_away: The close codes with which it was; `None`: the worker has died.
        worker: Where it is, or was last.
        reads: Set while it reads what comes.
    """

    def __init__(
        self,
        workers: Sequence[Process],
        *,
        room: str,
        seed: int,
        since: str | None = None,
        stay: float | None = None,
        away: float = 0.0,
        slow: bool = False,
    ) -> None:
        self.room = room
        self.journal: list[Said | Told] = []
        self.position = since
        self.newest = -1
        self.sent_away: list[int | None] = []
        self.worker: Process | None = None
        self._workers = workers
        self._luck = random.Random(seed)
        self._stay = stay
        self._away = away
        self._slow = slow
        self.reads = asyncio.Event()
        self.reads.set()
        self._news = asyncio.Condition()

    @property
    def heard(self) -> list[Said]:
        return [entry for entry in self.journal if isinstance(entry, Said)]

    @property
    def told(self) -> list[Told]:
        return [entry for entry in self.journal if isinstance(entry, Told)]

    @property
    def told_of_loss(self) -> list[Told]:
        return [told for told in self.told if told.recovered is False]

    @property
    def replayed(self) -> int:
        """How often something was missed, and came."""
        return sum(isinstance(one, Said) and other == (True, None) for one, other in pairwise(self.journal))

    async def until(self, condition: Callable[["Traveller"], bool]) -> None:
        """Wait until its journal, or its position, is so."""
        async with asyncio.timeout(STARTS_WITHIN), self._news:
            await self._news.wait_for(lambda: condition(self))

    async def travel(self) -> None:
        """Until this is cancelled."""
        while True:
            others = [one for one in self._workers if one is not self.worker]
            self.worker = self._luck.choice(others or self._workers)
            since = "" if self.position is None else f"?since={self.position}"
            path = f"/{self.room}/hear{since}"
            try:
                socket = await Client.connect(self.worker.port, path, small=self._slow, timeout=STARTS_WITHIN)
            except (RefusedError, OSError):
                await asyncio.sleep(_PAUSE)  # it is dead, or dying
                continue
            try:
                await self._visit(socket)
            finally:
                socket.socket.close()
            await asyncio.sleep(self._about(self._away))

    async def _visit(self, socket: Client) -> None:
        staying = asyncio.timeout(None if self._stay is None else self._about(self._stay))
        try:
            async with staying:
                await self._hear(socket)
        except TimeoutError:
            if not staying.expired():
                raise
            if self._luck.random() < 0.5:  # else it vanishes
                await socket.close()

    async def _hear(self, socket: Client) -> None:
        while not isinstance(text := await socket.receive(timeout=STARTS_WITHIN), Closed):
            await self.reads.wait()
            message = json.loads(text)
            async with self._news:
                if "number" in message:
                    self.newest = message["number"]
                    self.journal.append(Said(message["author"], self.newest, message["position"]))
                else:
                    self.journal.append(Told(message["recovered"], message["reason"]))
                self.position = message["position"] or self.position
                self._news.notify_all()
        assert _may_come_back(text), text
        self.sent_away.append(text.code)

    def _about(self, seconds: float) -> float:
        return self._luck.uniform(0.5 * seconds, 1.5 * seconds)


@asynccontextmanager
async def travelling(*travellers: Traveller) -> AsyncIterator[None]:
    """They travel; all of them have been told where they begin."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(traveller.travel()) for traveller in travellers]
        for traveller in travellers:
            await traveller.until(lambda one: bool(one.told))
        yield
        for task in tasks:
            task.cancel()


def holes(traveller: Traveller, *, uncertain: Collection[tuple[str, int]] = ()) -> list[Said]:
    """What does not follow what came before, and is not excused by what the traveller was told in between.

    Each author's numbers begin with 0, and follow each other. After a notice there may be a step forward. Or the
    last number comes again, if its author did not know that it had been taken: the keys went with the history.
    """
    wrong = []
    last: dict[str, int] = defaultdict(lambda: -1)
    excused: set[str] = set()
    authors = {one.author for one in traveller.heard}
    for number, entry in enumerate(traveller.journal):
        if isinstance(entry, Told):
            excused |= authors if number and entry.recovered is not True else set()
            continue
        before = last[entry.author]
        follows = entry.number == before + 1
        if entry.author in excused:
            again = entry.number == before and (entry.author, before) in uncertain
            follows = entry.number > before or again
        if not follows:
            wrong.append(entry)
        last[entry.author] = entry.number
        excused.discard(entry.author)
    return wrong


def _may_come_back(closed: Closed) -> bool:
    return closed.code is None or CloseCode(closed.code).reconnect
