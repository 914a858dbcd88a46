"""The health endpoint, with brokers that connect and brokers that do not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket

from fastapi_rooms import RoomManager
from fastapi_rooms.brokers import BrokerConnection, MemoryBroker
from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.health import HealthReport, health_router
from fastapi_rooms.testing import Client, eventually

from .engines import STEADY


class Moody(MemoryBroker):
    """Out of reach, until it is told to be there."""

    def __init__(self) -> None:
        super().__init__(timings=STEADY)
        self.there = False

    def __str__(self) -> str:
        return "Moody at example:1"

    async def connect(self) -> Any:
        if not self.there:
            raise ConnectionRefusedError("moody://user:hunter2@example:1 refused")
        connection: BrokerConnection = await super().connect()
        return connection


class Chat(RoomManager[Any, Any]):
    pass


def serving(*managers: RoomManager[Any, Any]) -> FastAPI:
    """An app that runs these managers, and lets clients into the first one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for manager in managers:
                await stack.enter_async_context(manager.lifespan(app))
            yield

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/rooms/{room}")
    async def endpoint(websocket: WebSocket, room: str) -> None:
        await managers[0].serve(websocket, room=room)

    return app


async def asked(client: Client, path: str = "/health") -> tuple[int, HealthReport]:
    response = await client.get(path)
    assert response.headers["cache-control"] == "no-store"
    return response.status, HealthReport.model_validate_json(response.body)


async def test_a_process_whose_brokers_are_connected_is_ready_and_tells_its_figures() -> None:
    rooms = Chat(broker=MemoryBroker(timings=STEADY))
    app = serving(rooms)
    app.include_router(health_router(rooms))
    async with Client(app) as client, client.websocket("/rooms/red"), client.websocket("/rooms/blue"):
        await eventually(lambda: len(rooms.rooms) == 2)
        status, report = await asked(client)
    assert (status, report.ready) == (200, True)
    [one] = report.managers
    assert (one.manager, one.connections, one.rooms) == ("Chat", 2, 2)
    assert one.broker is not None
    assert asdict(one.broker) == {
        "broker": "memory",
        "connected": True,
        "error": None,
        "outages": 0,
        "channels": 4,
        "peers": 0,
        "foreign": 0,
    }


async def test_a_manager_without_a_broker_is_ready() -> None:
    rooms: RoomManager[Any, Any] = RoomManager()
    app = serving(rooms)
    app.include_router(health_router(rooms))
    async with Client(app) as client:
        status, report = await asked(client)
    assert (status, report.ready, report.managers[0].broker) == (200, True, None)


async def test_one_broker_out_of_reach_makes_503_of_all_until_it_is_there() -> None:
    broker = Moody()
    one, other = Chat(broker=MemoryBroker(timings=STEADY)), Chat(broker=broker)
    app = serving(one, other)
    app.include_router(health_router(one, other))
    async with Client(app) as client:
        status, report = await asked(client)
        assert (status, report.ready) == (503, False)
        assert [it.broker and it.broker.connected for it in report.managers] == [True, False]
        assert report.managers[1].broker is not None
        assert report.managers[1].broker.outages == 1
        broker.there = True
        await eventually(lambda: _connected(other))
        assert (await asked(client))[0] == 200


async def test_the_answer_holds_no_password_that_a_driver_quotes() -> None:
    rooms = Chat(broker=Moody())
    app = serving(rooms)
    app.include_router(health_router(rooms))
    async with Client(app) as client:
        answer = (await client.get("/health")).text
    assert '"error":"ConnectionRefusedError"' in answer
    assert '"broker":"Moody at example:1"' in answer
    assert "hunter2" not in answer
    assert "user" not in answer


async def test_it_can_be_ready_while_rooms_are_local() -> None:
    rooms = Chat(broker=Moody())
    app = serving(rooms)
    app.include_router(health_router(rooms, path="/ready", ready_while_local=True))
    async with Client(app) as client:
        status, report = await asked(client, "/ready")
    assert (status, report.ready) == (200, True)
    assert report.managers[0].broker is not None
    assert not report.managers[0].broker.connected


async def test_both_answers_are_documented_with_their_model() -> None:
    app = FastAPI()
    app.include_router(health_router(Chat()))
    app.include_router(health_router(Chat(), path="/local", ready_while_local=True))
    schema = app.openapi()
    model = {"application/json": {"schema": {"$ref": "#/components/schemas/HealthReport"}}}
    responses = schema["paths"]["/health"]["get"]["responses"]
    assert {status: response["content"] for status, response in responses.items()} == {"200": model, "503": model}
    assert set(schema["paths"]["/local"]["get"]["responses"]) == {"200"}


async def test_dependencies_can_keep_it_from_others() -> None:
    def nobody() -> None:
        raise HTTPException(403)

    app = FastAPI()
    app.include_router(health_router(Chat()), dependencies=[Depends(nobody)])
    async with Client(app) as client:
        assert (await client.get("/health")).status == 403


async def test_a_manager_whose_lifespan_does_not_run_is_an_error_that_says_so() -> None:
    app = FastAPI()
    app.include_router(health_router(Chat(broker=MemoryBroker())))
    async with Client(app) as client:
        with pytest.raises(ConfigurationError, match="lifespan"):
            await client.get("/health")


def test_an_endpoint_without_a_manager_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a manager"):
        health_router()


def _connected(manager: RoomManager[Any, Any]) -> bool:
    health = manager.health()
    return health is not None and health.connected
