"""The chats in a real browser: with a manager and on a hub; two pages at once, offline, and away from a broker."""

from pathlib import Path

import pytest
from gallery_pages import (
    GRACE,
    Pages,
    gallery,
    has_heard,
    is_live,
    log,
    never_after,
    notice,
    pages,
    people,
    room,
    say,
)
from gallery_process import GalleryProcess
from guest import Guest
from playwright.sync_api import Browser, expect
from stalled_client import Awake, StalledClient, sign_in

from brokers.engines import running
from brokers.redis_engine import RedisEngine
from fastapi_rooms.private_engine import private_redis

BACK_WITHIN = 45_000
SECRET = "a secret of 32 characters or more, for tests"
TYPING_LASTS = 3_500
"""ms; then a page forgets by itself that somebody is typing."""
BOTH = pytest.mark.parametrize("chat", ["chat", "chat-hub"])


@BOTH
def test_what_is_said_on_one_page_appears_on_the_other_as_text_alone(pages: Pages, room: str, chat: str) -> None:
    ada, grace = pages.enter(room, "Ada", chat=chat), pages.enter(room, "Grace", chat=chat)
    say(ada, "<b onclick='alert(1)'>hello</b>")
    has_heard(grace, "<b onclick='alert(1)'>hello</b>")
    expect(grace.locator("#log .who").last).to_contain_text("Ada")
    expect(grace.locator("#log b")).to_have_count(0)
    say(grace, "hello back")
    has_heard(ada, "hello back")


@BOTH
def test_the_list_of_people_and_the_notices_follow_who_comes_and_goes(pages: Pages, room: str, chat: str) -> None:
    ada = pages.enter(room, "Ada", chat=chat)
    people(ada, "Ada")
    expect(ada.locator("#people .you")).to_have_count(1)
    grace = pages.enter(room, "Grace", chat=chat)
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


@BOTH
def test_others_see_who_is_typing_until_the_message_is_there(pages: Pages, room: str, chat: str) -> None:
    never_after(pages.context, TYPING_LASTS)
    ada, grace = pages.enter(room, "Ada", chat=chat), pages.enter(room, "Grace", chat=chat)
    ada.get_by_label("Message", exact=True).press_sequentially("hm")
    expect(grace.locator("#typing")).to_have_text("Ada is typing…")
    expect(ada.locator("#typing")).to_have_text("")
    say(ada, "hm.")
    expect(grace.locator("#typing")).to_have_text("")


@BOTH
def test_who_comes_in_sees_what_was_said_before_and_that_they_are_in(pages: Pages, room: str, chat: str) -> None:
    ada = pages.enter(room, "Ada", chat=chat)
    for text in ("one", "two", "three"):
        say(ada, text)
    log(ada, "one", "two", "three")
    grace = pages.enter(room, "Grace", chat=chat)
    log(grace, "one", "two", "three")
    notice(grace, f"You are in the {room}")
    grace.reload()
    is_live(grace)
    log(grace, "one", "two", "three")


@BOTH
def test_a_page_that_was_offline_gets_what_was_said_meanwhile_and_says_so(
    pages: Pages, browser: Browser, gallery: GalleryProcess, room: str, chat: str
) -> None:
    grace = pages.enter(room, "Grace", chat=chat)
    context = browser.new_context(reduced_motion="reduce")
    ada = Pages(context, gallery.url).enter(room, "Ada", chat=chat)  # a browser logs refused connections as errors
    say(grace, "before")
    has_heard(ada, "before")
    context.set_offline(True)
    expect(ada.locator("live-state")).not_to_have_attribute("data-state", "live")
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
        Awake(gallery.port) as awake,
    ):
        people(ada, "Ada", "Alan", "Grace", "Stalled")
        longest = flood(url, gallery.port, alan, awake)
        say(ada, "still here, Grace?")
        has_heard(grace, "still here, Grace?", timeout=BACK_WITHIN)  # her page has megabytes to show before it
        people(ada, "Ada", "Alan", "Grace", timeout=BACK_WITHIN)
    assert longest < 4.0, f"a message took {longest:.2f} s"  # to wait for the stalled one takes 5: send_timeout


def flood(url: str, port: int, guest: Guest, awake: Awake) -> float:
    """More than the stalled one's queue and socket take; a guest's longest wait meanwhile, in seconds awake."""
    longest, block = 0.0, "\N{HORIZONTAL ELLIPSIS}" * 4000
    for number in range(4):
        with Guest(url, token=sign_in(port, f"Flood {number}")) as sender:
            for _ in range(35):
                sender.say(block)
            sender.say(f"that was {number}")
            began = awake.seconds
            guest.say(f"still here, {number}?")
            guest.heard(type="say", text=f"still here, {number}?")
            longest = max(longest, awake.seconds - began)
            sender.heard(type="say", text=f"that was {number}")
    return longest
