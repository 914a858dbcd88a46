"""The AnyCable test: connections that are cut at random, again and again, and messages all the while."""

import asyncio
from collections.abc import Sequence

import pytest
from benchmarks.gate import Weather, gates, storm

from brokers.scale import SOAK

from .crowd import authors, crowd, table
from .servers import serving
from .stage import KINDS, Kind

EACH, LASTING = (100, 120.0) if SOAK else (10, 6.0)
"""Clients of each kind; seconds."""

A_SECOND = 20
"""Messages, of all authors together."""

WEATHER = Weather(calm=(2.0, 10.0), away=(0.2, 2.0)) if SOAK else Weather(calm=(0.5, 2.0), away=(0.05, 0.5))

OPTIONS = {} if SOAK else {"minDelay": 0.05, "maxDelay": 0.4}

TOGETHER = [(kind,) for kind in KINDS] if SOAK else [tuple(KINDS)]
"""The kinds of clients that are tried in one run."""

ROOM = "lobby"


@pytest.mark.parametrize("kinds", TOGETHER, ids=[str(kind) for kind in KINDS] if SOAK else ["every client"])
@pytest.mark.parametrize("workers", [1, 2], ids=["memory", "two workers on redis"])
async def test_who_is_cut_off_again_and_again_hears_everything_in_order_and_once(
    workers: int, kinds: Sequence[Kind]
) -> None:
    count = int(LASTING * A_SECOND / workers)
    async with (
        serving(workers) as servers,
        authors(servers, ROOM) as speaking,
        crowd(kinds, each=EACH, room=ROOM) as listening,
        gates(len(listening.actors), [server.port for server in servers]) as theirs,
    ):
        await listening.enter([gate.port for gate in theirs], **OPTIONS)
        async with storm(theirs, WEATHER, seed=workers), asyncio.TaskGroup() as group:
            for author in speaking:
                group.create_task(author.say(range(count), every=workers / A_SECOND))
        said = await speaking[0].until_heard(count * workers)
        await listening.until("message", len(said))
        reports = await listening.reports()
        cuts = sum(gate.cuts for gate in theirs)
    print(f"\n{workers} worker(s), {len(said)} messages, {cuts} cuts\n{table(reports, said)}")
    words = [one for _, one in said]
    for author in speaking:
        assert [one.number for one in words if one.author == author.name] == list(range(count))
    assert [fault for report in reports for fault in report.faults(words)] == []
    assert all(report.returns for report in reports)
    assert sum(report.missed_live(said) for report in reports) > 0.05 * len(reports)
