"""Many clients in one room, those who speak there, and what each has heard in the end."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from brokers.scale import SOAK
from fastapi_rooms.client import Message, RoomsClient

from .hub_app import PREFIX, token
from .servers import Server
from .stage import Actor, Kind, cast

COMES_WITHIN = 120.0 if SOAK else 90.0
"""Seconds for what should happen soon: a busy machine is no fault of a client."""

EVENT = "said"

_AT_ONCE = 50
"""Clients that connect at the same time: they need not be a proof of that, too."""


class Said(NamedTuple):
    """A number of an author."""

    author: str
    number: int


class Author:
    """Says numbers in a room, over a connection that nobody cuts, and hears what is said there.

    Attributes:
        room: Its handle.
        heard: What, and when.
    """

    def __init__(self, client: RoomsClient, name: str, room: str) -> None:
        self.name = name
        self.heard: list[tuple[float, Said]] = []
        self.room = client.join(room)
        self.room.on(EVENT, self._hear)
        self._news = asyncio.Event()

    async def joined(self) -> None:
        await self.room.joined()

    async def publish(self, number: int) -> None:
        await self.room.publish(EVENT, {"author": self.name, "number": number}, timeout=COMES_WITHIN)

    async def say(self, numbers: Iterable[int], *, every: float) -> None:
        """One after the other, so many seconds apart, however long each takes."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as saying:
            for number in numbers:
                saying.create_task(self.publish(number))
                due += every
                await asyncio.sleep(due - loop.time())

    async def until_heard(self, count: int) -> list[tuple[float, Said]]:
        """Wait until so much was said; all of it."""
        async with asyncio.timeout(COMES_WITHIN):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard

    def _hear(self, message: Message) -> None:
        self.heard.append((time.time(), Said(**message.data)))
        self._news.set()


@asynccontextmanager
async def authors(servers: Sequence[Server], room: str) -> AsyncIterator[list[Author]]:
    """One at each worker, who are there."""
    async with AsyncExitStack() as stack:
        found = []
        for number, server in enumerate(servers):
            name = f"author {number}"
            client = RoomsClient(server.url, token=token(name), transport="websocket")
            found.append(Author(await stack.enter_async_context(client), name, room))
        for author in found:
            await author.joined()
        yield found


@dataclass
class Report:
    """What one client was told.

    Attributes:
        kind: What it is.
        name: In the crowd.
        heard: In order.
        joins: What each `joined` said: recovered, reason, and whether it was again.
        states: When it was in which.
        away: From when to when it was not in the room.
        told: When it was told to return after which delay, where its wire is written down.
        odd: What should not have come at all.
    """

    kind: Kind
    name: str
    heard: list[Said] = field(default_factory=list)
    joins: list[tuple[bool | None, str | None, bool]] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)
    away: list[tuple[float, float]] = field(default_factory=list)
    told: list[tuple[float, float]] = field(default_factory=list)
    odd: list[dict[str, Any]] = field(default_factory=list)

    def read(self, journal: Iterable[dict[str, Any]]) -> "Report":
        left: float | None = None
        for entry in journal:
            kind, at = entry["kind"], entry["at"]
            if kind == "message" and entry["event"] == EVENT:
                self.heard.append(Said(**entry["data"]))
            elif kind == "joined":
                self.joins.append((entry.get("recovered"), entry.get("reason"), entry["again"]))
                if left is not None:
                    self.away.append((left, at))
                left = None
            elif kind.startswith("state "):
                self.states.append((at, kind.removeprefix("state ")))
                if kind == "state waiting" and left is None:
                    left = at
            elif kind == "down going-away":
                self.told.append((at, entry["frame"]["delay"]))
            elif kind != "error" and not kind.startswith(("presence", "up ", "down ")):
                self.odd.append(entry)
        return self

    @property
    def returns(self) -> int:
        """How often it came back."""
        return len(self.joins) - 1

    def faults(self, said: Sequence[Said]) -> list[str]:
        """What is wrong, where it should have heard all of this, in this order, and once."""
        found = [f"this came, too: {entry}" for entry in self.odd]
        if self.heard != list(said):
            counts = Counter(self.heard)
            missing = [one for one in said if one not in counts]
            twice = [one for one, count in counts.items() if count > 1]
            found.append(f"missing: {missing[:20]}; twice: {twice[:20]}; {_first_difference(self.heard, said)}")
        joins = [(None, None, False), *[(True, None, True)] * self.returns]
        if self.joins != joins:
            found.append(f"it was told of its joins: {self.joins}")
        return [f"{self.kind}, {self.name}: {fault}" for fault in found]

    def delivered(self, said: Sequence[Said]) -> float:
        """The share of this that it has."""
        return len(set(said) & set(self.heard)) / len(said)

    def missed_live(self, said: Sequence[tuple[float, Said]]) -> float:
        """The share of this that was said while it was not there."""
        return sum(any(left <= at <= back for left, back in self.away) for at, _ in said) / len(said)


