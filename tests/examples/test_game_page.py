"""The game in a real browser: who plays, who watches, who comes back, and the same world on every page."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from example_process import ExampleProcess
from gallery_pages import wait_no_longer
from player import BLUE, RED, Player
from playwright.sync_api import Browser, BrowserContext, ViewportSize, expect

from chromium import FEW_FRAMES
from fastapi_rooms.private_engine import private_redis

DESKTOP = ViewportSize(width=1280, height=680)  # no higher than the field is, which the processor draws
BACK_WITHIN = 45_000
SECRET = "a secret of 32 characters or more, for tests"

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
    ada.page.wait_for_function("() => window.fastest > 5_000")


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
    expect(ada.page.locator("#announce")).to_have_text(re.compile("Ada leads with .* number 1 of 1"))


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
    context.clock.install()
    with ExampleProcess() as game:
        ada, bob = Player(context, game, "again", "Ada"), Player(context, game, "again", "Bob")
        for one in (ada, bob):
            one.plays()
        game.stop()
        for one in (ada, bob):
            expect(one.page.locator("live-state")).not_to_have_attribute("data-state", "live")
        game.start()
        wait_no_longer(context)
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
            later = "(t) => window.all.t > t + 1_000 && window.own"
            own = bob.page.wait_for_function(later, arg=told, timeout=BACK_WITHIN)
            assert own.json_value()["score"] >= score
            bob.lists("Ada", "Bob")
            assert bob.errors == []
        assert "Traceback" not in other.log, other.log
