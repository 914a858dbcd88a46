"""The other examples in a real browser: a restart of the server, a phone, dark and light."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from gallery_pages import DESKTOP, Pages, gallery, has_heard, is_live, log, notice, pages, people, room, say
from gallery_process import GalleryProcess
from playwright.sync_api import Browser, Page, ViewportSize, expect

from chromium import FEW_FRAMES, SHOWN_WITHIN
from js.javascript import axe

PHONE = ViewportSize(width=390, height=844)
WINDOWS: tuple[tuple[ViewportSize, tuple[Literal["dark", "light"], ...]], ...] = (
    (PHONE, ("light", "dark")),
    (DESKTOP, ("dark", "light")),
)
"""In which every page is looked at, and in which colours: as one turns a phone, without loading the page anew."""
BACK_WITHIN = 45_000


def test_the_echo_page_times_text_json_and_bytes(pages: Pages) -> None:
    page = pages.open_live("/echo/")
    for kind in ("Text", "JSON", "Binary"):
        page.locator(".kinds").get_by_text(kind).click()
        page.get_by_role("button", name="Send").click()
        latest = page.locator("#log li").first
        expect(latest).to_contain_text(kind.lower())
        expect(latest.locator(".time")).to_have_text(re.compile(r"^same, [\d.]+ ms$"))
    expect(page.locator("#latest")).to_have_text(re.compile(r"^[\d.]+$"))
    expect(page.locator("#times .line")).to_have_attribute("d", re.compile(r"L"))


def test_the_echo_page_says_what_is_not_json_instead_of_sending_it(pages: Pages) -> None:
    page = pages.open_live("/echo/")
    page.locator(".kinds").get_by_text("JSON").click()
    page.locator("#json").fill("{oh no")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("That is not JSON")
    expect(page.locator("#log li")).to_have_count(0)


def test_the_echo_page_stalls_a_client_on_purpose_and_shows_how_it_is_closed(pages: Pages) -> None:
    page = pages.open_live("/echo/")
    page.get_by_role("button", name="Stall a client").click()
    expect(page.locator("#stall-queued")).to_have_text(re.compile(r"^\d\d? · [\d,]{3,} kB$"))
    expect(page.locator("#stall-outcome")).to_contain_text("with 4008: slow consumer", timeout=BACK_WITHIN)
    expect(page.locator("#stall-outcome")).to_contain_text("Your slowest round trip meanwhile took")
    expect(page.get_by_role("button", name="Stall a client")).to_be_enabled()
    is_live(page)


def test_who_looks_at_the_dashboard_sees_the_last_minute_at_once(pages: Pages) -> None:
    first = pages.open_live("/dashboard/")
    expect(first.locator("#cpu-chart .line").last).to_have_attribute("d", re.compile(r"(L.+){3}"))
    second = pages.open("/dashboard/")
    draws_as_much(second, first)
    expect(second.locator("#viewers")).to_have_text("2 viewers are")


def draws_as_much(late: Page, early: Page) -> None:
    """Looked at in this order: who did not get what was before stays behind, however often one looks."""
    deadline = time.monotonic() + SHOWN_WITHIN / 1000
    while late.evaluate(DRAWN) < early.evaluate(DRAWN):
        assert time.monotonic() < deadline, "it stays behind"
        late.wait_for_timeout(50)  # a page that draws tells nobody


def test_the_dashboard_lists_the_busiest_rooms_and_the_slowest_clients_of_the_gallery(
    pages: Pages, gallery: GalleryProcess, room: str
) -> None:
    page = pages.open_live("/dashboard/")
    ada = pages.enter(room, "Ada")
    for text in ("one", "two", "three"):
        say(ada, text)
    expect(page.locator("#rooms tr", has_text=room)).to_contain_text("chat")
    expect(page.locator("#rooms tr", has_text="viewers")).to_contain_text("dashboard")
    expect(page.locator("#no-clients")).to_be_visible()
    echo = pages.open_live("/echo/")
    echo.get_by_role("button", name="Stall a client").click()
    page.wait_for_function(LISTS_ECHO, polling=50)
    echo.close()


LISTS_ECHO = """() => {
    const listed = [...document.querySelectorAll("#clients tbody tr")].map((row) => row.cells[1].textContent);
    return listed.includes("echo") && document.getElementById("no-clients").hidden;
}"""
"""For as long as the client stalls: five seconds, of which it is listed in the last ones."""


def test_the_dashboard_pauses_and_catches_up(pages: Pages) -> None:
    page = pages.open_live("/dashboard/")
    expect(page.locator("#cpu")).to_have_text(re.compile(r"^[\d.]+$"))
    page.get_by_role("button", name="Pause").click()
    shown, other = page.locator("#clock").inner_text(), pages.open_live("/dashboard/")
    expect(other.locator("#clock")).not_to_have_text(shown)
    expect(page.locator("#clock")).to_have_text(shown)
    page.get_by_role("button", name="Catch up").click()
    expect(page.locator("#clock")).not_to_have_text(shown)


DRAWN = """[...document.querySelectorAll("#cpu-chart .line")]
    .map((line) => line.getAttribute("d").split("L").length)
    .reduce((sum, points) => sum + points, 0)"""
"""Points of the line, which has a gap for each second that was left out."""


def test_the_dashboard_moves_and_its_producer_stops_after_the_last_viewer(pages: Pages) -> None:
    state = pages.context.request
    first, second = pages.open_live("/dashboard/"), pages.open_live("/dashboard/")
    expect(first.locator("#cpu")).to_have_text(re.compile(r"^[\d.]+$"))
    expect(first.locator("#viewers")).to_have_text("2 viewers are")
    before = first.locator("#clock").inner_text()
    expect(first.locator("#clock")).not_to_have_text(before)
    for chart in ("cpu", "memory", "network", "answer"):
        expect(first.locator(f"#{chart}-chart .line-0").last).to_have_attribute("d", re.compile(r"^M.+L"))
    assert first.evaluate(PAINTED), "the canvas of the cores is blank"
    assert state.get(first.url + "state").json() == {"viewers": 2, "producing": True}
    url = first.url
    first.close()
    expect(second.locator("#viewers")).to_have_text("One viewer is")
    second.close()
    idle = pages.open("/")
    idle.wait_for_function(IS_IDLE, arg=url + "state")


IS_IDLE = """async (url) => {
    const { viewers, producing } = await (await fetch(url)).json();
    return viewers === 0 && !producing;
}"""
PAINTED = """() => {
    const canvas = document.querySelector("heat-rows canvas");
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
}"""


def test_every_page_comes_back_by_itself_when_the_server_was_restarted(
    browser: Browser, gallery: GalleryProcess, room: str
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    pages = Pages(context, gallery.url)  # a browser logs refused connections as errors: these are not counted
    echo, dashboard = pages.open_live("/echo/"), pages.open_live("/dashboard/")
    ada, grace = pages.enter(room, "Ada"), pages.enter(room, "Grace")
    on_hub = pages.enter(room, "Ada", chat="chat-hub")
    say(ada, "before")
    has_heard(grace, "before")
    open_pages = (echo, dashboard, ada, grace, on_hub)
    gallery.stop()
    for page in open_pages:
        expect(page.locator("live-state")).not_to_have_attribute("data-state", "live")
    expect(ada.get_by_role("button", name="Send")).to_be_disabled()
    gallery.start()
    for page in open_pages:
        is_live(page, timeout=BACK_WITHIN)
    people(ada, "Ada", "Grace")
    for page in (ada, on_hub):
        notice(page, "Some messages may be missing here")
    say(ada, "we are back")
    log(grace, "before", "we are back")
    echo.get_by_role("button", name="Send").click()
    expect(echo.locator("#log li .time").first).to_have_text(re.compile("^same"))
    before = dashboard.locator("#clock").inner_text()
    expect(dashboard.locator("#clock")).not_to_have_text(before)
    context.close()


def test_a_page_that_may_not_come_back_says_why_and_offers_a_button(pages: Pages) -> None:
    page = pages.open_live("/echo/")
    page.evaluate("() => { document.getElementById('text').value = 'x'.repeat(70000) }")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("live-state")).to_have_attribute("data-state", "ended")
    expect(page.locator("live-state")).to_contain_text("Closed")
    page.get_by_role("button", name="Connect again").click()
    is_live(page)


def test_the_gallery_leads_to_each_example_and_to_its_source(pages: Pages) -> None:
    page = pages.open("/")
    for name, heading in (
        ("Echo", "There and back"),
        ("Chat", "Who is at the door?"),
        ("Dashboard", "This machine"),
        ("Draw", "Take a pen"),
        ("Notify", "Who is on call?"),
        ("Game", "Be a beetle"),
    ):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
        page.get_by_role("link", name="fastapi-rooms").click()
        page.get_by_role("link", name=f"{name.lower()}.py", exact=True).click()
        expect(page.locator(".line").first).to_contain_text(f'"""{name}:')
        page.get_by_role("link", name="fastapi-rooms").click()


