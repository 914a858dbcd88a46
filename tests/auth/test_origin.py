from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient, WebSocketDenialResponse

from fastapi_rooms.auth import OriginPolicy
from fastapi_rooms.errors import ConfigurationError, OriginRefused

from .requests import http


def allowed(policy: OriginPolicy, origin: str | None, host: str | None = "app.example") -> bool:
    headers = [("Host", host)] if host is not None else []
    if origin is not None:
        headers.append(("Origin", origin))
    try:
        policy.check(http(*headers))
    except OriginRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://app.example", "app.example"),
        ("http://app.example", "app.example"),
        ("https://app.example", "app.example:443"),
        ("HTTPS://App.Example", "aPP.example"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://127.0.0.1", "127.0.0.1:80"),
    ],
)
def test_by_default_pages_of_the_same_host_and_port_may_connect(origin: str, host: str) -> None:
    assert allowed(OriginPolicy(), origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "app.example"),
        ("https://evilapp.example", "app.example"),
        ("https://app.example.evil.com", "app.example"),
        ("https://app.example", "app.example:80"),
        ("http://localhost:3000", "localhost:8000"),
        ("https://*.app.example", "app.example"),
        ("https://app.example", "app.example/"),
        ("https://app.example", None),
    ],
)
def test_by_default_every_other_page_is_refused(origin: str, host: str | None) -> None:
    assert not allowed(OriginPolicy(), origin, host)


@pytest.mark.parametrize(
    "origin",
    ["null", "", "app.example", "https://", "https://app.example/", "https://user@app.example", "*",
     "https://app.example:", "https://app.example:99999999", "https://app.example https://app.example",
     "https://app.example\t", "//app.example"],
)  # fmt: skip
def test_what_is_not_an_origin_is_refused(origin: str) -> None:
    assert not allowed(OriginPolicy(), origin)
    assert not allowed(OriginPolicy(allow=["https://app.example"]), origin)


def test_two_origin_headers_are_refused() -> None:
    connection = http(("Host", "a.b"), ("Origin", "http://a.b"), ("Origin", "http://a.b"))
    with pytest.raises(OriginRefused):
        OriginPolicy().check(connection)


def test_a_client_without_an_origin_may_connect_unless_one_is_required() -> None:
    assert allowed(OriginPolicy(), None)
    assert not allowed(OriginPolicy(require=True), None)
    assert allowed(OriginPolicy(require=True), "https://app.example")


def test_a_list_allows_its_origins_and_no_others() -> None:
    policy = OriginPolicy(allow=["https://app.example", "http://localhost:3000", "wss://ws.example"])
    assert allowed(policy, "https://app.example:443", host="other")
    assert allowed(policy, "http://localhost:3000")
    assert allowed(policy, "https://ws.example")
    assert not allowed(policy, "http://app.example")
    assert not allowed(policy, "https://app.example:8443")
    assert not allowed(policy, "http://localhost")
    assert not allowed(policy, "https://sub.app.example")


def test_schemes_of_apps_and_extensions_can_be_listed() -> None:
    policy = OriginPolicy(allow=["capacitor://localhost", "chrome-extension://abcdef"])
    assert allowed(policy, "chrome-extension://abcdef")
    assert allowed(policy, "capacitor://localhost")
    assert not allowed(policy, "http://localhost")


def test_a_wildcard_stands_for_whole_labels_on_the_left() -> None:
    policy = OriginPolicy(allow=["https://*.example.com"])
    assert allowed(policy, "https://a.example.com")
    assert allowed(policy, "https://a.b.example.com")
    assert not allowed(policy, "https://example.com")
    assert not allowed(policy, "https://evilexample.com")
    assert not allowed(policy, "https://example.com.evil.org")
    assert not allowed(policy, "http://a.example.com")
    assert not allowed(policy, "https://*.example.com")


@pytest.mark.parametrize(
    "allow", [[], "https://app.example", ["*"], ["app.example"], ["https://a.*.com"], ["https://a.com/x"]]
)
def test_a_list_that_cannot_work_is_refused_at_once(allow: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="OriginPolicy"):
        OriginPolicy(allow=allow)


def test_alone_it_is_a_dependency_for_http_routes_and_websockets() -> None:
    app = FastAPI(dependencies=[Depends(OriginPolicy(allow=["https://app.example"]))])

    @app.get("/")
    async def read() -> str:
        return "hello"

    @app.websocket("/ws")
    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    with TestClient(app) as client:
        assert client.get("/", headers={"Origin": "https://app.example"}).status_code == 200
        refused = client.get("/", headers={"Origin": "https://evil.example"})
        assert refused.status_code == 403
        assert "www-authenticate" not in refused.headers
        with client.websocket_connect("/ws", headers={"Origin": "https://app.example"}):
            pass
        with (
            pytest.raises(WebSocketDenialResponse) as denial,
            client.websocket_connect("/ws", headers={"Origin": "https://evil.example"}),
        ):
            pass
        assert denial.value.status_code == 403


def test_it_can_refuse_a_websocket_by_its_close_code() -> None:
    app = FastAPI()
    policy = OriginPolicy(reject="close")

    @app.websocket("/ws")
    async def serve(websocket: WebSocket, _: Annotated[None, Depends(policy)]) -> None:
        raise AssertionError("never reached")

    with (
        TestClient(app) as client,
        client.websocket_connect("/ws", headers={"Origin": "https://evil.example"}) as websocket,
    ):
        closed = websocket.receive()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4507)


def test_an_unknown_way_to_refuse_is_refused() -> None:
    unknown: Any = "politely"
    with pytest.raises(ConfigurationError, match="reject"):
        OriginPolicy(reject=unknown)


@given(st.text(), st.text())
def test_no_origin_or_host_raises_anything_but_a_refusal(origin: str, host: str) -> None:
    for policy in (OriginPolicy(), OriginPolicy(allow=["https://*.example.com"])):
        allowed(policy, origin, host)


@given(st.from_regex(r"https?://[a-z0-9.:-]{0,20}example\.com[a-z0-9.:/-]{0,12}", fullmatch=True))
def test_whatever_a_wildcard_allows_is_below_its_domain(origin: str) -> None:
    if allowed(OriginPolicy(allow=["https://*.example.com"]), origin):
        host, _, port = origin.removeprefix("https://").partition(":")
        assert host.endswith(".example.com")
        assert int(port or 443) == 443
