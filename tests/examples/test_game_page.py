"""The game in a real browser: who plays, who watches, who comes back, and the same world on every page."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from example_process import ExampleProcess
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from chromium import FEW_FRAMES
from fastapi_rooms.private_engine import private_redis

DESKTOP = ViewportSize(width=1280, height=800)
BACK_WITHIN = 20_000
SECRET = "a secret of 32 characters or more, for tests"
RED, BLUE = (229, 72, 77), (62, 123, 250)
"""Of the first two places."""

WHERE = """([red, green, blue]) => {
    const canvas = document.getElementById("field");
    const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let [count, x, y] = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] !== red || data[at + 1] !== green || data[at + 2] !== blue) continue;
        [count, x, y] = [count + 1, x + (at / 4) % width, y + Math.floor(at / 4 / width)];
    }
    return count > 20 ? { x: x / count, y: y / count } : null;
}"""
"""Where the pixels of a colour are."""

MOVED = f"""([colour, x, y]) => {{
    const at = ({WHERE})(colour);
    return at && Math.hypot(at.x - x, at.y - y) > 60;
}}"""

JOINS = """async (room) => {
    const { Rooms } = await import("/live/rooms.js");
    const { joined } = new Rooms("live", { token: sessionStorage.getItem("game-token") }).join(room);
    return joined.then(() => "in", ({ code }) => code);
}"""

OTHERS = """async (count) => {
    const { Rooms } = await import(new URL("live/rooms.js", location.href));
    window.others = [];
    for (let number = 0; number < count; number++) {
        const token = async () => {
            const body = JSON.stringify({ name: `Other ${number}` });
            const headers = { "Content-Type": "application/json" };
            return (await (await fetch("token", { method: "POST", headers, body })).json()).token;
        };
        const room = new Rooms("live", { token }).join(`arena-${location.pathname.split("/").at(-1)}`);
        await room.send("play");
        window.others.push(room);
    }
}"""

OURSELVES = """async () => {
    const { Rooms } = await import(new URL("live/rooms.js", location.href));
    const rooms = new Rooms("live", { token: sessionStorage.getItem("game-token") });
    window.room = rooms.join(`arena-${location.pathname.split("/").at(-1)}`);
    window.own = null;
    let place = null;
    window.room.on("players", ({ players }) => {
        place = players.find(([, user]) => user === rooms.user)?.[0] ?? null;
    });
    window.room.on("state", (state) => {
        window.all = state;
        const found = state.beetles.find(([number]) => number === place);
        window.own = found ? { x: found[1], y: found[2], vx: found[3], vy: found[4], score: found[5] } : null;
    });
}"""
"""Another connection of the page's player, which hears what it hears."""

GATHERS = """(wanted) => {
    if (!window.own) return false;
    const { x, y, score } = window.own;
    if (score >= wanted) {
        window.room.send("steer", { x: 0, y: 0 });
        return true;
    }
    const far = ([, a, b]) => Math.hypot(a - x, b - y);
    const [nearest] = [...window.all.sparks].sort((one, other) => far(one) - far(other));
    if (!nearest) return false;
    const scale = 100 / Math.max(100, far(nearest));
    const part = (by) => Math.round(Math.max(-100, Math.min(100, by * scale)));
    window.room.send("steer", { x: part(nearest[1] - x), y: part(nearest[2] - y) });
    return false;
}"""


@pytest.fixture(scope="module")
def game() -> Iterator[ExampleProcess]:
    with ExampleProcess() as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    context.add_init_script(FEW_FRAMES)
    yield context
    context.close()


