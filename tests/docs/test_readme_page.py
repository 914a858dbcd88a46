"""The README's live page, as a stranger makes it: two files in an empty folder, and two tabs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from chromium import WHOLE, launched

from .test_readme import RUNNING, STOP_WITHIN, block_with


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


def test_what_is_typed_in_one_tab_is_there_in_the_other(whole_browser: Browser, address: str) -> None:
    ada, bob = whole_browser.new_page(), whole_browser.new_page()
    for page in (ada, bob):
        page.goto(address)
    ada.fill("input", "hello")
    ada.press("input", "Enter")
    for page in (ada, bob):
        expect(page.locator("li")).to_have_text(["hello"])
    expect(ada.locator("input")).to_have_value("")


def test_a_tab_behind_a_proxy_that_knows_no_websockets_takes_part(browser: Browser, address: str) -> None:
    ada, bob = browser.new_page(), browser.new_page()
    bob.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onerror?.(), 1); "
        "setTimeout(() => this.onclose?.({ code: 1006, reason: '' }), 2) } close() {} send() {} }"
    )
    for page in (ada, bob):
        page.goto(address)
    bob.fill("input", "over an event stream")
    bob.press("input", "Enter")
    for page in (ada, bob):
        expect(page.locator("li")).to_have_text(["over an event stream"], timeout=20_000)
