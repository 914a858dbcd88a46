"""Somebody who watches alerts on a page of the gallery, and programs that raise some."""

import json
import re
from typing import Any
from urllib.request import Request, urlopen

from gallery_process import GalleryProcess
from playwright.sync_api import BrowserContext, Locator, Page, expect

from chromium import SHOWN_WITHIN

WITHIN = 30.0
READ_ALL = """() => {
    const button = document.getElementById("read-all");
    if (!button.hidden) button.click();
}"""
"""At once: it goes by itself when another tab has read all."""
IS_READ = """([name, text]) => {
    const kept = localStorage.getItem(`fastapi-rooms notify ${name}`);
    const { alerts, read } = kept ? JSON.parse(kept) : { alerts: [], read: [] };
    const [id] = alerts.find(([, alert]) => alert.text === text) ?? [];
    return read.includes(id);
}"""


class Watch:
    """A page that somebody has signed in to, and has read what was there before."""

    def __init__(self, context: BrowserContext, gallery: GalleryProcess, name: str, *, read: bool = True) -> None:
        self.errors: list[str] = []
        self.name = name
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{gallery.url}/notify/")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Come in").click()
        self.is_in()
        if read:
            self.page.evaluate(READ_ALL)

    def is_in(self, *, timeout: float = SHOWN_WITHIN) -> None:
        expect(self.page.locator("live-state")).to_have_attribute("data-state", "live", timeout=timeout)
        expect(self.page.locator("#inbox")).to_be_visible()

    def row(self, text: str) -> Locator:
        return self.page.locator("#alerts li", has_text=text)

    def sees(self, text: str, *, timeout: float = SHOWN_WITHIN) -> None:
        expect(self.row(text)).to_have_count(1, timeout=timeout)

    def counts(self, unread: int) -> None:
        title = f"({unread}) Alerts" if unread else "Alerts"
        expect(self.page).to_have_title(re.compile("^" + re.escape(title)))

    def acknowledge(self, text: str) -> None:
        self.row(text).get_by_role("button", name="Acknowledge").click()

    def sees_acknowledged(self, text: str, *, by: str) -> None:
        expect(self.row(text).locator(".done")).to_contain_text(f"Acknowledged by {by}")
        expect(self.row(text).get_by_role("button")).to_have_count(0)

    def has_kept_that_it_read(self, text: str) -> None:
        """For when the page is opened again."""
        self.page.wait_for_function(IS_READ, arg=[self.name, text])

    def hide(self) -> None:
        self.page.evaluate(
            """() => {
              Object.defineProperty(document, "hidden", { value: true, configurable: true });
              Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )


def post(gallery: GalleryProcess, path: str, body: dict[str, Any], *, token: str = "") -> Any:
    """As any program does it: what is answered."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = Request(f"{gallery.url}/notify/{path}", json.dumps(body).encode(), headers)
    with urlopen(request, timeout=WITHIN) as answer:
        return json.loads(answer.read() or b"null")


def token_of(gallery: GalleryProcess) -> str:
    return str(post(gallery, "token", {"name": "Monitor", "on_call": True})["token"])


def raise_alert(gallery: GalleryProcess, text: str, severity: str = "info") -> None:
    post(gallery, "alerts", {"text": text, "severity": severity}, token=token_of(gallery))