def _first_difference(heard: Sequence[Said], said: Sequence[Said]) -> str:
    for index, (one, other) in enumerate(zip(heard, said, strict=False)):
        if one != other:
            return f"at {index}: {heard[max(0, index - 2) : index + 3]} for {said[max(0, index - 2) : index + 3]}"
    return f"{len(heard)} came of {len(said)}"


class Crowd:
    """Clients of some kinds, in one room.

    Attributes:
        actors: They.
    """

    def __init__(self, actors: Sequence[Actor], room: str) -> None:
        self.actors = actors
        self._room = room

    async def enter(self, ports: Sequence[int], **options: Any) -> None:
        """All of them connect, each to its port, and join; returns when they have."""
        few = asyncio.Semaphore(_AT_ONCE)

        async def enter(actor: Actor, port: int) -> None:
            async with few:
                how = {"url": f"http://127.0.0.1:{port}{PREFIX}", "transport": actor.kind.transport}
                await actor.order("open", **how, token=token(actor.name), **options)
                await actor.order("join", room=self._room)
                await actor.order("joined", room=self._room)

        async with asyncio.timeout(COMES_WITHIN), asyncio.TaskGroup() as group:
            for actor, port in zip(self.actors, ports, strict=True):
                group.create_task(enter(actor, port))

    async def until(self, what: str, count: int) -> None:
        """Wait until all were told so often, or there is no hope of it: what is missing then, the reports show."""
        with suppress(TimeoutError):
            async with asyncio.timeout(COMES_WITHIN), asyncio.TaskGroup() as group:
                for actor in self.actors:
                    group.create_task(actor.order("until", kind=what, count=count))

    async def reports(self) -> list[Report]:
        """What each was told until now."""
        return [Report(actor.kind, actor.name).read(await actor.order("journal")) for actor in self.actors]


@asynccontextmanager
async def crowd(kinds: Sequence[Kind], *, each: int, room: str) -> AsyncIterator[Crowd]:
    """So many of each kind; those in one language share a process."""
    async with AsyncExitStack() as stack:
        languages = dict.fromkeys(kind.language for kind in kinds)
        casts = {language: await stack.enter_async_context(cast(language)) for language in languages}
        actors = [
            Actor(casts[kind.language], f"{kind} {number}", kind) for number in range(each) for kind in kinds
        ]
        yield Crowd(actors, room)


def table(reports: Sequence[Report], said: Sequence[tuple[float, Said]]) -> str:
    """What each kind has heard, for people."""
    words = [one for _, one in said]
    lines = [f"{'client':22} clients  returns  said while away  delivered"]
    for kind in dict.fromkeys(report.kind for report in reports):
        its = [report for report in reports if report.kind == kind]
        returns = sum(report.returns for report in its)
        away = sum(report.missed_live(said) for report in its) / len(its)
        delivered = sum(report.delivered(words) for report in its) / len(its)
        lines.append(f"{kind!s:22} {len(its):7}  {returns:7}  {away:15.1%}  {delivered:9.3%}")
    return "\n".join(lines)