def test_the_cards_of_the_gallery_are_alive_and_show_their_code(pages: Pages, room: str) -> None:
    gallery = pages.open_live("/")
    card = gallery.locator('[data-example="chat"]')
    expect(card.locator(".now")).to_have_text(re.compile(r"^0 connected"))
    ada = pages.enter(room, "Ada")
    expect(card.locator(".now")).to_have_text(re.compile(r"^1 connected · [\d.]+/s$"))
    expect(card.locator(".line").first).to_have_attribute("d", re.compile("^M"))
    expect(gallery.locator("#broker")).to_have_text("One process, no broker")
    card.get_by_text("Read the code").click()
    expect(card.locator("pre")).to_contain_text("class Chat(RoomManager")
    card.get_by_role("link", name="on a hub", exact=True).click()
    expect(gallery.get_by_role("heading", level=1, name="Who is at the door?")).to_be_visible()
    ada.close()


class OneTab(Pages):
    """Opens all in one tab, which is one renderer, narrow at first, and for somebody who has not signed in."""

    tab: Page | None = None

    def open(self, path: str) -> Page:
        if self.tab is None:
            self.tab = super().open(path)
            return self.tab
        self.tab.evaluate("sessionStorage.clear()")
        self.tab.set_viewport_size(PHONE)
        self.tab.goto(self.base + path)
        return self.tab


