"""Four uvicorn workers and 2,000 clients: what is sent is encoded once, and comes to a process once.

(2,000 on each engine in `make soak`; else 380 on Redis, in fewer rooms.)

Counted at the engine: a proxy at its door reads what the engine sends, and counts each message in it, for each
connection; whose connection that is, the operating system knows by its port. All engines are counted alike, by
what leaves them, whatever figures of their own they have.

Counted in each worker: how often a message was made JSON, and how often a WebSocket frame was built of it. The
one happens where it is sent, once; the other in each process that has a member, once for all its clients.
"""

import asyncio

import pytest

from fastapi_rooms import Publisher
from fastapi_rooms.brokers import BrokerTimings

from .conftest import FAULTY
from .engines import Engine
from .four_workers import PLAZA, ROOMS, WORKERS, Crowd, Message, a_crowd
from .scale import SOAK

PREFIX = "four"

PATIENT = BrokerTimings(connect=30.0, publish=30.0)
"""The publisher shares its event loop with the proxy and all clients."""

PUBLISHED = 34 if SOAK else 9
"""Messages that are not sent by a client: with a message to each room, two hundred, or forty."""

CLIENTS = 2_000 if SOAK else 380

ELSEWHERE = 200 if SOAK else 80
"""Rooms that there are besides, in each of the processes, the second time."""


@pytest.mark.parametrize("own_engine", FAULTY if SOAK else FAULTY[:1], indirect=True)
async def test_a_message_is_encoded_once_and_comes_once_to_a_process_with_a_member_whatever_rooms_are_elsewhere(
    own_engine: Engine,
) -> None:
    async with (
        a_crowd(own_engine, prefix=PREFIX) as crowd,
        Publisher(own_engine.broker(prefix=PREFIX, timings=PATIENT)) as publisher,
    ):
        assert len(crowd.members) == CLIENTS
        sent = await send(crowd, publisher, "few")
        await check(crowd, sent)
        channels = [one["channels"] for one in await crowd.reports()]

        await enter_rooms_elsewhere(crowd)
        sent += await send(crowd, publisher, "many")
        await check(crowd, sent)
        assert [one["channels"] - ELSEWHERE for one in await crowd.reports()] == channels


async def send(crowd: Crowd, publisher: Publisher, name: str) -> list[Message]:
    """A message to each room, by clients of all workers in turn; to some by a publisher; and one to everyone."""
    rooms = [*ROOMS, PLAZA]
    by_clients = [Message(f"{name}-{room}", room, number % len(WORKERS)) for number, room in enumerate(rooms)]
    published = [Message(f"{name}-{room}-published", room, None) for room in rooms[:PUBLISHED]]
    last = Message(f"{name}-last", None, 0)

    async def say(worker: int) -> None:
        for one in by_clients:
            if one.sender == worker:
                await tell(crowd, one)

    await asyncio.gather(*map(say, WORKERS))
    for room, one in zip(rooms, published, strict=False):
        await publisher.publish(room, {"marker": one.marker})
    await tell(crowd, last)  # the engine has taken all others by now, so it comes after them
    for member in crowd.members:
        await member.hear(last.marker)
    return [*by_clients, *published, last]


async def tell(crowd: Crowd, message: Message) -> None:
    assert message.sender is not None
    answer = await crowd.senders[message.sender].ask(say=message.marker, to=message.room)
    assert answer == {"scope": "cluster"}


async def check(crowd: Crowd, sent: list[Message]) -> None:
    """Each message came to whom it was for, and was counted once wherever it had to be."""
    for_room = {room: {one for one in sent if one.room in (None, room)} for room in (*ROOMS, PLAZA)}
    for member in crowd.members:
        assert wrong(member.heard, for_room[member.room]) == {}
    reports = await crowd.reports()
    assert [report["outages"] for report in reports] == [0] * len(WORKERS)
    for worker, received, report in zip(WORKERS, crowd.received(), reports, strict=True):
        there = {one for one in sent if worker in one.spread}
        assert wrong(received, there) == {}
        assert wrong(report["frames"], there) == {}
        assert wrong(report["encoded"], {one for one in sent if worker == one.sender}) == {}


async def enter_rooms_elsewhere(crowd: Crowd) -> None:
    """In each process there are so many rooms more, each with a member."""
    for worker in WORKERS:
        members = crowd.of(worker)[:ELSEWHERE]
        joins = (one.ask(join=f"elsewhere-{worker}-{number}") for number, one in enumerate(members))
        await asyncio.gather(*joins)


def wrong(counts: dict[str, int], once: set[Message]) -> dict[str, int]:
    """How often it was, where that is not once for these messages, and never for others."""
    differing = counts.items() ^ {(one.marker, 1) for one in once}
    return {marker: counts.get(marker, 0) for marker, _ in differing}
