"""The tutorial's pages in Chromium: people talk, walk over, come and go, and come back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from .tutorial_steps import NUMBERS, Server

WITHIN = 30_000
COUNT_THE_LEAST = """() => {
    const people = document.getElementById("people")
    window.least = people.children.length
    const count = () => { window.least = Math.min(window.least, people.children.length) }
    new MutationObserver(count).observe(people, { childList: true })
}"""
STRICT = "default-src 'self'"
SOON_AGAIN = "Math.random = () => 0.05"
"""How long pages wait before they try again is chance: this is a short wait, and the next is twice as long."""


@pytest.fixture
def enter(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a room as somebody, in a window of their own, which must not complain."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def enter(server: Server, name: str, *, number: int, room: str = "lobby") -> Page:
        contexts.append(browser.new_context())
        contexts[-1].add_init_script(SOON_AGAIN)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if STRICT in message.text else None)
        page.goto(server.url("/" if number == 1 else f"/{room}") + (f"?name={name}" if number < 3 else ""))
        if number >= 3:
            page.get_by_label("Your name").fill(name)
            page.get_by_role("button", name="Come in").click()
        is_live(page)
        return page

    yield enter
    for context in contexts:
        context.close()
    assert errors == []


def is_live(page: Page) -> None:
    expect(page.locator("#state")).to_have_text("Live", timeout=WITHIN)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()


def shows(page: Page, *texts: str) -> None:
    expect(page.locator("#log p")).to_have_text(list(texts), timeout=WITHIN)


@pytest.mark.parametrize("number", [one for one in NUMBERS if one != 7])
def test_two_people_talk_and_what_they_write_stays_text(
    enter: Callable[..., Page], tmp_path: Path, number: int
) -> None:
    with Server(number, tmp_path) as server:
        ada, bob = (enter(server, name, number=number) for name in ("Ada", "Bob"))
        say(ada, "<b>hello</b>")
        shows(bob, "<b>hello</b>")
        say(bob, "hi")
        shows(ada, "<b>hello</b>", "hi")
        expect(ada.locator("#log .mine")).to_have_count(1)
        expect(ada.get_by_label("Message", exact=True)).to_have_value("")


def test_2_one_walks_over_to_another_room(enter: Callable[..., Page], tmp_path: Path) -> None:
    with Server(2, tmp_path) as server:
        ada, bob = (enter(server, name, number=2) for name in ("Ada", "Bob"))
        bob.get_by_role("link", name="kitchen").click()
        expect(bob.get_by_role("heading")).to_have_text("kitchen")
        is_live(bob)
        say(bob, "is there tea?")
        shows(bob, "is there tea?")
        say(ada, "where are you?")
        shows(ada, "where are you?")


@pytest.mark.parametrize("number", [4, 6])
def test_nobody_goes_for_a_reload(enter: Callable[..., Page], tmp_path: Path, number: int) -> None:
    with Server(number, tmp_path, grace=60) as server:
        ada, bob = (enter(server, name, number=number) for name in ("Ada", "Bob"))
        expect(ada.locator("#people li")).to_have_text(["Ada", "Bob"])
        ada.evaluate(COUNT_THE_LEAST)
        bob.reload()
        is_live(bob)
        say(bob, "back")
        expect(ada.locator("#log p").last).to_have_text("back")
        assert ada.evaluate("window.least") == 2
        expect(bob.locator("#people li")).to_have_text(["Ada", "Bob"])


def test_names_come_and_go(enter: Callable[..., Page], tmp_path: Path) -> None:
    with Server(4, tmp_path) as four, Server(6, tmp_path) as six:
        left_alone: list[Locator] = []
        for number, server in ((4, four), (6, six)):
            ada, bob = (enter(server, name, number=number) for name in ("Ada", "Bob"))
            people = ada.locator("#people li")
            expect(people).to_have_text(["Ada", "Bob"])
            bob.close()
            left_alone.append(people)
        for people in left_alone:  # both at once: each has the grace of its text
            expect(people).to_have_text(["Ada"], timeout=WITHIN)


@pytest.mark.parametrize("number", [5, 6])
def test_a_page_that_was_offline_gets_what_it_missed(
    enter: Callable[..., Page], tmp_path: Path, number: int
) -> None:
    with Server(number, tmp_path) as server:
        ada, bob = (enter(server, name, number=number) for name in ("Ada", "Bob"))
        say(ada, "one")
        shows(bob, "one")
        bob.context.set_offline(True)
        expect(bob.locator("#state")).not_to_have_text("Live", timeout=WITHIN)
        say(ada, "two")
        shows(ada, "one", "two")
        bob.context.set_offline(False)
        shows(bob, "one", "two")
        is_live(bob)


@pytest.mark.parametrize("number", [5, 6])
def test_a_page_comes_back_when_the_server_was_restarted(
    enter: Callable[..., Page], tmp_path: Path, number: int
) -> None:
    with Server(number, tmp_path) as server:
        ada = enter(server, "Ada", number=number)
        say(ada, "before")
        shows(ada, "before")
        server.stop()
        expect(ada.locator("#state")).not_to_have_text("Live")
        if number == 6:
            say(ada, "meanwhile")
        server.start()
        is_live(ada)
        if number == 5:
            say(ada, "meanwhile")
        shows(ada, "meanwhile")
