from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastapi_rooms.connection import Connection
from fastapi_rooms.fanout import Delivery, fan_out
from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from unit.fakes import SHORT, DirectTransport, FakeTransport, finished, make_connection, make_link

HELLO = Payload("hello")


class Crowd:
    """A few connections over fake transports; names are user ids."""

    def __init__(self, *names: str | None, kind: type[FakeTransport] = FakeTransport) -> None:
        self.transports = [kind() for _ in names]
        queue = QueueLimits(messages=2, close_timeout=SHORT)
        self.all: list[Connection[object]] = [
            make_connection(make_link(transport, queue=queue), user_id=name)
            for transport, name in zip(self.transports, names, strict=True)
        ]

    @property
    def received(self) -> list[int]:
        return [len(transport.taken) for transport in self.transports]


@pytest.fixture(params=[FakeTransport, DirectTransport])
async def crowd(request: pytest.FixtureRequest) -> AsyncIterator[Crowd]:
    crowd = Crowd("ann", "bob", "ann", None, kind=request.param)
    yield crowd
    for one in crowd.all:
        await finished(one.link)


async def test_everyone_gets_it(crowd: Crowd) -> None:
    assert fan_out(crowd.all, HELLO, overflow=Overflow.CLOSE) == (Delivery(queued=4), None)
    assert crowd.received == [1, 1, 1, 1]


async def test_connections_and_users_can_be_left_out(crowd: Crowd) -> None:
    one, two, three, four = crowd.all
    each: tuple[dict[str, Any], ...] = (
        {"exclude": one},
        {"exclude": [two, three]},
        {"exclude_users": "ann"},
        {"exclude_users": ["bob", "ann"]},
        {"exclude": four, "exclude_users": {"bob"}},
    )
    for options in each:
        fan_out(crowd.all, HELLO, overflow=Overflow.CLOSE, **options)
    assert crowd.received == [2, 2, 2, 4]


async def test_a_user_id_given_as_a_string_is_one_user_and_not_its_letters() -> None:
    crowd = Crowd("a", "ab")
    delivery, _ = fan_out(crowd.all, HELLO, overflow=Overflow.CLOSE, exclude_users="ab")
    assert (delivery.queued, crowd.received) == (1, [1, 0])
    for one in crowd.all:
        await finished(one.link)


async def test_what_became_of_it_is_counted(crowd: Crowd) -> None:
    for transport in crowd.transports[:2]:
        transport.stall()
    await finished(crowd.all[3].link)
    deliveries = [fan_out(crowd.all, HELLO, overflow=Overflow.DROP_NEWEST) for _ in range(3)]
    assert deliveries == [
        (Delivery(queued=3), None),
        (Delivery(queued=3), 0.0),
        (Delivery(queued=1, dropped=2), 0.0),
    ]
    assert fan_out(crowd.all, HELLO, overflow=Overflow.CLOSE)[0] == Delivery(queued=1, closed=2)
    assert fan_out(crowd.all, HELLO, overflow=Overflow.CLOSE)[0] == Delivery(queued=1)


async def test_a_server_that_refuses_a_message_drops_it_and_the_others_get_it(crowd: Crowd) -> None:
    crowd.transports[1].write_error = OSError("gone")
    deliveries = [fan_out(crowd.all, HELLO, overflow=Overflow.CLOSE)[0] for _ in range(2)]
    assert deliveries == [Delivery(queued=3, dropped=1), Delivery(queued=3)]
    assert crowd.received == [2, 0, 2, 2]


async def test_everything_that_the_server_took_is_counted(crowd: Crowd) -> None:
    crowd.transports[0].stall()
    for _ in range(2):
        fan_out(crowd.all[:2], HELLO, overflow=Overflow.CLOSE)
    crowd.transports[0].resume()
    await crowd.all[0].link.writer.join()
    fan_out(crowd.all[:2], HELLO, overflow=Overflow.CLOSE)
    figures = [one.statistics() for one in crowd.all[:2]]
    assert [(one.sent, one.sent_bytes, one.high_water) for one in figures] == [(3, 15, 2), (3, 15, 0)]


async def test_a_room_drops_its_own_messages_and_conflates_by_key(crowd: Crowd) -> None:
    transport = crowd.transports[0]
    transport.stall()
    for text in ("in flight", "1", "2"):
        fan_out(crowd.all[:1], Payload(text), overflow=Overflow.CONFLATE, scope="room", key="k")
    assert fan_out(crowd.all[:1], HELLO, overflow=Overflow.DROP_OLDEST)[0] == Delivery(dropped=1)
    transport.resume()
    await crowd.all[0].link.writer.join()
    assert transport.taken == ["in flight", "2"]


async def test_a_message_to_nobody_is_no_trouble() -> None:
    assert fan_out([], HELLO, overflow=Overflow.CLOSE) == (Delivery(), None)


async def test_who_has_no_space_is_told_of_and_who_is_not_meant_is_not(crowd: Crowd) -> None:
    for transport in crowd.transports[:3]:
        transport.stall()
    missed: list[Connection[object]] = []
    for _ in range(3):
        fan_out(crowd.all, HELLO, overflow=Overflow.DROP_NEWEST, exclude=crowd.all[2], missed=missed.append)
    assert missed == crowd.all[:2]
