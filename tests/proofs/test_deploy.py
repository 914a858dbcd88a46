"""A deploy: a worker stops, and another takes its port. Its clients return by and by, and nobody else notices."""

import asyncio
import time
from collections.abc import Sequence

from brokers.scale import SOAK
from fastapi_rooms import Event, Publisher

from .crowd import COMES_WITHIN, EVENT, Author, Report, authors, crowd, table
from .hub_app import INTERVAL, KEPT, PATIENCE, RETURN_WITHIN
from .servers import Server, serving
from .stage import KINDS

EACH, WITHIN = (250, 10.0) if SOAK else (25, 4.0)
"""Clients of each kind; seconds in which they are told to return."""

EVERY = 1.0 if SOAK else 0.1
"""Seconds from one message of each author to its next."""

BESIDE = 5 if SOAK else 10
"""Messages of each that are said before the deploy, and after it, at least."""

FIFTHS = 5

CLOCKS = 0.05
"""Seconds that the clock of the journal and that of timers may differ by."""

ROOM = "present lobby"


async def test_a_deploy_loses_nothing_is_noticed_by_nobody_and_clients_return_spread_over_a_while() -> None:
    async with (
        serving(2, **{RETURN_WITHIN: str(WITHIN), INTERVAL: "0.5"}) as (old, other),
        authors([other], ROOM) as (onlooker,),
        Publisher(old.broker, history=KEPT) as publisher,
        crowd(KINDS, each=EACH, room=ROOM) as clients,
    ):
        await clients.enter([old.port] * len(clients.actors), connectTimeout=PATIENCE, wire=True)
        await _until_present(onlooker, len(clients.actors) + 1)
        noticed = _noticed(onlooker)
        new = old.another()
        try:
            await asyncio.to_thread(new.prepare)
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                talk = group.create_task(_talk(onlooker, publisher, over))
                await onlooker.until_heard(2 * BESIDE)
                begin, gone, there = await asyncio.to_thread(_replace, old, new)
                await clients.until("joined", 2)
                await onlooker.until_heard(len(onlooker.heard) + 2 * BESIDE)
                over.set()
            said = await onlooker.until_heard(2 * talk.result())
            await clients.until("message", len(said))
            reports = await clients.reports()
        finally:
            await asyncio.to_thread(new.stop)
    tried = _spread(reports, "connecting", begin)
    returned = _spread(reports, "connected", begin)
    print(f"\nthe server was gone {gone - begin:.2f} s after SIGTERM, the next there after {there - begin:.2f} s")
    print(f"returns in each fifth of {WITHIN:g} s, and later: tried first {tried}, connected {returned}")
    print(table(reports, said))
    words = [one for _, one in said]
    assert [one.number for one in words if one.author == onlooker.name] == list(range(talk.result()))
    assert [one.number for one in words if one.author == "publisher"] == list(range(talk.result()))
    assert [fault for report in reports for fault in report.faults(words)] == []
    assert all(report.returns for report in reports)
    assert noticed == []
    assert max(_told(reports)) <= len(reports) / 2
    assert [report.name for report in reports if _hurries(report)] == []
    if SOAK:  # where nothing stands still: who is late comes together with others
        assert max(*tried[:FIFTHS], *returned[:FIFTHS]) <= len(reports) / 2


async def _talk(author: Author, publisher: Publisher, over: asyncio.Event) -> int:
    """Two speak in turn; how often each did."""
    number = 0
    while not over.is_set():
        await publisher.publish(ROOM, Event({"author": "publisher", "number": number}, EVENT))
        await author.publish(number)
        number += 1
        await asyncio.sleep(EVERY)
    return number


def _replace(old: Server, new: Server) -> tuple[float, float, float]:
    """When the old one was told to stop, when it was gone, and when the new one listened."""
    begin = time.time()
    old.stop()
    gone = time.time()
    new.begin(old.port)
    return begin, gone, time.time()


async def _until_present(onlooker: Author, count: int) -> None:
    async with asyncio.timeout(COMES_WITHIN):
        async for _ in onlooker.room.presence:
            if onlooker.room.presence.count == count:
                return


def _noticed(onlooker: Author) -> list[str]:
    """Who comes and goes from now on, as far as that is told: of very many there is a number alone."""
    noticed: list[str] = []
    presence = onlooker.room.presence
    before = presence.count
    presence.on("join", lambda user, _: noticed.append(f"{user} came"))
    presence.on("leave", lambda user, _: noticed.append(f"{user} left"))
    presence.on("change", lambda _: noticed.extend([f"{presence.count} now"] * (presence.count != before)))
    return noticed


def _told(reports: Sequence[Report]) -> list[int]:
    """How many were told to return in each fifth of the window."""
    found = [0] * FIFTHS
    for report in reports:
        [(_, delay)] = report.told
        found[min(FIFTHS - 1, int(delay / WITHIN * FIFTHS))] += 1
    return found


def _hurries(report: Report) -> bool:
    """Whether it has tried earlier than it was told."""
    [(told_at, delay)] = report.told
    tried_at = next(at for at, state in report.states if state == "connecting" and at > told_at)
    return tried_at < told_at + delay - CLOCKS


def _spread(reports: Sequence[Report], state: str, begin: float) -> list[int]:
    """How many were in this state first in each fifth of the window, and after it."""
    found = [0] * (FIFTHS + 1)
    for report in reports:
        at = next((at for at, its in report.states if its == state and at > begin), begin + 2 * WITHIN)
        found[min(FIFTHS, int((at - begin) / WITHIN * FIFTHS))] += 1
    return found
