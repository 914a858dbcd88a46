"""Draw in a real browser: what one page draws is pixels in the other, whoever comes late, slowly or by streams."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gallery_pages import gallery, never_after, on_a_slow_line, wait_no_longer
from gallery_process import GalleryProcess
from playwright.sync_api import Browser, BrowserContext, ViewportSize, expect
from studio import MOVING, Studio

from chromium import FEW_FRAMES
from fastapi_rooms.private_engine import private_redis

SMALL = ViewportSize(width=700, height=520)  # each picture of a page is computed by the processor
BACK_WITHIN = 45_000
IDLE_AFTER = 4_000
"""ms; then a page hides the pointer of who does not move it."""
SECRET = "a secret of 32 characters or more, for tests"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=SMALL, reduced_motion="reduce")
    context.add_init_script(FEW_FRAMES)
    yield context
    context.close()


def test_a_stroke_is_there_in_the_other_page_while_it_is_made_and_when_it_is_done(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    never_after(context, IDLE_AFTER)
    ada, bob = Studio(context, gallery, "first", "Ada"), Studio(context, gallery, "first", "Bob")
    bob.is_with(2)  # what is being drawn is not kept
    ada.draw((0.2, 0.5), (0.5, 0.5), lift=False)
    bob.shows(0.35, 0.5, how=MOVING)
    expect(bob.page.locator(".pointer")).to_have_text("Ada")
    ada.page.mouse.up()
    bob.shows(0.35, 0.5)
    ada.shows(0.35, 0.5)
    assert ada.errors == bob.errors == []


def test_who_comes_late_gets_the_picture_and_undo_takes_back_only_ones_own(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    ada = Studio(context, gallery, "second", "Ada")
    ada.draw((0.1, 0.2), (0.9, 0.2))
    ada.shows(0.5, 0.2)
    bob = Studio(context, gallery, "second", "Bob")
    bob.shows(0.5, 0.2)
    expect(bob.page.get_by_role("button", name="Undo")).to_be_disabled()
    bob.draw((0.1, 0.8), (0.9, 0.8))
    ada.shows(0.5, 0.8)
    bob.page.get_by_role("button", name="Undo").click()
    for one in (ada, bob):
        one.shows_not(0.5, 0.8)
        one.shows(0.5, 0.2)


def test_clear_asks_first_and_then_clears_every_page(context: BrowserContext, gallery: GalleryProcess) -> None:
    ada, bob = Studio(context, gallery, "third", "Ada"), Studio(context, gallery, "third", "Bob")
    ada.draw((0.3, 0.3), (0.7, 0.7))
    bob.shows(0.5, 0.5)
    bob.page.get_by_role("button", name="Clear", exact=True).click()
    bob.page.get_by_role("button", name="Keep it").click()
    bob.shows(0.5, 0.5)
    bob.page.get_by_role("button", name="Clear", exact=True).click()
    bob.page.get_by_role("button", name="Clear it").click()
    for one in (ada, bob):
        one.shows_not(0.5, 0.5)


def test_the_keyboard_draws_too(context: BrowserContext, gallery: GalleryProcess) -> None:
    ada, bob = Studio(context, gallery, "keys", "Ada"), Studio(context, gallery, "keys", "Bob")
    ada.page.locator("#moving").focus()
    ada.page.keyboard.press("Space")
    for _ in range(10):
        ada.page.keyboard.press("ArrowRight")
    ada.page.keyboard.press("Space")
    bob.shows(0.53, 0.5)
    ada.page.keyboard.press("Control+z")
    bob.shows_not(0.53, 0.5)


def test_a_picture_is_saved_as_png(context: BrowserContext, gallery: GalleryProcess) -> None:
    ada = Studio(context, gallery, "saved", "Ada")
    ada.draw((0.2, 0.5), (0.8, 0.5))
    with ada.page.expect_download() as saving:
        ada.page.get_by_role("button", name="PNG").click()
    assert saving.value.suggested_filename == "saved.png"
    assert Path(saving.value.path()).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_where_websockets_are_blocked_strokes_go_by_streams(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    context.add_init_script("delete window.WebSocket")
    ada, bob = Studio(context, gallery, "streams", "Ada"), Studio(context, gallery, "streams", "Bob")
    ada.draw((0.2, 0.5), (0.8, 0.5))
    bob.shows(0.5, 0.5)


def test_pages_come_back_by_themselves_when_the_server_was_restarted(
    context: BrowserContext, tmp_path: Path
) -> None:
    context.clock.install()
    with GalleryProcess(tmp_path) as gallery:
        ada, bob = Studio(context, gallery, "again", "Ada"), Studio(context, gallery, "again", "Bob")
        gallery.stop()
        for one in (ada, bob):
            expect(one.page.locator("live-state")).not_to_have_attribute("data-state", "live")
        gallery.start()
        wait_no_longer(context)
        for one in (ada, bob):
            one.is_live(timeout=BACK_WITHIN)
        ada.draw((0.2, 0.5), (0.8, 0.5))
        bob.shows(0.5, 0.5)
        expect(bob.page.locator("#people")).to_have_text(re.compile("2 people"))


def test_processes_on_a_broker_share_a_canvas(context: BrowserContext, tmp_path: Path) -> None:
    with private_redis() as url:
        environment = {"ROOMS_BROKER": url, "ROOMS_SECRET": SECRET}
        with (
            GalleryProcess(tmp_path, environment=environment) as one,
            GalleryProcess(tmp_path, environment=environment) as other,
        ):
            ada, bob = Studio(context, one, "shared", "Ada"), Studio(context, other, "shared", "Bob")
            bob.is_with(2)
            ada.draw((0.2, 0.5), (0.5, 0.5), lift=False)
            bob.shows(0.35, 0.5, how=MOVING)
            ada.page.mouse.up()
            bob.shows(0.35, 0.5)
            Studio(context, other, "shared", "Cleo").shows(0.35, 0.5)


def test_a_page_on_a_slow_line_and_a_slow_machine_has_the_whole_picture_in_the_end(
    context: BrowserContext, gallery: GalleryProcess
) -> None:
    ada, bob = Studio(context, gallery, "slow", "Ada"), Studio(context, gallery, "slow", "Bob")
    on_a_slow_line(bob.page)
    heights = [number / 20 for number in range(1, 20)]
    for height in heights:
        ada.draw((0.1, height), (0.9, height))
    for height in heights:
        bob.shows(0.5, height)
    bob.draw((0.5, 0.05), (0.5, 0.95))
    ada.shows(0.5, 0.52)
