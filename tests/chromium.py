"""A real browser, where there is one; in CI there must be.

Debian has the same Chromium twice: as a browser, whose `--headless` opens windows that nobody sees, and as
`chromium-headless-shell`, the same engine without windows, which computes a third for each page. Tests take the
shell where it is, and README's page is tried in the browser besides.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

WHOLE = os.environ.get("ROOMS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
CHROMIUM = os.environ.get("ROOMS_CHROMIUM") or shutil.which("chromium-headless-shell") or WHOLE
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
]

SHOWN_WITHIN = 15_000
"""ms for what a page will show; the game's lobby forgets an arena after up to five seconds, as it should."""

expect.set_options(timeout=SHOWN_WITHIN)

FEW_FRAMES = """
    const draw = requestAnimationFrame;
    window.requestAnimationFrame = (callback) => setTimeout(() => draw(callback), 80);
"""
"""For `add_init_script`: a screen of twelve pictures a second. Nothing but a processor is worse for it."""


@contextmanager
def launched(path: str | None) -> Iterator[Browser]:
    if path is None and "CI" in os.environ:
        pytest.fail("CI is set, and there is no Chromium")
    if path is None:
        pytest.skip("no Chromium here; ROOMS_CHROMIUM may name one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched(CHROMIUM) as browser:
        yield browser
