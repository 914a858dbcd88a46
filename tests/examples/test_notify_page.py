"""Notify in a real browser: alerts reach those on call from wherever they come, and no visitor; none is missed."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_process import GalleryProcess
from playwright.sync_api import Browser, BrowserContext, ViewportSize, expect
from watch import WITHIN, Watch, post, raise_alert, token_of

from brokers.scale import SOAK
from fastapi_rooms.private_engine import private_redis
from forked import Forked

DESKTOP = ViewportSize(width=1280, height=900)
SECRET = "a secret of 32 characters or more, for tests"
BACK_WITHIN = 45_000
SOON = 1.0 if SOAK else 10.0
"""Seconds: a machine that does other things may be late."""
WORKING = """() => {
    window.working = [];
    const line = document.getElementById("working");
    new MutationObserver(() => working.push(line.textContent)).observe(line, { childList: true });
}"""
"""All that is said of a backup, though nobody looks while it runs."""
NOTIFICATION = """
window.shown = [];
window.Notification = class {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(title) { shown.push(title); }
};
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleryProcess]:
    with GalleryProcess(tmp_path_factory.mktemp("elsewhere")) as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    yield context
    context.close()


def test_what_is_raised_by_http_is_soon_on_each_page_of_those_on_call(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    ada, bob = Watch(context, gallery, "Ada"), Watch(context, gallery, "Bob")
    token, took = token_of(gallery), []
    for number in range(5):
        text = f"Load <b>{number}</b>"
        begun = time.monotonic()
        post(gallery, "alerts", {"text": text, "severity": "warning"}, token=token)
        for one in (ada, bob):
            one.sees(text)
        took.append(time.monotonic() - begun)
    assert sorted(took)[2] < SOON, took
    expect(ada.row("Load <b>4</b>").locator(".from")).to_contain_text("Warning · Monitor, by HTTP")
    expect(ada.page.locator("#spoken")).to_have_text("Warning: Load <b>4</b>")
    assert ada.errors == bob.errors == []


def test_a_visitor_is_told_that_this_sign_in_sees_no_alerts_and_gets_none(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    frames: list[str] = []
    page = context.new_page()
    page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: frames.append(str(frame))))
    page.goto(f"{gallery.url}/notify/")
    page.get_by_label("Your name").fill("Eve")
    page.get_by_label("A visitor").check()
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_role("heading", name="This sign-in may not see alerts")).to_be_visible()
    ada = Watch(context, gallery, "Ada")
    raise_alert(gallery, "A secret")
    ada.sees("A secret")
    page.get_by_role("button", name="Try to raise one").click()
    expect(page.locator("#tried")).to_contain_text("403 missing scope: alerts:raise")
    expect(page.locator("#alerts li")).to_have_count(0)
    assert frames
    assert "A secret" not in "".join(frames)


def test_the_buttons_raise_one_of_each_kind(context: BrowserContext, gallery: GalleryProcess) -> None:
    ada = Watch(context, gallery, "Ada")
    for kind in ("Info", "Warning", "Critical"):
        ada.page.get_by_role("button", name=kind, exact=True).click()
        first = ada.page.locator("#alerts li").first
        expect(first.locator(".from")).to_contain_text(f"{kind} · Ada, by HTTP")
    ada.counts(3)


def test_a_background_task_that_fails_raises_an_alert(context: BrowserContext, gallery: GalleryProcess) -> None:
    ada, bob = Watch(context, gallery, "Ada"), Watch(context, gallery, "Bob")
    ada.page.evaluate(WORKING)
    ada.page.get_by_role("button", name="Back up and fail").click()
    for one in (ada, bob):
        one.sees("The backup failed: the disk is full")
        expect(one.row("The backup failed").locator(".from")).to_contain_text("Critical · background task")
    expect(ada.page.locator("#working")).to_have_text("The backup has said how it went.")
    assert ada.page.evaluate("working[0]").startswith("A backup runs.")


def test_what_one_acknowledges_all_see_acknowledged_and_after_a_reload_too(
    browser: Browser, context: BrowserContext, gallery: GalleryProcess
) -> None:
    ada, bob = Watch(context, gallery, "Ada"), Watch(context, gallery, "Bob")
    raise_alert(gallery, "Once only", "critical")
    bob.counts(1)
    ada.acknowledge("Once only")
    for one in (ada, bob):
        one.sees_acknowledged("Once only", by="Ada")
        one.counts(0)
    bob.page.reload()
    bob.sees_acknowledged("Once only", by="Ada")
    elsewhere = browser.new_context()
    Watch(elsewhere, gallery, "Cleo").sees_acknowledged("Once only", by="Ada")
    elsewhere.close()
    bob.page.get_by_role("radio", name="Open").check()
    expect(bob.row("Once only")).to_have_count(0)


