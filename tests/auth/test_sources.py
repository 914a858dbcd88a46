import pytest
from fastapi.openapi.models import APIKey, HTTPBearer
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.auth import Cookie, Header, Query, SessionCookie, Subprotocol, TokenSource
from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY

from .requests import FakeWebSocket, http


@pytest.mark.parametrize("value", ["Bearer tok", "bearer tok", "BEARER  tok "])
def test_a_bearer_token_is_read_from_the_authorization_header_in_any_case(value: str) -> None:
    assert Header().read(http(("Authorization", value))) == "tok"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic dXNlcg==", "tok"])
def test_an_authorization_header_without_a_bearer_token_holds_none(value: str) -> None:
    assert Header().read(http(("Authorization", value))) is None
    assert Header().read(http()) is None


def test_a_header_without_a_scheme_is_the_token() -> None:
    assert Header("X-Token", scheme=None).read(http(("X-Token", "tok en"))) == "tok en"
    assert Header("X-Token", scheme=None).read(http(("X-Token", " "))) is None


def test_a_query_parameter_and_a_cookie_are_read_by_name() -> None:
    assert Query("t").read(http(query="t=a&u=b")) == "a"
    assert Query("t").read(http(query="t=")) is None
    assert Cookie("t").read(http(("Cookie", "u=b; t=a"))) == "a"
    assert Cookie("t").read(http()) is None


@pytest.mark.parametrize(("value", "token"), [("ann", "ann"), (7, "7"), (True, None), ("", None), ([1], None)])
def test_a_session_holds_a_token_where_the_value_is_text_or_a_number(value: object, token: str | None) -> None:
    assert SessionCookie().read(http(extra={"session": {"user_id": value}})) == token


def test_a_session_without_the_key_holds_no_token() -> None:
    assert SessionCookie("login").read(http(extra={"session": {"user_id": "ann"}})) is None


def test_a_session_cookie_without_session_middleware_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="SessionMiddleware"):
        SessionCookie().read(http())


def test_the_subprotocol_after_the_marker_is_the_token_and_the_marker_is_left_for_accept() -> None:
    connection = FakeWebSocket(extra={"subprotocols": ["chat.v2", "access_token", "tok"]})
    assert Subprotocol().read(connection) == "tok"
    assert connection.scope[SUBPROTOCOL_SCOPE_KEY] == "access_token"


def test_a_marker_without_a_token_is_left_for_accept_too() -> None:
    connection = FakeWebSocket(extra={"subprotocols": ["access_token"]})
    assert Subprotocol().read(connection) is None
    assert connection.scope[SUBPROTOCOL_SCOPE_KEY] == "access_token"


@pytest.mark.parametrize("offered", [None, [], ["tok"], ["other", "tok"]])
def test_without_the_marker_no_subprotocol_is_a_token(offered: list[str] | None) -> None:
    connection = FakeWebSocket(extra={"subprotocols": offered})
    assert Subprotocol().read(connection) is None
    assert SUBPROTOCOL_SCOPE_KEY not in connection.scope


@pytest.mark.parametrize(
    ("source", "ambient"),
    [(Header(), False), (Query(), False), (Subprotocol(), False), (Cookie("t"), True), (SessionCookie(), True)],
)
def test_only_cookies_are_sent_by_browsers_unasked(source: TokenSource, ambient: bool) -> None:
    assert source.ambient is ambient


def test_each_source_describes_itself_to_openapi() -> None:
    assert isinstance(Header().openapi(), HTTPBearer)
    described = [Header("X-Token", None).openapi(), Query().openapi(), Cookie("t").openapi()]
    described.append(SessionCookie().openapi())
    keys = [model for model in described if isinstance(model, APIKey)]
    assert [(key.in_.value, key.name) for key in keys] == [
        ("header", "X-Token"),
        ("query", "token"),
        ("cookie", "t"),
        ("cookie", "session"),
    ]
    undescribed: TokenSource = Subprotocol()
    assert undescribed.openapi() is None


@given(st.text(), st.text(), st.text())
def test_no_header_cookie_or_query_makes_a_source_raise(header: str, cookie: str, query: str) -> None:
    connection = http(
        ("Authorization", header), ("Cookie", cookie), query=query.encode("utf-8", "replace").decode()
    )
    for source in (Header(), Header(scheme=None), Query(), Cookie("t"), Subprotocol()):
        assert source.read(connection) != ""
