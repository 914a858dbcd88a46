"""The client in real pages, with a real hub: WebSockets that do not pass, restarts, tabs that nobody looks at."""

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from .hub_app import NO_SOCKETS, QUICK
from .hub_process import HubProcess

WITHIN = 45_000
ROOMS = (f"room-{number}" for number in itertools.count())
WAYS = ["websocket", "sse"]
KEY = '"fastapi-rooms:" + new URL("/live", location)'
REMEMBERED = f"sessionStorage.getItem({KEY})"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    with HubProcess() as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.fixture
def mortal() -> Iterator[HubProcess]:
    """A hub for one test alone, which may stop it."""
    with HubProcess() as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.fixture
def room() -> str:
    """Another one for each test, since rooms remember."""
    return next(ROOMS)


class Tab:
    """A page of `hub_app`, and what it keeps of what it was told."""

    def __init__(self, context: BrowserContext, hub: HubProcess, room: str) -> None:
        self.room = room
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.sockets: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(f"{request.method} {request.url}"))
        self.page.on("websocket", lambda socket: self.sockets.append(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(hub.url)

    def start(self, user: str = "ann", **options: object) -> None:
        assert self.page.evaluate("(given) => start(...given)", [user, self.room, options])

    def load(self) -> None:
        self.page.reload()

    def ask(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def show(self, state: str) -> None:
        """As if the tab were in front, or not."""
        self.page.evaluate(
            """(state) => {
              Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            state,
        )

    def until(self, expression: str) -> None:
        self.page.wait_for_function(expression, timeout=WITHIN)

    def say(self, text: str) -> None:
        assert self.page.evaluate("(text) => lobby.send('say', { text })", text)["text"] == text

    def heard(self, *texts: str) -> None:
        """All that was said, in order, each once."""
        self.until(f"heard.length >= {len(texts)}")
        assert self.ask("heard") == list(texts)

    def is_back(self, times: int = 2) -> None:
        """In the room again."""
        self.until(f"rooms.state === 'connected' && joins.length >= {times}")

    @property
    def streams(self) -> int:
        return sum(request.startswith("GET") and request.endswith("/live/sse") for request in self.requests)


def say_from_elsewhere(hub: HubProcess, room: str, text: str) -> None:
    hub.post(f"/say?room={room}&text={quote(text)}")


@pytest.mark.parametrize("way", WAYS)
def test_two_pages_talk_and_see_each_other(context: BrowserContext, hub: HubProcess, room: str, way: str) -> None:
    ann, bob = Tab(context, hub, room), Tab(context, hub, room)
    ann.start("ann", transport=way)
    bob.start("bob", transport=way)
    ann.say("hello")
    bob.say("☃ 😀 \u2028")
    for tab in (ann, bob):
        tab.heard("hello", "☃ 😀 \u2028")
        tab.until("Object.keys(lobby.presence.users).sort().join() === 'ann,bob'")
    ann.ask("lobby.presence.update({ typing: true })")
    bob.until("lobby.presence.users.ann[0].metadata.typing === true")
    bob.page.close()
    ann.until("lobby.presence.count === 1")
    refused = "rooms.join('secret').joined.catch((error) => [error.name, error.code])"
    assert ann.ask(refused) == ["RoomsError", "refused"]
    assert ann.ask("rooms.send('fail').catch(({ code, message }) => [code, message])") == [
        "banned",
        "you may not speak here",
    ]
    assert ann.errors == []


def test_where_websockets_are_blocked_a_page_takes_streams_and_remembers(
    context: BrowserContext, room: str
) -> None:
    with HubProcess(NO_SOCKETS) as hub:
        tab = Tab(context, hub, room)
        tab.start()
        assert (len(tab.sockets), tab.streams) == (2, 1)
        tab.say("over a stream")
        tab.heard("over a stream")
        tab.load()
        tab.start()
        assert (len(tab.sockets), tab.streams) == (2, 2)
        tab.ask(f"sessionStorage.setItem({KEY}, Date.now() - 3.7e6)")
        tab.load()
        tab.start()
        assert (len(tab.sockets), tab.streams) == (3, 3)
        assert tab.ask(f"Date.now() - {REMEMBERED} < 60_000")
    assert "Traceback" not in hub.log


@pytest.mark.parametrize("way", WAYS)
def test_a_page_goes_on_when_the_server_is_restarted(
    context: BrowserContext, mortal: HubProcess, room: str, way: str
) -> None:
    tab = Tab(context, mortal, room)
    tab.start(transport=way)
    tab.say("before")
    mortal.restart()
    tab.is_back()
    assert tab.ask("joins[1]") == {"recovered": False, "reason": "epoch_changed", "again": True}
    tab.say("after")
    tab.heard("before", "after")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_sent_while_the_server_is_away_is_said_when_it_is_back(
    context: BrowserContext, mortal: HubProcess, room: str, way: str
) -> None:
    tab = Tab(context, mortal, room)
    tab.start(transport=way, timeout=60)
    mortal.stop()
    tab.until("rooms.state !== 'connected'")
    tab.ask("window.sent = Promise.all(['one', 'two', 'three'].map((text) => lobby.send('say', { text }))), true")
    mortal.start()
    assert [said["text"] for said in tab.ask("sent")] == ["one", "two", "three"]
    tab.heard("one", "two", "three")


def test_after_an_outage_a_page_is_back_on_websockets(
    context: BrowserContext, mortal: HubProcess, room: str
) -> None:
    tab = Tab(context, mortal, room)
    tab.start(fixed=True)
    mortal.stop()
    tab.until("states.filter((state) => state === 'waiting').length >= 6")
    assert len(tab.sockets) >= 3
    assert tab.streams >= 1
    mortal.start()
    tab.is_back()
    tab.say("back")
    tab.heard("back")
    assert tab.ask(REMEMBERED) is None


@pytest.mark.parametrize("code", [1012, 4010])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_missed_and_nothing_comes_twice_when_connections_are_cut(
    context: BrowserContext, hub: HubProcess, room: str, way: str, code: int
) -> None:
    tab = Tab(context, hub, room)
    tab.start(transport=way)
    expected = []
    for cut in range(4):
        for number in range(10):
            say_from_elsewhere(hub, room, f"{cut}.{number}")
            expected.append(f"{cut}.{number}")
        hub.post(f"/cut?room={room}&code={code}")
    tab.heard(*expected)
    assert tab.ask("joins.slice(1).every(({ recovered }) => recovered)")


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_is_told_not_to_come_back_does_not(
    context: BrowserContext, hub: HubProcess, room: str, way: str
) -> None:
    tab = Tab(context, hub, room)
    tab.start(transport=way)
    hub.post(f"/cut?room={room}&code=4507")
    tab.until("rooms.state === 'closed'")
    assert tab.ask("closes") == [4507]
    assert tab.ask("lobby.send('say', { text: 'more' }).catch(({ code }) => code)") == "closed"


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_was_offline_gets_what_was_said_meanwhile(
    context: BrowserContext, hub: HubProcess, room: str, way: str
) -> None:
    tab = Tab(context, hub, room)
    tab.start(transport=way)
    say_from_elsewhere(hub, room, "before")
    tab.heard("before")
    context.set_offline(True)
    hub.post(f"/cut?room={room}&code=1012")  # not every browser cuts what is connected already
    tab.until("rooms.state === 'waiting'")
    say_from_elsewhere(hub, room, "meanwhile")
    context.set_offline(False)
    tab.heard("before", "meanwhile")
    tab.is_back()
    tab.say("after")
    tab.heard("before", "meanwhile", "after")


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_tab_that_slept_until_the_server_gave_it_up_goes_on(
    context: BrowserContext, room: str, way: str
) -> None:
    with HubProcess(QUICK) as hub:
        tab, watcher = Tab(context, hub, room), Tab(context, hub, room)
        tab.start(transport=way)
        watcher.start("bob")
        tab.show("hidden")
        devtools = context.new_cdp_session(tab.page)
        devtools.send("Debugger.enable")
        devtools.send("Debugger.pause")  # nothing of the page runs: no pong, no timer
        watcher.until("lobby.presence.count === 1")
        say_from_elsewhere(hub, room, "to nobody who hears")
        devtools.send("Debugger.resume")
        devtools.send("Debugger.disable")
        tab.show("visible")
        tab.is_back()
        tab.heard("to nobody who hears")
        watcher.until("lobby.presence.count === 2")


def test_connections_outlive_their_tokens(context: BrowserContext, hub: HubProcess, room: str) -> None:
    context.clock.install()
    tabs = [Tab(context, hub, room) for _ in WAYS]
    for tab, way in zip(tabs, WAYS, strict=True):
        tab.ask("window.begin = Date.now()")
        tab.start(transport=way, seconds=9.5, then=600)
    context.clock.fast_forward(8_000)  # a client looks at the clock after 8 s, no earlier: now, with time left
    for tab in tabs:
        tab.until("tokens >= 2 && Date.now() > begin + 18_000")
        tab.say("with the second token")
        assert tab.ask("states") == ["connected"]


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_expires_meanwhile_is_replaced_and_nothing_is_missed(
    context: BrowserContext, hub: HubProcess, room: str, way: str
) -> None:
    tab = Tab(context, hub, room)
    tab.start(transport=way, seconds=3)
    tab.ask("window.fails = 2, true")
    tab.until("rooms.state === 'waiting'")
    say_from_elsewhere(hub, room, "meanwhile")
    tab.is_back()
    assert tab.ask("fails") == 0
    tab.until("heard.length >= 1")
    assert tab.ask("heard") == ["meanwhile"]
    assert tab.ask("closes") == []


def test_a_page_that_goes_away_is_gone(context: BrowserContext, hub: HubProcess, room: str) -> None:
    ann, bob = Tab(context, hub, room), Tab(context, hub, room)
    ann.start("ann")
    bob.start("bob")
    ann.until("lobby.presence.count === 2")
    bob.page.goto("about:blank")
    ann.until("lobby.presence.count === 1")
