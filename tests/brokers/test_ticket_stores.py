"""Tickets in engines: what every store does, on a server of its own."""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import pytest
from fastapi import Depends, FastAPI, WebSocket

from fastapi_rooms.auth import AuthenticationUnavailable, Identity, Tickets, TicketStore
from fastapi_rooms.errors import InvalidToken
from fastapi_rooms.stores.nats_tickets import NatsTicketStore
from fastapi_rooms.stores.postgres_tickets import PostgresTicketStore
from fastapi_rooms.stores.redis_tickets import RedisTicketStore
from fastapi_rooms.testing import Client, Refused, eventually

from .engines import Engine, running
from .nats_engine import NatsEngine
from .postgres_engine import PostgresEngine
from .proxy import Proxy
from .redis_engine import RedisEngine
from .workers import SOON

_PREFIXES = (f"tickets{number}" for number in itertools.count())
_EVERY_BYTE = bytes(range(256))
_TIMEOUT = 5.0
"""Of stores whose engine will be silent, or killed."""

PATIENT = 10.0
"""Of others: a busy machine is no outage."""

_SLACK = 4.5
"""Seconds that a busy machine may be late; less than `_TIMEOUT`, which nobody may wait for twice."""


class Store(TicketStore, Protocol):
    """A store that can be closed."""

    async def close(self) -> None: ...


@dataclass
class Stores:
    """Makes stores on one engine, each as another process would have it."""

    engine: Engine
    prefix: str
    made: list[Store] = field(default_factory=list)

    def new(self, *, prefix: str | None = None, port: int | None = None, timeout: float = PATIENT) -> Store:
        at = f"127.0.0.1:{port or self.engine.port}"
        prefix = prefix or self.prefix
        store: Store
        if self.engine.name == "redis":
            store = RedisTicketStore(f"redis://{at}/0", prefix=prefix, timeout=timeout)
        elif self.engine.name == "nats":
            store = NatsTicketStore(f"nats://{at}", prefix=prefix, timeout=timeout)
        else:
            store = PostgresTicketStore(f"postgresql://postgres@{at}/postgres", prefix=prefix, timeout=timeout)
        self.made.append(store)
        return store


def nats() -> NatsEngine:
    return NatsEngine(jetstream=True)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(make, id=name, marks=pytest.mark.xdist_group(f"tickets {name}"))
        for name, make in {"redis": RedisEngine, "nats": nats, "postgres": PostgresEngine}.items()
    ],
)
def own_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that only these tests use: they kill it."""
    with running(request.param()) as engine:
        yield engine


@pytest.fixture
async def stores(own_engine: Engine) -> AsyncIterator[Stores]:
    """A prefix of a test's own; what is made is closed."""
    stores = Stores(own_engine, next(_PREFIXES))
    schema = stores.new()
    if isinstance(schema, PostgresTicketStore):
        await schema.create_schema()
    yield stores
    for store in stores.made:
        await store.close()


async def unavailable(operation: Awaitable[object]) -> float:
    """Seconds after which it said that the engine is out of reach."""
    began = time.monotonic()
    with pytest.raises(AuthenticationUnavailable) as refusal:
        await operation
    assert (refusal.value.status, type(refusal.value)) == (503, AuthenticationUnavailable)
    return time.monotonic() - began


async def test_a_value_can_be_taken_once_by_another_process(stores: Stores) -> None:
    one, other = stores.new(), stores.new()
    await one.put("a", b"value", 30)
    assert await other.take("a") == b"value"
    assert await other.take("a") is None
    assert await one.take("a") is None
    assert await one.take("unknown") is None


async def test_of_many_in_two_processes_who_take_at_once_one_gets_the_value(stores: Stores) -> None:
    pair = stores.new(), stores.new()
    for number in range(10):
        await pair[0].put(str(number), b"value", 30)
        taken = await asyncio.gather(*(random.choice(pair).take(str(number)) for _ in range(30)))
        assert sorted(taken, key=bool)[-2:] == [None, b"value"]


async def test_many_values_are_kept_apart(stores: Stores) -> None:
    store = stores.new()
    await asyncio.gather(*(store.put(str(number), b"%d" % number, 30) for number in range(100)))
    taken = await asyncio.gather(*(store.take(str(number)) for number in range(100)))
    assert taken == [b"%d" % number for number in range(100)]


async def test_a_value_is_gone_when_its_time_is_over(stores: Stores) -> None:
    store = stores.new()
    await store.put("short", b"value", 0.2)
    await store.put("long", b"value", 30)
    over = time.monotonic() + 0.21  # engines count in whole milliseconds
    await eventually(lambda: time.monotonic() > over)
    assert await store.take("short") is None
    assert await store.take("long") == b"value"


async def test_a_value_may_be_any_bytes(stores: Stores) -> None:
    store = stores.new()
    for value in (b"", b"\0", _EVERY_BYTE, random.randbytes(100_000)):
        await store.put("a", value, 30)
        assert await store.take("a") == value


async def test_a_value_put_again_replaces_the_first(stores: Stores) -> None:
    store = stores.new()
    await store.put("a", b"1", 30)
    await store.put("a", b"2", 30)
    assert await store.take("a") == b"2"
    await store.put("a", b"3", 30)
    assert await store.take("a") == b"3"


