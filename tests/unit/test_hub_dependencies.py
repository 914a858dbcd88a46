"""FastAPI's dependencies of a hub's handlers: given for each message, and over with it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from fastapi import Cookie, Depends, Header, HTTPException, Query, Request, Security
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from fastapi_rooms.auth import TokenAuth
from fastapi_rooms.hub import Hub, HubError
from fastapi_rooms.identity import Identity
from fastapi_rooms.testing import Client
from hub.talk import Talk, answer, app_of, auth_of_names, served, socket, talking

AnyHub = Hub[Any]


class Say(BaseModel):
    text: str


class Journal(list[str]):
    """What happened, in order."""

    async def later(self) -> AsyncIterator[str]:
        self.append("open")
        try:
            yield f"session {self.count('open')}"
        except Exception as error:
            self.append(f"rollback {type(error).__name__}")
            raise
        finally:
            self.append("closed")

    def now(self) -> Iterator[str]:
        self.append("open")
        yield "plain"
        self.append("closed")


async def test_a_dependency_lives_as_long_as_one_message_and_ends_before_the_answer() -> None:
    hub: AnyHub = Hub()
    journal = Journal()

    @hub.on("do")
    async def handler(text: str, db: Annotated[str, Depends(journal.later)]) -> list[Any]:
        journal.append(text)
        return [db, *journal]

    async with served(hub) as client, talking(client) as talk:
        assert await talk.reply("do", "one") == ["session 1", "open", "one"]
        assert journal == ["open", "one", "closed"]
        journal.clear()
        assert await talk.reply("do", "two") == ["session 1", "open", "two"]
        assert journal == ["open", "two", "closed"]


async def test_the_answer_waits_for_a_dependency_that_ends_badly() -> None:
    hub: AnyHub = Hub()

    async def commits() -> AsyncIterator[None]:
        yield
        raise HTTPException(409, "somebody was quicker")

    @hub.on("do")
    async def handler(db: Annotated[None, Depends(commits)]) -> str:
        return "done"

    async with served(hub) as client, talking(client) as talk:
        told = await talk.error("send", command="do")
        assert told == {"code": "conflict", "detail": "somebody was quicker"}


async def test_a_plain_dependency_with_yield_works_too() -> None:
    journal = Journal()

    async def handler(db: str = Depends(journal.now)) -> str:
        return db

    assert await answer(handler) == "plain"
    assert journal == ["open", "closed"]


async def test_a_dependency_hears_of_what_the_handler_raises() -> None:
    journal = Journal()

    async def handler(db: Annotated[str, Depends(journal.later)]) -> None:
        raise HubError("full", "no more")

    assert await answer(handler) == {"code": "full", "detail": "no more"}
    assert journal == ["open", "rollback HubError", "closed"]


@pytest.mark.logged_errors
async def test_a_dependency_that_swallows_what_the_handler_raises_makes_no_success_of_it() -> None:
    async def swallows() -> AsyncIterator[None]:
        with suppress(Exception):
            yield

    async def handler(db: Annotated[None, Depends(swallows)]) -> str:
        raise HubError("full")

    assert (await answer(handler))["code"] == "internal"


async def test_data_that_is_wrong_opens_no_dependency() -> None:
    journal = Journal()

    async def handler(message: Say, db: Annotated[str, Depends(journal.later)]) -> None:
        raise AssertionError

    assert (await answer(handler, {}))["code"] == "invalid"
    assert journal == []


async def test_a_dependency_is_asked_once_for_each_message_unless_it_says_otherwise() -> None:
    calls: list[int] = []

    def number() -> int:
        calls.append(1)
        return len(calls)

    def twice(first: Annotated[int, Depends(number)]) -> int:
        return first

    async def handler(
        one: Annotated[int, Depends(number)],
        two: Annotated[int, Depends(twice)],
        other: Annotated[int, Depends(number, use_cache=False)],
    ) -> list[int]:
        return [one, two, other]

    hub: AnyHub = Hub()
    hub.on("do")(handler)
    async with served(hub) as client, talking(client) as talk:
        assert await talk.reply("do") == [1, 1, 2]
        assert await talk.reply("do") == [3, 3, 4]


async def test_dependencies_are_overridden_by_the_app() -> None:
    hub: AnyHub = Hub()
    journal = Journal()

    @hub.on("do")
    async def handler(db: Annotated[str, Depends(journal.later)]) -> str:
        return db

    app = app_of(hub)
    async with Client(app) as client, talking(client) as talk:
        app.dependency_overrides[journal.later] = lambda: "fake"
        assert await talk.reply("do") == "fake"
        app.dependency_overrides.clear()
        assert await talk.reply("do") == "session 1"


async def test_an_app_that_is_not_fastapis_has_no_overrides_and_needs_none() -> None:
    hub: AnyHub = Hub()

    @hub.on("do")
    async def handler(db: Annotated[str, Depends(lambda: "db")]) -> str:
        return db

    app = Starlette(routes=[Mount("/live", routes=hub.router.routes)], lifespan=hub.lifespan)
    async with Client(app) as client, talking(client) as talk:
        assert await talk.reply("do") == "db"


async def test_an_http_connection_is_the_request_that_opened_the_connection() -> None:
    hub: AnyHub = Hub()

    def of_request(request: Request) -> str:
        return request.headers["x-tenant"]

    def of_connection(http: HTTPConnection) -> list[str]:
        return [http.headers["x-tenant"], http.url.path]

    @hub.on("do")
    async def handler(
        http: HTTPConnection,
        request: Annotated[str, Depends(of_request)],
        connection: Annotated[list[str], Depends(of_connection)],
    ) -> list[Any]:
        return [http.cookies["seat"], http.query_params["v"], request, connection, type(http.app).__name__]

    app = app_of(hub)
    async with (
        Client(app) as client,
        client.websocket("/live/websocket?v=2", headers={"x-tenant": "acme"}, cookies={"seat": "4"}) as ws,
    ):
        talk = Talk(ws)
        await talk.say({"type": "connect", "id": 1})
        await talk.until("connected")
        told = ["4", "2", "acme", ["acme", "/live/websocket"], "FastAPI"]
        assert await talk.reply("do") == told


async def test_headers_cookies_and_parameters_of_that_request_can_be_asked_for() -> None:
    hub: AnyHub = Hub()

    def paging(page: int = 1) -> int:
        return page

    @hub.on("do")
    async def handler(
        text: str,
        x_tenant: Annotated[str, Header()],
        page: Annotated[int, Depends(paging)],
        seat: str | None = Cookie(None),
        v: int = Query(7),
    ) -> list[Any]:
        return [text, x_tenant, page, seat, v]

    async with served(hub) as client:
        async with socket(client, headers={"x-tenant": "acme"}, cookies={"seat": "4"}) as talk:
            await talk.say({"type": "connect", "id": 1})
            await talk.until("connected")
            assert await talk.reply("do", "hi") == ["hi", "acme", 1, "4", 7]
        async with talking(client) as talk:
            told = await talk.error("send", command="do", data="hi")
            assert told == {"code": "invalid", "detail": "Field required", "field": "header.x-tenant"}


@pytest.mark.logged_errors
async def test_a_dependency_cannot_take_the_clients_messages_away() -> None:
    async def reads(request: Request) -> bytes:
        return await request.body()

    async def handler(body: Annotated[bytes, Depends(reads)]) -> None:
        raise AssertionError

    assert (await answer(handler))["code"] == "internal"


async def test_what_a_dependency_raises_answers_as_if_the_handler_did() -> None:
    def refuses() -> None:
        raise HTTPException(404, "no such thing")

    async def handler(one: Annotated[None, Depends(refuses)]) -> None:
        raise AssertionError

    assert await answer(handler) == {"code": "not_found", "detail": "no such thing"}


# The hub's authentication, as a dependency.


async def test_the_hubs_authentication_finds_the_connections_user() -> None:
    auth = auth_of_names()
    hub: AnyHub = Hub(auth=auth)

    @hub.on("who")
    async def who(user: Annotated[str, Depends(auth)]) -> str:
        return user

    async with served(hub) as client:
        async with talking(client, "ann") as talk:
            assert await talk.reply("who") == "ann"
        async with talking(client, headers={"authorization": "Bearer bob"}) as talk:
            assert await talk.reply("who") == "bob"


async def _scoped(token: str) -> Identity:
    return Identity(subject=token, scopes=frozenset({"chat"}))


@pytest.mark.parametrize("reject", ["http", "close"])
@pytest.mark.parametrize("denial_response", [True, False])
@pytest.mark.parametrize("with_scopes", [True, False])
async def test_scopes_are_asked_for_each_command_and_a_refusal_is_an_answer(
    reject: Any, denial_response: bool, with_scopes: bool
) -> None:
    auth = TokenAuth(_scoped, reject=reject)
    hub: AnyHub = Hub(auth=auth.requires("chat") if with_scopes else auth)

    @hub.on("chat")
    async def chat(user: Annotated[Identity, Depends(auth.requires("chat"))]) -> str:
        return user.subject

    @hub.on("ban")
    async def ban(user: Annotated[Identity, Security(auth, scopes=["admin"])]) -> None:
        raise AssertionError

    async with served(hub, denial_response=denial_response) as client, talking(client, "ann") as talk:
        assert await talk.reply("chat") == "ann"
        told = await talk.error("send", command="ban")
        assert told == {"code": "forbidden", "detail": "missing scope: admin"}
        assert await talk.reply("chat") == "ann"


async def test_another_authentication_looks_into_the_request() -> None:
    other = TokenAuth(_scoped)
    hub: AnyHub = Hub(auth=auth_of_names())

    @hub.on("who")
    async def who(user: Annotated[Identity, Depends(other)]) -> str:
        return user.subject

    async with served(hub) as client:
        async with talking(client, "ann") as talk:
            told = await talk.error("send", command="who")
            assert told == {"code": "unauthorized", "detail": "no token was given"}
        async with talking(client, headers={"authorization": "Bearer bob"}) as talk:
            assert await talk.reply("who") == "bob"


async def test_a_refreshed_user_is_the_one_that_dependencies_find() -> None:
    tokens = {"first": Identity(subject="ann"), "second": Identity(subject="ann", scopes=frozenset({"admin"}))}

    async def verify(token: str) -> Identity | None:
        return tokens.get(token)

    auth = TokenAuth(verify)
    hub: AnyHub = Hub(auth=auth)

    @hub.on("ban")
    async def ban(user: Annotated[Identity, Security(auth, scopes=["admin"])]) -> str:
        return user.subject

    async with served(hub) as client, talking(client, "first") as talk:
        assert (await talk.send("ban"))["code"] == "forbidden"
        assert (await talk.ask("refresh", token="second"))["type"] == "reply"
        assert await talk.reply("ban") == "ann"


async def test_a_hub_without_authentication_has_no_user_for_dependencies() -> None:
    async def handler(user: Annotated[str, Depends(auth_of_names())]) -> None:
        raise AssertionError

    assert (await answer(handler))["code"] == "unauthorized"


async def test_handlers_may_come_after_the_router_and_the_first_client() -> None:
    hub: AnyHub = Hub()
    async with served(hub) as client, talking(client) as talk:
        assert (await talk.send("late"))["code"] == "unknown_command"
        hub.on("late")(lambda: "now")
        assert await talk.reply("late") == "now"
