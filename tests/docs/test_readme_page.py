"""The README's live page, as a stranger makes it: two files in an empty folder, and two tabs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from chromium import WHOLE, launched

from .test_readme import RUNNING, STOP_WITHIN, block_with

WITHIN = 30_000


@pytest.fixture
def whole_browser() -> Iterator[Browser]:
    """The browser that people have, windows and all; it goes before another comes."""
    with launched(WHOLE) as browser:
        yield browser


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The two files, served; the server must stop when it is told to, though pages are open."""
    (tmp_path / "main.py").write_text(block_with("hub = Hub").code, encoding="utf-8")
    (tmp_path / "index.html").write_text(block_with("rooms.js", "html").code, encoding="utf-8")
    command = (sys.executable, "-m", "uvicorn", "main:app", "--port", "0")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        found: re.Match[bytes] | None = None
        while found is None:
            line = process.stderr.readline()
            assert line, "uvicorn did not start"
            found = RUNNING.search(line)
        try:
            yield f"http://127.0.0.1:{int(found[1])}/"
            process.terminate()
            _, output = process.communicate(timeout=STOP_WITHIN)
            assert b"Traceback" not in output, output.decode()
        finally:
            process.kill()


def say(page: Page, text: str) -> None:
    page.fill("input", text)
    page.press("input", "Enter")


def is_in(page: Page) -> None:
    """It hears itself: without a history, who comes later does not hear what was said before."""
    say(page, "in")
    expect(page.locator("li", has_text=re.compile("^in$"))).not_to_have_count(0, timeout=WITHIN)


def all_hear(text: str, *pages: Page) -> None:
    for page in pages:
        expect(page.locator("li", has_text=text)).to_have_count(1, timeout=WITHIN)


def test_what_is_typed_in_one_tab_is_there_in_the_other(whole_browser: Browser, address: str) -> None:
    ada, bob = whole_browser.new_page(), whole_browser.new_page()
    for page in (ada, bob):
        page.goto(address)
        is_in(page)
    say(ada, "hello")
    all_hear("hello", ada, bob)
    expect(ada.locator("input")).to_have_value("")


def test_a_tab_behind_a_proxy_that_knows_no_websockets_takes_part(browser: Browser, address: str) -> None:
    ada, bob = browser.new_page(), browser.new_page()
    bob.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onerror?.(), 1); "
        "setTimeout(() => this.onclose?.({ code: 1006, reason: '' }), 2) } close() {} send() {} }"
    )
    for page in (ada, bob):
        page.goto(address)
        is_in(page)
    say(bob, "over an event stream")
    all_hear("over an event stream", ada, bob)