def test_pages_fit_their_window_and_are_legible(browser: Browser, gallery: GalleryProcess, room: str) -> None:
    context = browser.new_context(viewport=PHONE, reduced_motion="reduce")  # a change of colours takes no time
    context.add_init_script(FEW_FRAMES)
    pages = OneTab(context, gallery.url)
    kept = os.environ.get("ROOMS_SCREENSHOTS")
    for view, opened in views(pages, room).items():
        page = opened()
        page.evaluate(axe())
        for viewport, schemes in WINDOWS:
            page.set_viewport_size(viewport)
            name = f"{view}-{viewport['width']}"
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(TOO_FAINT) == [], f"{name}: contrast below 4.5 (WCAG 2.2, 1.4.3)"
                if kept:
                    page.screenshot(path=Path(kept) / f"{name}-{scheme}.png")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
            assert violations(page) == [], f"{name}: axe-core"
    context.close()
    assert pages.complaints == []


def views(pages: Pages, room: str) -> dict[str, Callable[[], Page]]:
    """Every page there is, and how to open it; each with something on it."""

    def chat(kind: str) -> Page:
        page = pages.enter(room, "Ada", chat=kind)
        for text in ("Good morning.", "A word of a length that nobody would want to wrap: " + "long" * 60):
            say(page, text)
        expect(page.locator("#log .text")).to_have_count(2)
        return page

    def alerts() -> Page:
        page = pages.come_in("/notify/", "Ada")
        for kind in ("Info", "Warning", "Critical"):
            page.get_by_role("button", name=kind, exact=True).click()
        page.get_by_role("button", name=re.compile("^Acknowledge")).last.click()
        expect(page.get_by_text(re.compile("Acknowledged by Ada")).first).to_be_visible()
        return page

    def drawing() -> Page:
        page = pages.come_in("/draw/sketchbook", "Ada")
        box = page.locator("#moving").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.6)
        page.mouse.down()
        for share, height in ((0.35, 0.25), (0.5, 0.7), (0.65, 0.3), (0.8, 0.55)):
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * height, steps=12)
        page.mouse.up()
        return page

    return {
        "gallery": lambda: pages.open_live("/"),
        "source": lambda: pages.open("/source/chat.py"),
        "guide": lambda: pages.open("/guide/history.md"),
        "echo": lambda: pages.open_live("/echo/"),
        "chat-door": lambda: pages.open("/chat/lobby"),
        "chat": lambda: chat("chat"),
        "chat-hub": lambda: chat("chat-hub"),
        "dashboard": lambda: pages.open_live("/dashboard/"),
        "draw-door": lambda: pages.open("/draw/sketchbook"),
        "draw": drawing,
        "notify-door": lambda: pages.open("/notify/"),
        "notify": alerts,
        "game-door": lambda: pages.open("/game/meadow"),
        "game-arenas": lambda: pages.come_in("/game/", "Ada"),
        "game": lambda: pages.come_in("/game/meadow", "Ada"),
    }


def violations(page: Page) -> list[str]:
    """What axe-core, which the page has, finds: the rule, and the elements that break it."""
    found = page.evaluate("async () => (await axe.run({ resultTypes: ['violations'] })).violations")
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found]


TOO_FAINT = """() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    const weights = [0.2126, 0.7152, 0.0722];
    const light = (colour) => weights.reduce((sum, weight, part) => sum + weight * linear(colour[part] / 255), 0);
    const ground = (element) => {
        for (; element; element = element.parentElement) {
            const colour = parse(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const faint = [];
    for (const element of document.body.querySelectorAll("*")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        const text = texts.map((node) => node.data.trim()).join("");
        if (!text || element.closest(":disabled, [hidden]")) continue;
        if (!element.checkVisibility({ visibilityProperty: true })) continue;
        const pair = [parse(getComputedStyle(element).color), ground(element)].map(light);
        const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (contrast < 4.5) faint.push(`${text.slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
    return faint;
}"""
