"""What each example is for, by a hard way: no WebSockets, a slow line and machine, another process."""

import re

from example_process import ExampleProcess
from gallery_pages import Pages, gallery, has_heard, log, on_a_slow_line, pages, people, room, say
from gallery_process import Below, GalleryProcess
from player import RED, Player
from playwright.sync_api import Browser, expect
from watch import Watch, raise_alert

from fastapi_rooms.private_engine import private_redis

IN_THE_END = 45_000
FASTEST = """(direction) => {
    window.forward = 0;
    window.room.on("state", () => {
        window.forward = Math.max(window.forward, direction * (window.own?.vy ?? 0));
    });
}"""
"""A wall ends what is seen but now and then."""
SECRET = "a secret of 32 characters or more, for tests"


def test_where_websockets_are_ended_on_their_way_the_chat_on_a_hub_goes_by_streams(
    pages: Pages, room: str
) -> None:
    pages.context.route_web_socket(re.compile("/websocket"), lambda way: way.close())
    ada, grace = pages.enter(room, "Ada", chat="chat-hub"), pages.enter(room, "Grace", chat="chat-hub")
    for page in (ada, grace):
        people(page, "Ada", "Grace")
    say(ada, "by stream")
    has_heard(grace, "by stream")
    say(grace, "and back")
    log(ada, "by stream", "and back")


def test_where_websockets_do_not_pass_a_page_of_a_manager_says_that_it_is_not_connected(
    browser: Browser, gallery: GalleryProcess
) -> None:
    context = browser.new_context()
    context.route_web_socket(re.compile("/(echo|dashboard)/ws"), lambda way: way.close())
    for example in ("echo", "dashboard"):
        page = context.new_page()
        page.goto(f"{gallery.url}/{example}/")
        expect(page.locator("live-state")).to_have_attribute("data-state", re.compile("^(?!live)."))
        expect(page.locator("live-state")).to_have_text(re.compile("."))
    context.close()


def test_a_chat_on_a_slow_line_hears_everything_in_order(pages: Pages, room: str) -> None:
    ada, grace = pages.enter(room, "Ada"), pages.enter(room, "Grace")
    on_a_slow_line(grace)
    said = [f"number {number}" for number in range(20)]
    for text in said:
        say(ada, text)
    has_heard(grace, said[-1], timeout=IN_THE_END)
    log(grace, *said)
    say(grace, "all there")
    has_heard(ada, "all there", timeout=IN_THE_END)


def test_alerts_on_a_slow_line_are_all_there_and_acknowledged_from_there(
    pages: Pages, gallery: GalleryProcess
) -> None:
    ada, bob = Watch(pages.context, gallery, "Ada"), Watch(pages.context, gallery, "Bob")
    on_a_slow_line(bob.page)
    raised = [f"Slow {number}" for number in range(8)]
    for text in raised:
        raise_alert(gallery, text)
    for text in raised:
        expect(bob.row(text)).to_be_visible(timeout=IN_THE_END)
    bob.acknowledge(raised[0])
    expect(ada.row(raised[0])).to_contain_text("Acknowledged by Bob", timeout=IN_THE_END)


def test_a_player_on_a_slow_line_sees_the_newest_state_and_steers(pages: Pages, gallery: GalleryProcess) -> None:
    ada = Player(pages.context, Below(gallery, "game"), "slow", "Ada")
    ada.plays()
    bob = Player(pages.context, Below(gallery, "game"), "slow", "Bob")
    bob.plays()
    on_a_slow_line(bob.page)
    ada.listens()
    bob.page.bring_to_front()
    before = bob.sees(RED)
    ada.steers(-100 if before["x"] > 450 else 100)
    bob.sees_move(RED, before)
    bob.listens()
    down = bob.page.evaluate("() => window.own.y < 5_000")  # not to where a wall is near
    bob.page.evaluate(FASTEST, 1 if down else -1)
    bob.page.keyboard.down("ArrowDown" if down else "ArrowUp")
    bob.page.wait_for_function("() => window.forward > 100", polling=100)
    assert ada.errors == bob.errors == []


def test_the_dashboard_and_echo_go_on_on_a_slow_line(pages: Pages) -> None:
    dashboard = pages.open_live("/dashboard/")
    on_a_slow_line(dashboard)
    line = dashboard.locator("#cpu-chart .line").last
    drawn = line.get_attribute("d") or ""
    expect(line).not_to_have_attribute("d", drawn, timeout=IN_THE_END)
    echo = pages.open_live("/echo/")
    on_a_slow_line(echo)
    echo.get_by_role("button", name="Send").click()
    expect(echo.locator("#log li").first.locator(".time")).to_have_text(
        re.compile(r"^same, [\d.]+ ms$"), timeout=IN_THE_END
    )


def test_pages_at_two_processes_watch_the_same_dashboard(pages: Pages) -> None:
    with private_redis() as url:
        environment = {"ROOMS_BROKER": url, "ROOMS_SECRET": SECRET}
        with (
            ExampleProcess(environment, app="examples.dashboard:app") as one,
            ExampleProcess(environment, app="examples.dashboard:app") as other,
        ):
            first, second = pages.context.new_page(), pages.context.new_page()
            for page, process in ((first, one), (second, other)):
                page.goto(f"{process.url}/")
            for page in (first, second):
                expect(page.locator("#viewers")).to_have_text("2 viewers are", timeout=IN_THE_END)
                expect(page.locator("#cpu-chart .line").last).to_have_attribute(
                    "d", re.compile("L"), timeout=IN_THE_END
                )
            first.close()
            expect(second.locator("#viewers")).to_have_text("One viewer is", timeout=IN_THE_END)
