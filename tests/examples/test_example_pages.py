"""The examples in a real browser: two pages at once, a restart of the server, a phone, dark and light."""

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_process import GalleryProcess
from guest import Guest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    ViewportSize,
    expect,
)
from stalled_client import StalledClient, sign_in

from brokers.engines import running
from brokers.redis_engine import RedisEngine
from fastapi_rooms.private_engine import private_redis

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1440, height=900)
BACK_WITHIN = 20_000
GRACE = {"ROOMS_GRACE": "1"}
SECRET = "a secret of 32 characters or more, for tests"
ROOMS = (f"room-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleryProcess]:
    with GalleryProcess(tmp_path_factory.mktemp("elsewhere"), environment=GRACE) as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.fixture
def room() -> str:
    """Another one for each test, since rooms remember."""
    return next(ROOMS)


class Pages:
    """Opens pages of the gallery, and keeps what they complain about."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.complaints: list[str] = []
        self.context = context
        self._base = base

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self._base + path)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open_live(self, path: str) -> Page:
        page = self.open(path)
        is_live(page)
        return page

    def take_a_pen(self, canvas: str, name: str) -> Page:
        return self._come_in(f"/draw/{canvas}", name)

    def enter(self, room: str, name: str) -> Page:
        return self._come_in(f"/chat/{room}", name)

    def _come_in(self, path: str, name: str) -> Page:
        page = self.open(path)
        page.get_by_label("Your name").fill(name)
        page.get_by_label("Your name").press("Enter")
        is_live(page)
        return page


@pytest.fixture
def pages(browser: Browser, gallery: GalleryProcess) -> Iterator[Pages]:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    opened = Pages(context, gallery.url)
    yield opened
    context.close()
    assert opened.complaints == []


def is_live(page: Page, *, timeout: float = 10_000) -> None:
    expect(page.locator("live-state")).to_have_attribute("data-state", "live", timeout=timeout)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")


def has_heard(page: Page, text: str) -> None:
    expect(page.locator("#log .text", has_text=text)).to_have_count(1)


def people(page: Page, *names: str, timeout: float = 5_000) -> None:
    expect(page.locator("#people li")).to_contain_text(list(names), timeout=timeout)
    expect(page.locator("#people li")).to_have_count(len(names), timeout=timeout)


def notice(page: Page, text: str) -> None:
    found = page.locator("#log .notice", has_text=text)
    expect(found).to_have_count(1)
    expect(found.locator("time")).to_have_text(re.compile(r"\d\d:\d\d"))


def log(page: Page, *texts: str) -> None:
    """All that was said, in order."""
    expect(page.locator("#log .text")).to_have_text(list(texts))


def test_what_is_said_on_one_page_appears_on_the_other_as_text_and_nothing_else(pages: Pages, room: str) -> None:
    ada, grace = pages.enter(room, "Ada"), pages.enter(room, "Grace")
    say(ada, "<b onclick='alert(1)'>hello</b>")
    has_heard(grace, "<b onclick='alert(1)'>hello</b>")
    expect(grace.locator("#log .who").last).to_contain_text("Ada")
    expect(grace.locator("#log b")).to_have_count(0)
    say(grace, "hello back")
    has_heard(ada, "hello back")


def test_the_list_of_people_and_the_notices_follow_who_comes_and_goes(pages: Pages, room: str) -> None:
    ada = pages.enter(room, "Ada")
    people(ada, "Ada")
    expect(ada.locator("#people .you")).to_have_count(1)
    grace = pages.enter(room, "Grace")
    people(ada, "Ada", "Grace")
    people(grace, "Ada", "Grace")
    expect(ada.locator("#count")).to_have_text("2")
    notice(ada, "Grace came in")
    grace.close()
    people(ada, "Ada")
    expect(ada.locator("#count")).to_have_text("1")
    notice(ada, "Grace left")


def test_two_tabs_of_one_user_are_one_person_until_both_are_gone(pages: Pages, room: str) -> None:
    grace = pages.enter(room, "Grace")
    first, second = pages.enter(room, "Ada"), pages.enter(room, "Ada")
    people(second, "Ada", "Grace")
    people(grace, "Ada", "Grace")
    expect(grace.locator("#count")).to_have_text("2")
    second.close()
    say(first, "one tab less")
    has_heard(grace, "one tab less")
    people(grace, "Ada", "Grace")
    expect(grace.locator("#log .notice", has_text="Ada left")).to_have_count(0)
    first.close()
    people(grace, "Grace")
    notice(grace, "Ada left")


def test_others_see_who_is_typing_until_the_message_is_there(pages: Pages, room: str) -> None:
    ada, grace = pages.enter(room, "Ada"), pages.enter(room, "Grace")
    ada.get_by_label("Message", exact=True).press_sequentially("hm")
    expect(grace.locator("#typing")).to_have_text("Ada is typing…")
    expect(ada.locator("#typing")).to_have_text("")
    say(ada, "hm.")
    expect(grace.locator("#typing")).to_have_text("", timeout=2_000)  # before the notice would go by itself


def test_who_comes_in_sees_what_was_said_before_and_then_that_they_are_in(pages: Pages, room: str) -> None:
    ada = pages.enter(room, "Ada")
    for text in ("one", "two", "three"):
        say(ada, text)
    log(ada, "one", "two", "three")
    grace = pages.enter(room, "Grace")
    log(grace, "one", "two", "three")
    expect(grace.locator("#log > li").last).to_contain_text(f"You are in the {room}")
    grace.reload()
    is_live(grace)
    log(grace, "one", "two", "three")


def test_a_page_that_was_offline_gets_what_was_said_meanwhile_and_says_so(
    pages: Pages, browser: Browser, gallery: GalleryProcess, room: str
) -> None:
    grace = pages.enter(room, "Grace")
    context = browser.new_context(reduced_motion="reduce")
    ada = Pages(context, gallery.url).enter(room, "Ada")  # a browser logs refused connections as errors
    say(grace, "before")
    has_heard(ada, "before")
    context.set_offline(True)
    expect(ada.locator("live-state")).to_have_attribute("data-state", "offline")
    for text in ("meanwhile", "and again"):
        say(grace, text)
    log(grace, "before", "meanwhile", "and again")
    context.set_offline(False)
    is_live(ada, timeout=BACK_WITHIN)
    notice(ada, "Connected again, nothing is missing")
    say(ada, "after")
    for page in (ada, grace):
        log(page, "before", "meanwhile", "and again", "after")
    people(ada, "Ada", "Grace")
    context.close()


def test_with_a_broker_a_page_misses_nothing_of_what_is_said_while_its_server_is_away(
    browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    with private_redis() as url:
        environment = GRACE | {"ROOMS_BROKER": url, "ROOMS_SECRET": SECRET}
        with (
            GalleryProcess(tmp_path, environment=environment) as one,
            GalleryProcess(tmp_path, environment=environment) as other,
        ):
            ada = Pages(context, one.url).enter("lobby", "Ada")
            grace = Pages(context, other.url).enter("lobby", "Grace")
            people(ada, "Ada", "Grace")
            say(ada, "before")
            has_heard(grace, "before")
            one.stop()
            expect(ada.locator("live-state")).not_to_have_attribute("data-state", "live")
            people(grace, "Grace")
            for text in ("meanwhile", "and again"):
                say(grace, text)
                has_heard(grace, text)
            one.start()
            is_live(ada, timeout=BACK_WITHIN)
            notice(ada, "Connected again, nothing is missing")
            say(grace, "after")
            for page in (ada, grace):
                log(page, "before", "meanwhile", "and again", "after")
                people(page, "Ada", "Grace")
        assert "Traceback" not in one.log + other.log, one.log + other.log
    context.close()


def test_what_cannot_be_said_while_the_broker_is_away_is_written_still_and_can_be_said_when_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    with (
        running(RedisEngine()) as engine,
        GalleryProcess(tmp_path, environment={"ROOMS_BROKER": engine.url}) as gallery,
    ):
        pages = Pages(context, gallery.url)
        ada, grace = pages.enter("lobby", "Ada"), pages.enter("lobby", "Grace")
        say(ada, "before")
        has_heard(grace, "before")
        engine.kill()
        say(ada, "kept")
        expect(ada.locator("#problem")).to_contain_text("Not sent")
        expect(ada.get_by_label("Message", exact=True)).to_have_value("kept")
        engine.start()
        for page in (ada, grace):  # a Redis that wrote nothing down has forgotten it all
            expect(page.locator("#log .notice", has_text="Some messages may be missing")).to_have_count(
                1, timeout=BACK_WITHIN
            )
        people(ada, "Ada", "Grace")
        ada.get_by_label("Message", exact=True).press("Enter")
        for page in (ada, grace):
            log(page, "before", "kept")
    context.close()


def test_two_rooms_do_not_mix(pages: Pages) -> None:
    lobby, kitchen = pages.enter("lobby", "Ada"), pages.enter("kitchen", "Grace")
    people(lobby, "Ada")
    people(kitchen, "Grace")
    say(kitchen, "only for the kitchen")
    has_heard(kitchen, "only for the kitchen")
    say(lobby, "only for the lobby")
    has_heard(lobby, "only for the lobby")
    expect(lobby.get_by_text("only for the kitchen")).to_have_count(0)


def test_going_to_another_room_needs_no_second_sign_in_and_signing_out_ends_it(pages: Pages) -> None:
    page = pages.enter("lobby", "Ada")
    page.get_by_role("link", name="workshop").click()
    expect(page.get_by_role("heading", name="workshop")).to_be_visible()
    is_live(page)
    people(page, "Ada")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your name")).to_be_focused()


def test_a_stalled_client_among_them_is_noticed_by_nobody_and_closed(
    pages: Pages, gallery: GalleryProcess, room: str
) -> None:
    ada, grace = pages.enter(room, "Ada"), pages.enter(room, "Grace")
    url = f"ws://127.0.0.1:{gallery.port}/chat/{room}"
    with (
        StalledClient(gallery.port, room=room, name="Stalled"),
        Guest(url, token=sign_in(gallery.port, "Alan")) as alan,
    ):
        people(ada, "Ada", "Alan", "Grace", "Stalled")
        longest = flood(url, gallery.port, alan)
        say(ada, "still here, Grace?")
        has_heard(grace, "still here, Grace?")
        people(ada, "Ada", "Alan", "Grace", timeout=BACK_WITHIN)
    assert longest < 4.0, f"a message took {longest:.2f} s"  # to wait for the stalled one takes 5: send_timeout


def flood(url: str, port: int, guest: Guest) -> float:
    """More than any socket buffer takes, while a guest talks in the same room; its longest wait, in seconds."""
    longest, block = 0.0, "\N{HORIZONTAL ELLIPSIS}" * 4000
    for number in range(14):
        with Guest(url, token=sign_in(port, f"Flood {number}")) as sender:
            for _ in range(35):
                sender.say(block)
            sender.say(f"that was {number}")
            began = time.monotonic()
            guest.say(f"still here, {number}?")
            guest.heard(type="say", text=f"still here, {number}?")
            longest = max(longest, time.monotonic() - began)
            sender.heard(type="say", text=f"that was {number}")
    return longest


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


def test_who_looks_at_the_dashboard_sees_the_last_minute_at_once(pages: Pages) -> None:
    first = pages.open_live("/dashboard/")
    expect(first.locator("#cpu-chart .line")).to_have_attribute("d", re.compile(r"(L.+){3}"))
    second = pages.open("/dashboard/")
    second.wait_for_function(f"least => {DRAWN} >= least", arg=first.evaluate(DRAWN))
    assert abs(first.evaluate(DRAWN) - second.evaluate(DRAWN)) <= 1  # or it would stay three figures behind
    expect(second.locator("#viewers")).to_have_text("2 viewers are")


DRAWN = "(document.querySelector('#cpu-chart .line')?.getAttribute('d') ?? '').split('L').length"


def test_the_dashboard_moves_and_its_producer_stops_after_the_last_viewer(pages: Pages) -> None:
    state = pages.context.request
    first, second = pages.open_live("/dashboard/"), pages.open_live("/dashboard/")
    expect(first.locator("#cpu")).to_have_text(re.compile(r"^[\d.]+$"))
    expect(first.locator("#viewers")).to_have_text("2 viewers are")
    before = first.locator("#clock").inner_text()
    expect(first.locator("#clock")).not_to_have_text(before)
    for chart in ("cpu", "memory", "network", "answer"):
        expect(first.locator(f"#{chart}-chart .line").first).to_have_attribute("d", re.compile(r"^M.+L"))
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
    say(ada, "before")
    has_heard(grace, "before")
    open_pages = (echo, dashboard, ada, grace)
    gallery.stop()
    for page in open_pages:
        expect(page.locator("live-state")).not_to_have_attribute("data-state", "live")
    expect(ada.get_by_role("button", name="Send")).to_be_disabled()
    gallery.start()
    for page in open_pages:
        is_live(page, timeout=BACK_WITHIN)
    people(ada, "Ada", "Grace")
    notice(ada, "Some messages may be missing here")
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
    ):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
        page.get_by_role("link", name="fastapi-rooms").click()
        page.get_by_role("link", name=f"Source of {name.lower()}").click()
        expect(page.locator(".line").first).to_contain_text(f'"""{name}:')
        page.get_by_role("link", name="fastapi-rooms").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_pages_fit_their_window_and_are_legible(
    browser: Browser, gallery: GalleryProcess, tmp_path: Path, room: str, scheme: str, viewport: ViewportSize
) -> None:
    context = browser.new_context(viewport=viewport, color_scheme="dark" if scheme == "dark" else "light")
    pages = Pages(context, gallery.url)
    ada = pages.enter(room, "Ada")
    say(ada, "A word of a length that nobody would want to wrap: " + "long" * 60)
    shown = {"chat": ada, "echo": pages.open_live("/echo/"), "dashboard": pages.open_live("/dashboard/")}
    shown |= {
        "gallery": pages.open("/"),
        "source": pages.open("/source/chat.py"),
        "door": pages.open("/chat/lobby"),
        "pen": pages.open("/draw/sketchbook"),
        "draw": pages.take_a_pen("sketchbook", "Ada"),
    }
    for name, page in shown.items():
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
        assert page.evaluate(TOO_FAINT) == [], f"{name}: contrast below 4.5 (WCAG 2.2, 1.4.3)"
        assert page.screenshot(path=tmp_path / f"{name}.png")
    context.close()
    assert pages.complaints == []


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
        if (!text || element.closest(":disabled, [hidden]") || !element.checkVisibility()) continue;
        const pair = [parse(getComputedStyle(element).color), ground(element)].map(light);
        const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (contrast < 4.5) faint.push(`${text.slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
    return faint;
}"""
