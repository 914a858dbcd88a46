"""A hub's other routes: tickets, the script, and which subprotocol is spoken."""

from typing import Any

import pytest
from fastapi import FastAPI

from fastapi_rooms import Hub
from fastapi_rooms.auth import Identity, TokenAuth
from fastapi_rooms.brokers import MemoryBroker
from fastapi_rooms.hub import script
from fastapi_rooms.testing import Client, Closed, Refused


def verify(token: str) -> Identity | None:
    return None if token == "bad" else Identity(subject=token)


def app_of(hub: Hub[Any]) -> FastAPI:
    app = FastAPI()
    app.include_router(hub.router, prefix="/live")
    return app


async def test_a_ticket_opens_one_connection() -> None:
    app = app_of(Hub(auth=TokenAuth(verify)))
    async with Client(app) as client:
        answer = await client.post("/live/ticket", headers={"authorization": "Bearer ann"})
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        ticket = answer.json()["ticket"]
        async with client.websocket(f"/live/websocket?ticket={ticket}") as ws:
            await ws.send_json({"type": "connect", "id": 1})
            assert (await ws.receive_json())["user"] == "ann"
            await ws.close()
        async with client.websocket(f"/live/websocket?ticket={ticket}") as ws:
            assert (await ws.wait_closed()).code == 4500


async def test_who_holds_no_token_gets_no_ticket() -> None:
    async with Client(app_of(Hub(auth=TokenAuth(verify)))) as client:
        assert (await client.post("/live/ticket")).status == 401
        assert (await client.post("/live/ticket", headers={"authorization": "Bearer bad"})).status == 401


async def test_where_nobody_signs_in_or_tickets_would_be_one_processes_own_there_are_none() -> None:
    per_process = MemoryBroker(per_process=True)
    for hub in (Hub[Any](), Hub[Any](auth=TokenAuth(verify), broker=per_process)):
        assert hub.tickets is None
        async with Client(app_of(hub)) as client:
            assert (await client.post("/live/ticket")).status == 404


async def test_the_script_is_served_and_not_again_while_it_is_the_same() -> None:
    async with Client(app_of(Hub())) as client:
        answer = await client.get("/live/rooms.js")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        assert "export class Rooms" in answer.text
        again = await client.get("/live/rooms.js", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


def test_a_script_that_is_not_there_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_NAME", "nothing.js")
    with pytest.raises(script.ScriptNotFound, match=r"nothing\.js"):
        script.find_script.__wrapped__()


async def test_the_subprotocol_is_chosen_where_it_is_offered() -> None:
    async with Client(app_of(Hub())) as client:
        async with client.websocket("/live/websocket", subprotocols=["other", "rooms.v1.json"]) as ws:
            assert ws.accepted_subprotocol == "rooms.v1.json"
            await ws.close()
        async with client.websocket("/live/websocket") as ws:
            assert ws.accepted_subprotocol is None
            await ws.close()


async def test_a_client_that_speaks_only_others_is_refused() -> None:
    async with Client(app_of(Hub())) as client:
        with pytest.raises(Refused) as refused:
            async with client.websocket("/live/websocket", subprotocols=["rooms.v2.json"]):
                pass
        assert refused.value.status == 400


async def test_a_token_in_a_subprotocol_is_found_and_the_protocol_is_echoed_and_not_the_marker() -> None:
    async with Client(app_of(Hub(auth=TokenAuth(verify)))) as client:
        offered = ["rooms.v1.json", "access_token", "ann"]
        async with client.websocket("/live/websocket", subprotocols=offered) as ws:
            assert ws.accepted_subprotocol == "rooms.v1.json"
            await ws.send_json({"type": "connect", "id": 1})
            assert (await ws.receive_json())["user"] == "ann"
            await ws.close()


async def test_a_refused_handshake_is_accepted_and_closed_so_that_a_page_sees_why() -> None:
    async with Client(app_of(Hub(auth=TokenAuth(verify)))) as client:
        offered = ["rooms.v1.json", "access_token", "bad"]
        async with client.websocket("/live/websocket", subprotocols=offered) as ws:
            assert ws.accepted_subprotocol == "rooms.v1.json"
            assert await ws.wait_closed() == Closed(4500, "the token is not valid")


async def test_the_routes_bring_the_hubs_lifespan() -> None:
    hub = Hub[Any](broker=MemoryBroker())
    async with Client(app_of(hub)):
        assert hub.health() is not None


async def test_a_lifespan_that_is_entered_in_itself_is_one() -> None:
    hub = Hub[Any](broker=MemoryBroker())
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router, prefix="/live")
    async with Client(app):
        health = hub.health()
        assert health is not None
        assert health.connected
