import asyncio
import time
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.security import SecurityScopes
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fastapi_rooms.auth import Cookie, Identity, MemoryTicketStore, Tickets, TokenAuth
from fastapi_rooms.errors import ConfigurationError, ExpiredToken, InvalidToken, UnencodableMessage
from fastapi_rooms.ports import Authenticator

from .requests import http

ANN = Identity(
    subject="ann", scopes=frozenset({"b", "a"}), claims={"team": ["x", {"y": 1}]}, expires_at=time.time() + 1e6
)


class SpyStore(MemoryTicketStore):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, bytes, float]] = []

    async def put(self, ticket_hash: str, value: bytes, ttl: float) -> None:
        self.kept.append((ticket_hash, value, ttl))
        await super().put(ticket_hash, value, ttl)


async def test_a_ticket_is_good_for_one_use() -> None:
    tickets: Tickets = Tickets()
    ticket = await tickets.issue(ANN)
    assert len(ticket) == 43
    assert await tickets.authenticate(ticket) == ANN
    with pytest.raises(InvalidToken):
        await tickets.authenticate(ticket)


async def test_of_many_who_present_a_ticket_at_once_one_is_let_in() -> None:
    tickets = Tickets()
    ticket = await tickets.issue(ANN)
    outcomes = await asyncio.gather(*(tickets.authenticate(ticket) for _ in range(50)), return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, InvalidToken)] == [ANN]


async def test_the_store_sees_a_hash_the_identity_as_json_and_the_time() -> None:
    store = SpyStore()
    ticket = await Tickets(store, ttl=5).issue(Identity(subject="ann"))
    ((ticket_hash, value, ttl),) = store.kept
    assert len(ticket_hash) == 64
    assert ticket not in ticket_hash + value.decode()
    assert value == b'{"subject":"ann","scopes":[],"claims":{},"expires_at":null}'
    assert ttl == 5


async def test_a_ticket_of_an_identity_that_expired_meanwhile_is_refused() -> None:
    tickets = Tickets()
    ticket = await tickets.issue(Identity(subject="ann", expires_at=time.time() - 1))
    with pytest.raises(ExpiredToken):
        await tickets.authenticate(ticket)


async def test_a_refused_origin_does_not_use_a_ticket_up() -> None:
    tickets = Tickets(sources=[Cookie("ticket")])
    ticket = await tickets.issue(ANN)
    cookie = ("Cookie", f"ticket={ticket}")
    with pytest.raises(Exception, match="origin"):
        await tickets(http(cookie, ("Host", "a"), ("Origin", "http://b")), SecurityScopes())
    assert await tickets(http(cookie, ("Host", "a"), ("Origin", "http://a")), SecurityScopes()) == ANN


async def test_claims_that_are_not_json_are_refused_when_the_ticket_is_issued() -> None:
    with pytest.raises(UnencodableMessage):
        await Tickets().issue(Identity(subject="ann", claims={"x": object()}))


async def test_only_an_identity_gets_a_ticket() -> None:
    user: Any = {"id": 1}
    with pytest.raises(ConfigurationError, match="not a dict"):
        await Tickets().issue(user)


@pytest.mark.parametrize("ttl", [0, -1, 3601, float("nan")])
def test_a_ticket_must_be_short_lived(ttl: float) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        Tickets(ttl=ttl)


async def test_tickets_are_authenticators_with_scopes() -> None:
    tickets = Tickets()
    authenticator: Authenticator = tickets.requires("a")
    assert await authenticator.authenticate(await tickets.issue(ANN)) == ANN


def verify(token: str) -> Identity | None:
    return ANN if token == "ann" else None


def app_with(tickets: Tickets, auth: TokenAuth[Identity]) -> FastAPI:
    app = FastAPI()
    app.include_router(tickets.router(auth), prefix="/api")

    @app.get("/me")
    async def me(
        identity: Annotated[Identity, Depends(tickets)],
        _: Annotated[Identity, Depends(tickets.requires("a"))],
        __: Annotated[Identity, Security(tickets, scopes=["b"])],
    ) -> str:
        return identity.subject

    return app


def test_the_endpoint_exchanges_a_token_for_a_ticket() -> None:
    tickets = Tickets(ttl=20)
    with TestClient(app_with(tickets, TokenAuth(verify))) as client:
        assert client.post("/api/tickets").status_code == 401
        issued = client.post("/api/tickets", headers={"Authorization": "Bearer ann"})
        assert issued.status_code == 200
        assert issued.headers["cache-control"] == "no-store"
        assert issued.json() == {"ticket": issued.json()["ticket"], "expires_in": 20}
        # three dependencies of one request use it up once
        assert client.get("/me", params=issued.json()).json() == "ann"
        assert client.get("/me", params=issued.json()).status_code == 401


def test_the_endpoint_answers_503_while_the_store_is_full() -> None:
    tickets = Tickets(MemoryTicketStore(max_tickets=1))
    with TestClient(app_with(tickets, TokenAuth(verify))) as client:
        headers = {"Authorization": "Bearer ann"}
        assert client.post("/api/tickets", headers=headers).status_code == 200
        assert client.post("/api/tickets", headers=headers).status_code == 503


def test_the_endpoint_takes_any_dependency_and_any_path() -> None:
    tickets = Tickets()
    app = FastAPI()
    app.include_router(tickets.router(lambda: ANN, path="/chat/ticket"))
    with TestClient(app) as client:
        assert len(client.post("/chat/ticket").json()["ticket"]) == 43


@given(st.one_of(st.text(), st.text(min_size=43, max_size=43)))
def test_no_string_is_a_ticket_or_raises_anything_but_an_error_of_ours(ticket: str) -> None:
    async def present() -> None:
        with pytest.raises(InvalidToken):
            await Tickets().authenticate(ticket or "?")

    asyncio.run(present())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: st.lists(values) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values))
def test_claims_come_back_as_they_were(claims: dict[str, object]) -> None:
    async def exchange() -> Identity:
        tickets = Tickets()
        return await tickets.authenticate(await tickets.issue(Identity(subject="ann", claims=claims)))

    assert asyncio.run(exchange()).claims == claims
