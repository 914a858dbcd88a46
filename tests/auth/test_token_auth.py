import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.security import SecurityScopes
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.auth import (
    Cookie,
    Header,
    Identity,
    OriginPolicy,
    Query,
    SessionCookie,
    Subprotocol,
    TokenAuth,
    TokenSource,
)
from fastapi_rooms.errors import (
    AuthenticationError,
    ConfigurationError,
    ExpiredToken,
    InsufficientScope,
    InvalidToken,
    MissingToken,
    RoomsError,
)
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY, Authenticator

from .requests import FakeWebSocket, http

ANN = Identity(subject="ann", scopes=frozenset({"chat:read", "chat:write"}))
BEARER = ("Authorization", "Bearer ann")


def verify(token: str) -> Identity | None:
    return ANN if token == "ann" else None


async def verify_later(token: str) -> Identity | None:
    await asyncio.sleep(0)
    return verify(token)


@dataclass
class User:
    id: int
    scopes: str = ""
    expires_at: float | None = None


def no_scopes() -> SecurityScopes:
    return SecurityScopes()


async def test_a_token_becomes_what_verify_returns() -> None:
    assert await TokenAuth(verify).authenticate("ann") is ANN
    assert await TokenAuth(verify_later).authenticate("ann") is ANN


async def test_any_object_can_be_the_user() -> None:
    auth = TokenAuth(lambda token: User(id=int(token)))
    user = await auth.authenticate("7")
    assert user.id == 7


async def test_a_token_that_verify_does_not_know_is_invalid() -> None:
    for auth in (TokenAuth(verify), TokenAuth(verify_later)):
        with pytest.raises(InvalidToken):
            await auth.authenticate("bob")


async def test_an_empty_token_is_a_missing_one() -> None:
    with pytest.raises(MissingToken):
        await TokenAuth(verify).authenticate("")


async def test_a_user_whose_time_is_over_is_refused() -> None:
    with pytest.raises(ExpiredToken):
        await TokenAuth(lambda _: User(id=1, expires_at=time.time() - 1)).authenticate("x")
    assert await TokenAuth(lambda _: User(id=1, expires_at=time.time() + 60)).authenticate("x")


async def test_an_authentication_error_of_verify_is_the_refusal() -> None:
    class Suspended(AuthenticationError):
        status = 403

    def suspended(token: str) -> Identity | None:
        raise Suspended("this account is suspended")

    with pytest.raises(HTTPException) as refusal:
        await TokenAuth(suspended)(http(BEARER), no_scopes())
    assert (refusal.value.status_code, refusal.value.detail) == (403, "this account is suspended")


async def test_any_other_exception_of_verify_passes_through() -> None:
    def broken(token: str) -> Identity | None:
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        await TokenAuth(broken)(http(BEARER), no_scopes())


async def test_scopes_of_the_dependency_are_required_of_every_user() -> None:
    assert await TokenAuth(verify, scopes=["chat:read"]).authenticate("ann") is ANN
    with pytest.raises(InsufficientScope, match="admin"):
        await TokenAuth(verify, scopes=["chat:read", "admin"]).authenticate("ann")


async def test_scopes_may_be_text_with_spaces_between() -> None:
    auth = TokenAuth(lambda _: User(id=1, scopes="a b"), scopes=["a", "b"])
    assert (await auth.authenticate("x")).id == 1
    with pytest.raises(InsufficientScope):
        await TokenAuth(lambda _: object(), scopes=["a"]).authenticate("x")


async def test_scopes_of_security_are_required_by_the_dependency() -> None:
    auth = TokenAuth(verify)
    assert await auth(http(BEARER), SecurityScopes(["chat:write"])) is ANN
    with pytest.raises(HTTPException) as refusal:
        await auth(http(BEARER), SecurityScopes(["admin"]))
    assert refusal.value.status_code == 403
    assert refusal.value.detail == "missing scope: admin"


async def test_requires_is_the_same_authentication_with_scopes() -> None:
    auth = TokenAuth(verify).requires("chat:read")
    assert await auth.authenticate("ann") is ANN
    assert await auth.requires("chat:write").authenticate("ann") is ANN
    assert auth.requires("admin").scopes == ("chat:read", "admin")
    with pytest.raises(InsufficientScope):
        await auth.requires("admin").authenticate("ann")
    with pytest.raises(InvalidToken):
        await auth.authenticate("bob")


async def test_both_are_authenticators() -> None:
    authenticators: list[Authenticator] = [TokenAuth(verify), TokenAuth(verify_later).requires("chat:read")]
    for authenticator in authenticators:
        assert await authenticator.authenticate("ann") is ANN


@pytest.mark.parametrize("scopes", [[""], ["a b"], [" a"], "admin"])
def test_scopes_that_are_no_names_are_refused_at_once(scopes: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="scope"):
        TokenAuth(verify, scopes=scopes)


def test_requires_needs_a_scope() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        TokenAuth(verify).requires()


def test_a_dependency_needs_a_source() -> None:
    with pytest.raises(ConfigurationError, match="sources"):
        TokenAuth(verify, sources=[])


async def test_by_default_a_token_in_the_url_or_in_a_cookie_is_not_looked_at() -> None:
    connection = http(("Cookie", "token=ann; session=ann"), query="token=ann")
    with pytest.raises(HTTPException) as refusal:
        await TokenAuth(verify)(connection, no_scopes())
    assert refusal.value.status_code == 401
    assert refusal.value.headers == {"WWW-Authenticate": "Bearer"}


async def test_by_default_a_token_in_the_subprotocols_is_good_and_its_marker_is_left_for_accept() -> None:
    websocket = FakeWebSocket(extra={"subprotocols": ["access_token", "ann"]})
    assert await TokenAuth(verify)(websocket, no_scopes()) is ANN
    assert websocket.scope[SUBPROTOCOL_SCOPE_KEY] == "access_token"