class Player:
    """A page of the game.

    Args:
        arena: Where; "" is the lobby.
    """

    def __init__(self, context: BrowserContext, game: ExampleProcess, arena: str, name: str) -> None:
        self.errors: list[str] = []
        self.name = name
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{game.url}/{arena}")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Go in").click()
        self.is_live()

    def is_live(self, *, timeout: float = 10_000) -> None:
        expect(self.page.locator("live-state")).to_have_attribute("data-state", "live", timeout=timeout)

    def plays(self, *, timeout: float = 10_000) -> None:
        expect(self.page.locator("#scores [data-me]")).to_contain_text(f"{self.name} (you)", timeout=timeout)

    def lists(self, *names: str) -> None:
        expect(self.page.locator("#scores .who")).to_have_count(len(names))
        for name in names:
            expect(self.page.locator("#scores")).to_contain_text(name)

    def sees(self, colour: tuple[int, int, int]) -> dict[str, float]:
        """Where a beetle is on the canvas, in pixels."""
        seen: dict[str, float] = self.page.wait_for_function(WHERE, arg=colour, polling=100).json_value()
        return seen

    def sees_move(self, colour: tuple[int, int, int], before: dict[str, float]) -> None:
        self.page.wait_for_function(MOVED, arg=[colour, before["x"], before["y"]], polling=100)

    def listens(self) -> None:
        """`window.own` is what the server tells of the own beetle."""
        self.page.evaluate(OURSELVES)
        self.page.wait_for_function("() => window.own")

    def steers(self, x: int) -> None:
        """Left or right from now on, said again and again, as the page does while a key is held."""
        self.page.evaluate("(x) => setInterval(() => window.room.send('steer', { x, y: 0 }), 200)", x)

    def gathers(self, wanted: int) -> dict[str, Any]:
        """Steer to sparks until it has so many; what is told of it then, at rest."""
        self.page.wait_for_function(GATHERS, arg=wanted, polling=60)
        at_rest = "() => window.own && Math.hypot(window.own.vx, window.own.vy) < 5 && window.own"
        own: dict[str, Any] = self.page.wait_for_function(at_rest).json_value()
        return own


def test_two_pages_see_each_other_move(context: BrowserContext, game: ExampleProcess) -> None:
    ada = Player(context, game, "first", "Ada")
    ada.plays()
    bob = Player(context, game, "first", "Bob")
    bob.plays()
    for one in (ada, bob):
        one.lists("Ada", "Bob")
        one.sees(RED)
        one.sees(BLUE)
    for moving, sees, colour in ((ada, bob, RED), (bob, ada, BLUE)):
        before = {one: one.sees(colour) for one in (moving, sees)}
        key = "ArrowLeft" if before[sees]["x"] > 450 else "d"
        moving.page.bring_to_front()
        moving.page.keyboard.down(key)
        moving.sees_move(colour, before[moving])
        moving.page.keyboard.up(key)
        sees.page.bring_to_front()
        sees.sees_move(colour, before[sees])
    assert ada.errors == bob.errors == []


def test_a_dash_is_a_leap(context: BrowserContext, game: ExampleProcess) -> None:
    ada = Player(context, game, "leap", "Ada")
    ada.plays()
    ada.listens()
    ada.page.keyboard.press("Space")
    ada.page.wait_for_function("() => Math.hypot(window.own.vx, window.own.vy) > 5_000")


def test_an_invalid_input_is_answered_with_an_error_and_changes_nothing(
    context: BrowserContext, game: ExampleProcess
) -> None:
    ada = Player(context, game, "invalid", "Ada")
    ada.plays()
    ada.listens()
    send = "(data) => window.room.send('steer', data).then(() => 'done', ({ code }) => code)"
    for data in ({"x": 1000, "y": 0}, {"x": "5", "y": 0}, {"x": 0.5, "y": 0}, {"x": 100}, [100, 100], None):
        assert ada.page.evaluate(send, data) == "invalid"
    began = ada.page.evaluate("() => window.all.t")
    ada.page.wait_for_function("(t) => window.all.t > t + 300", arg=began)
    assert ada.page.evaluate("() => [window.own.vx, window.own.vy]") == [0, 0]
    for room in ("inputs-invalid", "elsewhere"):
        assert ada.page.evaluate(JOINS, room) in {"refused", "forbidden"}


def test_a_player_who_reloads_keeps_the_place_and_the_score(context: BrowserContext, game: ExampleProcess) -> None:
    ada = Player(context, game, "reload", "Ada")
    ada.plays()
    ada.listens()
    before = ada.gathers(3)
    ada.page.reload()
    ada.is_live()
    ada.plays()
    ada.listens()
    after = ada.page.evaluate("() => window.own")
    assert after["score"] >= before["score"]
    assert abs(after["x"] - before["x"]) + abs(after["y"] - before["y"]) < 500


def test_the_thirteenth_watches_until_a_place_is_free(context: BrowserContext, game: ExampleProcess) -> None:
    ada = Player(context, game, "full", "Ada")
    ada.plays()
    ada.page.evaluate(OTHERS, 11)
    bob = Player(context, game, "full", "Bob")
    expect(bob.page.locator("#note")).to_have_text(re.compile("All places are taken"))
    expect(bob.page.locator("#scores li")).to_have_count(12)
    expect(bob.page.locator("#scores [data-me]")).to_have_count(0)
    expect(ada.page.locator("#watching")).to_have_text("1 watches")
    ada.page.evaluate("() => window.others[0].send('watch')")
    bob.plays()
    expect(bob.page.locator("#note")).to_be_hidden()


