"""Pages of the gallery in a real browser, and what is done and seen on them."""

import itertools
import re
from collections.abc import Iterator

import pytest
from gallery_process import GalleryProcess
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, expect

from chromium import FEW_FRAMES, SHOWN_WITHIN

GRACE = {"ROOMS_GRACE": "1"}
LONGEST_WAIT = 11_000
"""ms; a hub that stops tells its clients to come back within ten seconds."""
DESKTOP = ViewportSize(width=1280, height=800)


class Pages:
    """Opens pages of the gallery, and keeps what they complain about."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.complaints: list[str] = []
        self.context = context
        self.base = base

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.base + path)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open_live(self, path: str) -> Page:
        page = self.open(path)
        is_live(page)
        return page

    def enter(self, room: str, name: str, *, chat: str = "chat") -> Page:
        return self.come_in(f"/{chat}/{room}", name)

    def come_in(self, path: str, name: str) -> Page:
        """Open a page that asks for a name at its door."""
        page = self.open(path)
        page.get_by_label("Your name").fill(name)
        page.get_by_label("Your name").press("Enter")
        is_live(page)
        return page


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


@pytest.fixture
def pages(browser: Browser, gallery: GalleryProcess) -> Iterator[Pages]:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    context.add_init_script(FEW_FRAMES)
    opened = Pages(context, gallery.url)
    yield opened
    context.close()
    assert opened.complaints == []


def on_a_slow_line(page: Page) -> None:
    """From now on, and on a slow machine: 300 ms each way, 30 kB a second, a sixth of the processor."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    slow = {"offline": False, "latency": 300, "downloadThroughput": 30_000, "uploadThroughput": 30_000}
    devtools.send("Network.emulateNetworkConditions", slow)


def wait_no_longer(context: BrowserContext) -> None:
    """Put forward the clock of its pages, installed before: whatever they wait for until then is due now."""
    context.clock.fast_forward(LONGEST_WAIT)


def never_after(context: BrowserContext, milliseconds: int) -> None:
    """On pages opened from now on, what is due after so long never comes: a slow page shows what is before it."""
    context.add_init_script(
        "const later = setTimeout; window.setTimeout = (what, after, ...more) => "
        f"(after === {milliseconds} ? 0 : later(what, after, ...more));"
    )


def is_live(page: Page, *, timeout: float = SHOWN_WITHIN) -> None:
    expect(page.locator("live-state")).to_have_attribute("data-state", "live", timeout=timeout)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")


def has_heard(page: Page, text: str, *, timeout: float = SHOWN_WITHIN) -> None:
    expect(page.locator("#log .text", has_text=text)).to_have_count(1, timeout=timeout)


def people(page: Page, *names: str, timeout: float = SHOWN_WITHIN) -> None:
    expect(page.locator("#people li")).to_contain_text(list(names), timeout=timeout)
    expect(page.locator("#people li")).to_have_count(len(names), timeout=timeout)


def notice(page: Page, text: str) -> None:
    found = page.locator("#log .notice", has_text=text)
    expect(found).to_have_count(1)
    expect(found.locator("time")).to_have_text(re.compile(r"\d\d:\d\d"))


def log(page: Page, *texts: str) -> None:
    """All that was said, in order."""
    expect(page.locator("#log .text")).to_have_text(list(texts))