async def test_the_first_source_that_holds_a_token_decides() -> None:
    auth = TokenAuth(verify, sources=[Header(), Query()])
    assert await auth(http(query="token=ann"), no_scopes()) is ANN
    assert await auth(http(BEARER, query="token=bob"), no_scopes()) is ANN
    with pytest.raises(HTTPException):
        await auth(http(("Authorization", "Bearer bob"), query="token=ann"), no_scopes())


async def test_a_token_is_verified_once_per_request() -> None:
    verified = []

    def verify_and_count(token: str) -> Identity | None:
        verified.append(token)
        return ANN

    auth = TokenAuth(verify_and_count)
    connection = http(BEARER)
    await auth(connection, no_scopes())
    await auth(connection, SecurityScopes(["chat:read"]))
    assert verified == ["ann"]
    await auth(http(BEARER), no_scopes())
    assert verified == ["ann", "ann"]


EVIL = ("Origin", "https://evil.example")
HOST = ("Host", "app.example")
SAME = ("Origin", "https://app.example")
COOKIE = ("Cookie", "token=ann")


@pytest.mark.parametrize(
    ("source", "header", "extra"),
    [(Cookie("token"), COOKIE, {}), (SessionCookie(), HOST, {"session": {"user_id": "ann"}})],
)
async def test_a_cookie_counts_only_from_pages_of_the_same_host(
    source: TokenSource, header: tuple[str, str], extra: dict[str, Any]
) -> None:
    auth = TokenAuth(verify, sources=[source])
    assert await auth(http(HOST, SAME, header, extra=dict(extra)), no_scopes()) is ANN
    assert await auth(http(HOST, header, extra=dict(extra)), no_scopes()) is ANN
    with pytest.raises(HTTPException) as refusal:
        await auth(http(HOST, EVIL, header, extra=dict(extra)), no_scopes())
    assert refusal.value.status_code == 403


async def test_a_header_counts_from_any_page_unless_a_policy_is_given() -> None:
    assert await TokenAuth(verify, sources=[Header(), Cookie("token")])(http(HOST, EVIL, BEARER), no_scopes())
    with pytest.raises(HTTPException) as refusal:
        await TokenAuth(verify, origin=OriginPolicy())(http(HOST, EVIL, BEARER), no_scopes())
    assert refusal.value.status_code == 403


async def test_a_policy_replaces_the_check_of_cookies_and_none_switches_it_off() -> None:
    sources = [Cookie("token")]
    policy = OriginPolicy(allow=["https://evil.example"])
    assert await TokenAuth(verify, sources=sources, origin=policy)(http(HOST, EVIL, COOKIE), no_scopes())
    assert await TokenAuth(verify, sources=sources, origin=None)(http(HOST, EVIL, COOKIE), no_scopes())


async def test_a_refused_origin_leaves_the_token_unverified() -> None:
    def never(token: str) -> Identity | None:
        raise AssertionError("verified")

    with pytest.raises(HTTPException):
        await TokenAuth(never, origin=OriginPolicy())(http(HOST, EVIL, BEARER), no_scopes())


async def test_a_refusal_after_accept_echoes_the_marker_even_for_a_refused_origin() -> None:
    websocket = FakeWebSocket(HOST, EVIL, extra={"subprotocols": ["access_token", "ann"]})
    with pytest.raises(Exception, match="origin"):
        await TokenAuth(verify, origin=OriginPolicy(), reject="close")(websocket, no_scopes())
    assert websocket.sent[0]["subprotocol"] == "access_token"


@pytest.mark.parametrize(
    ("sources", "challenge"),
    [
        ([Header()], "Bearer"),
        ([Subprotocol()], "Bearer"),
        ([Cookie("t"), Header()], "Bearer"),
        ([Query()], "APIKey"),
    ],
)
async def test_a_401_names_a_scheme(sources: list[TokenSource], challenge: str) -> None:
    with pytest.raises(HTTPException) as refusal:
        await TokenAuth(verify, sources=sources)(http(), no_scopes())
    assert refusal.value.headers == {"WWW-Authenticate": challenge}


async def test_a_refusal_has_no_chain_that_a_log_would_print() -> None:
    with pytest.raises(HTTPException) as refusal:
        await TokenAuth(verify)(http(("Authorization", "Bearer very-secret")), no_scopes())
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None
    assert "very-secret" not in repr(refusal.value) + str(refusal.value.headers)


@given(st.text(), st.text())
def test_no_token_raises_anything_but_an_error_of_ours(token: str, header: str) -> None:
    auth = TokenAuth(verify, sources=[Header(), Header("X-Token", None), Query(), Cookie("t"), Subprotocol()])

    async def present() -> None:
        with pytest.raises(RoomsError):
            await auth.authenticate(token + "?")
        with pytest.raises(HTTPException):
            await auth(http(("X-Token", header + "?"), ("Cookie", header)), no_scopes())

    asyncio.run(present())


async def test_it_says_who_a_request_is_from_without_refusing_one_that_holds_no_token() -> None:
    auth = TokenAuth(verify)
    assert await auth.identify(http(BEARER)) is ANN
    assert await auth.identify(http()) is None
    with pytest.raises(InvalidToken):
        await auth.identify(http(("Authorization", "Bearer bob")))


async def test_it_says_so_for_those_who_have_the_scopes() -> None:
    auth = TokenAuth(verify)
    assert await auth.requires("chat:read").identify(http(BEARER)) is ANN
    assert await auth.requires("chat:read").identify(http()) is None
    with pytest.raises(InsufficientScope):
        await auth.requires("admin").identify(http(BEARER))
