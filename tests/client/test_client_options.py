"""Options, URLs and callbacks; without a connection."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fastapi_rooms.client import RoomsClient
from fastapi_rooms.client.address import Address
from fastapi_rooms.client.listeners import Listeners
from fastapi_rooms.errors import ConfigurationError, MissingExtra, UnencodableMessage


@pytest.mark.parametrize(
    ("url", "websocket", "sse"),
    [
        ("http://127.0.0.1:8000/live", "ws://127.0.0.1:8000/live/websocket", "http://127.0.0.1:8000/live/sse"),
        ("https://example.com", "wss://example.com/websocket", "https://example.com/sse"),
        ("ws://[::1]/a/b/?x=1#y", "ws://[::1]/a/b/websocket?x=1", "http://[::1]/a/b/sse?x=1"),
        ("WSS://example.com/", "wss://example.com/websocket", "https://example.com/sse"),
    ],
)
def test_a_hub_is_found_by_the_url_of_its_router(url: str, websocket: str, sse: str) -> None:
    assert Address.of(url) == Address(websocket, sse)


@pytest.mark.parametrize(
    "url", ["", "/live", "ftp://u:hunter2@x", "http://", "http://x:99999", "http://x:y", "http://[x"]
)
def test_a_url_that_cannot_work_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RoomsClient(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "carrier pigeon"},
        {"queue": 0},
        {"buffer": -1},
        {"min_delay": 0.0},
        {"max_delay": float("inf")},
        {"connect_timeout": float("nan")},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RoomsClient("http://127.0.0.1/live", **options)  # type: ignore[arg-type]


def test_a_name_that_is_not_unicode_is_refused_at_once() -> None:
    with pytest.raises(UnencodableMessage):
        RoomsClient("http://127.0.0.1/live").join("\ud800")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Takes a library away."""

    def take_away(library: str) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == library]:
            monkeypatch.setitem(sys.modules, name, None)
        for module in ("fastapi_rooms.client.websocket", "fastapi_rooms.client.sse"):
            monkeypatch.delitem(sys.modules, module, raising=False)

    return take_away


@pytest.mark.parametrize(
    ("transport", "missing"),
    [("websocket", "websockets"), ("sse", "httpx"), ("auto", "httpx"), ("auto", "websockets")],
)
def test_without_its_library_a_transport_says_what_to_install(
    transport: Any, missing: str, without: Callable[[str], None]
) -> None:
    without(missing)
    with pytest.raises(MissingExtra, match=r"RoomsClient needs .*fastapi-rooms\[client\]") as refused:
        RoomsClient("http://127.0.0.1/live", transport=transport)
    assert refused.value.extra == "client"


@pytest.mark.parametrize(("transport", "missing"), [("websocket", "httpx"), ("sse", "websockets")])
def test_each_transport_needs_its_own_library_alone(
    transport: Any, missing: str, without: Callable[[str], None]
) -> None:
    without(missing)
    RoomsClient("http://127.0.0.1/live", transport=transport)


async def a_coroutine_function(message: object) -> None: ...


class Called:
    async def __call__(self, message: object) -> None: ...


@pytest.mark.parametrize("callback", [a_coroutine_function, partial(a_coroutine_function), Called()])
def test_a_callback_that_nobody_would_await_is_refused(callback: object) -> None:
    room = RoomsClient("http://127.0.0.1/live").join("lobby")
    with pytest.raises(ConfigurationError, match="iterate instead"):
        room.on("said", callback)  # type: ignore[arg-type]


@pytest.mark.logged_errors
def test_a_callback_that_fails_harms_no_other_and_one_that_is_off_is_not_called() -> None:
    listeners, heard = Listeners(), list[object]()
    assert not listeners.call("said", 1)
    listeners.add("said", lambda _: 1 / 0)
    off = listeners.add("said", heard.append)
    assert listeners.call("said", 2)
    off()
    off()
    listeners.call("said", 3)
    assert heard == [2]