async def test_two_prefixes_are_apart(stores: Stores) -> None:
    one, other = stores.new(), stores.new(prefix=next(_PREFIXES))
    await one.put("a", b"one", 30)
    assert await other.take("a") is None
    await other.put("a", b"other", 30)
    assert await one.take("a") == b"one"
    assert await other.take("a") == b"other"


async def test_an_engine_that_is_killed_is_unavailable_in_time_and_used_again_after_its_start(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    idle, busy, new = (stores.new(timeout=_TIMEOUT) for _ in range(3))
    await idle.put("a", b"value", 30)
    await busy.put("b", b"value", 30)
    stores.engine.kill()
    with caplog.at_level(logging.WARNING, logger="fastapi_rooms"):
        try:
            for _ in range(2):
                assert await unavailable(busy.put("c", b"value", 30)) < _TIMEOUT + _SLACK
                assert await unavailable(busy.take("c")) < _TIMEOUT + _SLACK
                assert await unavailable(new.take("c")) < _TIMEOUT + _SLACK
        finally:
            stores.engine.start()
        for store in (idle, busy, new):
            await _works_again(store)
    said = [record.getMessage() for record in caplog.records if "tickets" in record.getMessage()]
    assert len(said) == 2
    assert sum("is back" in record.getMessage() for record in caplog.records) == 2


async def _works_again(store: TicketStore) -> None:
    """At the first use, whatever became of the connections of before."""
    await store.put("d", b"again", 30)
    assert await store.take("d") == b"again"


async def test_an_engine_that_is_silent_is_unavailable_in_time_and_used_again_after_it(stores: Stores) -> None:
    store, new = stores.new(timeout=_TIMEOUT), stores.new(timeout=_TIMEOUT)
    await store.put("a", b"value", 30)
    stores.engine.freeze()
    try:
        waits = await asyncio.gather(
            *(unavailable(store.put(str(number), b"", 30)) for number in range(20)),
            *(unavailable(store.take(str(number))) for number in range(20)),
            *(unavailable(new.take(str(number))) for number in range(20)),
        )
        assert max(waits) < _TIMEOUT + _SLACK
    finally:
        stores.engine.thaw()
    assert await store.take("a") == b"value"
    await _works_again(new)


async def test_what_is_lost_on_the_way_is_not_waited_for_and_the_next_one_works(stores: Stores) -> None:
    async with Proxy(stores.engine.port) as proxy:
        store = stores.new(port=proxy.port, timeout=_TIMEOUT)
        await store.put("a", b"value", 30)
        proxy.to_broker = False
        assert await unavailable(store.take("a")) < _TIMEOUT + _SLACK
        proxy.to_broker = True
        await _works_again(store)
        await store.close()


async def test_an_operation_that_is_cancelled_spoils_nothing_for_those_after_it(stores: Stores) -> None:
    store = stores.new()
    await store.put("a", b"value", 30)
    for turns in range(12):
        task = asyncio.ensure_future(store.take(f"unknown{turns}"))
        others = [
            asyncio.ensure_future(store.put(f"{turns}.{number}".replace(".", "-"), b"x", 30))
            for number in range(3)
        ]
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*others)
        assert [await store.take(f"{turns}-{number}") for number in range(3)] == [b"x"] * 3
    assert await store.take("a") == b"value"


async def test_a_closed_store_connects_again_when_it_is_used(stores: Stores) -> None:
    store = stores.new()
    await store.close()
    await store.put("a", b"value", 30)
    await store.close()
    await store.close()
    assert await store.take("a") == b"value"


async def test_a_ticket_of_one_process_opens_a_connection_in_another_once(stores: Stores) -> None:
    ann = Identity(subject="ann", scopes=frozenset({"a"}), claims={"team": "é"})
    one, other = _app(stores.new(), ann), _app(stores.new(), ann)
    async with Client(one, timeout=SOON) as near, Client(other, timeout=SOON) as far:
        answer = (await near.post("/tickets")).json()
        async with far.websocket(f"/ws?ticket={answer['ticket']}") as socket:
            assert await socket.receive_text() == "ann"
        for client in (near, far):
            with pytest.raises(Refused):
                async with client.websocket(f"/ws?ticket={answer['ticket']}"):
                    pass
    with pytest.raises(InvalidToken):
        await Tickets(stores.new()).authenticate(answer["ticket"])


async def test_a_store_out_of_reach_is_a_503_to_those_who_ask_for_tickets_and_those_who_have_one(
    stores: Stores,
) -> None:
    async with Client(_app(stores.new(port=1), Identity(subject="ann")), timeout=SOON) as client:
        assert (await client.post("/tickets")).status == 503
        with pytest.raises(Refused) as refusal:
            async with client.websocket(f"/ws?ticket={'t' * 43}"):
                pass
        assert refusal.value.status == 503


def _app(store: TicketStore, identity: Identity) -> FastAPI:
    app = FastAPI()
    tickets = Tickets(store=store)
    app.include_router(tickets.router(lambda: identity))

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket, user: Annotated[Identity, Depends(tickets)]) -> None:
        await websocket.accept()
        await websocket.send_text(user.subject)
        await websocket.close()

    return app