def test_who_just_watches_has_no_beetle_and_may_play_again(context: BrowserContext, game: ExampleProcess) -> None:
    ada = Player(context, game, "watch", "Ada")
    ada.plays()
    ada.page.get_by_role("button", name="Just watch").click()
    expect(ada.page.locator("#note")).to_have_text("You watch.")
    expect(ada.page.locator("#scores li")).to_have_count(0)
    ada.page.get_by_role("button", name="Play").click()
    ada.plays()


def test_the_lobby_lists_who_plays_where(context: BrowserContext, game: ExampleProcess) -> None:
    eve = Player(context, game, "", "Eve")
    meadow = eve.page.locator("[data-arena=meadow]")
    expect(meadow).to_contain_text("Nobody plays here yet")
    ada = Player(context, game, "meadow", "Ada")
    ada.plays()
    expect(meadow).to_contain_text("Ada")
    expect(meadow).to_contain_text("1 of 12 play")
    ada.page.close()
    expect(meadow).to_contain_text("Nobody plays here yet")
    meadow.get_by_role("link").click()
    eve.is_live()
    eve.plays()


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(390, 844, "dark"), (844, 390, "light"), (1280, 800, "light"), (1920, 1080, "dark")],
)
def test_all_of_the_arena_is_seen_at_once_in_any_window(
    browser: Browser, game: ExampleProcess, width: int, height: int, scheme: Literal["light", "dark"]
) -> None:
    viewport = ViewportSize(width=width, height=height)
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    context.add_init_script(FEW_FRAMES)
    ada = Player(context, game, f"window-{width}-{scheme}", "Ada")
    ada.plays()
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    assert ada.page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "it scrolls"
    ada.sees(RED)
    expect(ada.page.get_by_role("button", name="Just watch")).to_be_in_viewport(ratio=1)
    assert ada.errors == []
    context.close()


def test_screen_readers_hear_who_leads(context: BrowserContext, game: ExampleProcess) -> None:
    context.add_init_script("const now = performance.now.bind(performance); performance.now = () => now() * 6;")
    ada = Player(context, game, "heard", "Ada")
    ada.plays()
    expect(ada.page.locator("#announce")).to_have_text(
        re.compile("Ada leads with .* number 1 of 1"), timeout=15_000
    )


def test_where_websockets_are_blocked_the_game_goes_by_streams(
    context: BrowserContext, game: ExampleProcess
) -> None:
    context.add_init_script("delete window.WebSocket")
    ada, bob = Player(context, game, "streams", "Ada"), Player(context, game, "streams", "Bob")
    for one in (ada, bob):
        one.plays()
        one.lists("Ada", "Bob")
    ada.listens()
    bob.page.bring_to_front()
    before = bob.sees(RED)
    ada.steers(-100 if before["x"] > 450 else 100)
    bob.sees_move(RED, before)


def test_pages_come_back_by_themselves_when_the_server_was_restarted(context: BrowserContext) -> None:
    with ExampleProcess() as game:
        ada, bob = Player(context, game, "again", "Ada"), Player(context, game, "again", "Bob")
        for one in (ada, bob):
            one.plays()
        game.stop()
        for one in (ada, bob):
            expect(one.page.locator("live-state")).not_to_have_attribute("data-state", "live")
        game.start()
        for one in (ada, bob):
            one.is_live(timeout=BACK_WITHIN)
            one.plays()
            one.lists("Ada", "Bob")
    assert "Traceback" not in game.log, game.log


def test_players_at_two_processes_share_a_world_and_it_outlives_the_process_that_runs_it(
    browser: Browser, context: BrowserContext
) -> None:
    with private_redis() as url:
        environment = {"ROOMS_BROKER": url, "ROOMS_SECRET": SECRET}
        with ExampleProcess(environment) as one, ExampleProcess(environment) as other:
            ada = Player(context, one, "shared", "Ada")
            ada.plays()
            bob = Player(context, other, "shared", "Bob")
            bob.plays()
            for player in (ada, bob):
                player.lists("Ada", "Bob")
            bob.listens()
            score = bob.gathers(2)["score"]
            expect(ada.page.locator("#scores li", has_text="Bob")).to_contain_text(re.compile(r"[1-9]"))
            before = ada.sees(BLUE)
            bob.steers(-100 if before["x"] > 450 else 100)
            ada.sees_move(BLUE, before)
            told = bob.page.evaluate("() => window.all.t")
            one.kill()
            bob.page.wait_for_function("(t) => window.all.t > t + 1_000 && window.own", arg=told)
            assert bob.page.evaluate("() => window.own.score") >= score
            bob.lists("Ada", "Bob")
            assert bob.errors == []
        assert "Traceback" not in other.log, other.log