def test_what_came_while_nobody_had_the_page_open_is_there_and_counted(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    ada = Watch(context, gallery, "Ada")
    raise_alert(gallery, "Seen")
    ada.row("Seen").click()
    ada.counts(0)
    ada.has_kept_that_it_read("Seen")
    ada.page.close()
    raise_alert(gallery, "Missed, the first")
    raise_alert(gallery, "Missed, the second")
    back = Watch(context, gallery, "Ada", read=False)
    expect(back.page.locator("#news")).to_have_text("2 alerts came while you were away.")
    back.counts(2)
    for text in ("Seen", "Missed, the first", "Missed, the second"):
        back.sees(text)
    back.page.get_by_role("button", name="Mark all read").click()
    back.counts(0)
    back.page.reload()
    back.sees("Missed, the first")
    back.counts(0)


def test_what_is_read_in_one_tab_is_read_in_the_other(context: BrowserContext, gallery: GalleryProcess) -> None:
    one, other = Watch(context, gallery, "Ada"), Watch(context, gallery, "Ada")
    raise_alert(gallery, "For two tabs")
    for tab in (one, other):
        tab.counts(1)
    one.row("For two tabs").click()
    for tab in (one, other):
        tab.counts(0)


def test_a_hidden_page_counts_in_its_title_and_tells_the_browser(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    context.add_init_script(NOTIFICATION)
    ada = Watch(context, gallery, "Ada")
    raise_alert(gallery, "Looked at")
    ada.counts(1)
    ada.page.get_by_role("button", name="Tell me when this page is hidden").click()
    expect(ada.page.get_by_role("button", name="Tell me when")).to_have_count(0)
    ada.hide()
    raise_alert(gallery, "Behind other tabs", "critical")
    ada.counts(2)
    assert ada.page.evaluate("shown") == ["Critical: Behind other tabs"]
    expect(ada.page.locator("#favicon")).to_have_attribute("href", re.compile("unread"))


def test_the_keyboard_moves_and_acknowledges(context: BrowserContext, gallery: GalleryProcess) -> None:
    ada = Watch(context, gallery, "Ada")
    for text in ("Older", "Newer"):
        raise_alert(gallery, f"{text}, by keyboard")
        ada.sees(f"{text}, by keyboard")
    ada.page.get_by_role("heading", name="Alerts").click()  # nothing of the list has the focus
    ada.page.keyboard.press("j")
    expect(ada.row("Newer, by keyboard")).to_be_focused()
    ada.page.keyboard.press("ArrowDown")
    expect(ada.row("Older, by keyboard")).to_be_focused()
    ada.counts(0)
    ada.page.keyboard.press("a")
    ada.sees_acknowledged("Older, by keyboard", by="Ada")
    expect(ada.row("Older, by keyboard")).to_be_focused()
    ada.page.keyboard.press("k")
    expect(ada.row("Newer, by keyboard")).to_be_focused()
    expect(ada.row("Newer, by keyboard").get_by_role("button")).to_have_count(1)


def test_of_the_open_ones_the_next_has_the_focus_when_one_is_acknowledged(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    ada = Watch(context, gallery, "Ada")
    for text in ("Third", "Second", "First"):
        raise_alert(gallery, f"{text} of the open ones")
        ada.sees(f"{text} of the open ones")
    ada.page.get_by_role("radio", name="Open").check()
    ada.page.keyboard.press("j")
    expect(ada.row("First of the open ones")).to_be_focused()
    for text, following in (("First", "Second"), ("Second", "Third")):
        ada.page.keyboard.press("a")
        expect(ada.row(f"{text} of the open ones")).to_have_count(0)
        expect(ada.row(f"{following} of the open ones")).to_be_focused()


def test_where_websockets_are_blocked_alerts_come_by_streams(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    context.add_init_script("delete window.WebSocket")
    ada, bob = Watch(context, gallery, "Ada"), Watch(context, gallery, "Bob")
    raise_alert(gallery, "By stream")
    bob.sees("By stream")
    bob.acknowledge("By stream")
    ada.sees_acknowledged("By stream", by="Bob")


def test_after_a_restart_without_a_broker_the_page_says_that_alerts_were_forgotten(
    context: BrowserContext, tmp_path: Path
) -> None:
    with GalleryProcess(tmp_path) as gallery:
        ada = Watch(context, gallery, "Ada")
        raise_alert(gallery, "Before")
        ada.sees("Before")
        gallery.restart()
        expect(ada.page.locator("#news")).to_contain_text("has forgotten", timeout=BACK_WITHIN)
        expect(ada.row("Before")).to_have_count(0)
        ada.page.get_by_role("button", name="Info", exact=True).click()
        expect(ada.page.locator("#alerts li")).to_have_count(1)


def test_with_a_broker_processes_the_command_line_and_a_restart_share_alerts(
    context: BrowserContext, tmp_path: Path
) -> None:
    with private_redis() as url:
        environment = {"ROOMS_BROKER": url, "ROOMS_SECRET": SECRET}
        with (
            GalleryProcess(tmp_path, environment=environment) as one,
            GalleryProcess(tmp_path, environment=environment) as other,
        ):
            ada, bob = Watch(context, one, "Ada"), Watch(context, other, "Bob")
            expect(ada.page.locator("#command")).to_contain_text("fastapi_rooms publish")
            publish("critical: db-1 is down", url)
            for watch in (ada, bob):
                watch.sees("db-1 is down")
                expect(watch.row("db-1 is down").locator(".from")).to_contain_text("Critical · command line")
            bob.acknowledge("db-1 is down")
            ada.sees_acknowledged("db-1 is down", by="Bob")
            one.stop()
            expect(ada.page.locator("live-state")).not_to_have_attribute("data-state", "live")
            raise_alert(other, "While the other was down", "critical")
            one.start()
            ada.is_in(timeout=BACK_WITHIN)
            ada.sees("While the other was down")
            expect(ada.page.locator("#news")).to_have_text("1 alert came while you were away.")
            ada.counts(1)
            ada.sees_acknowledged("db-1 is down", by="Bob")


def publish(text: str, url: str) -> None:
    command = ["fastapi_rooms", "publish", "alerts", text, "--prefix", "notify", "--broker", url]
    with Forked(command) as process:
        assert process.wait(WITHIN) == 0
