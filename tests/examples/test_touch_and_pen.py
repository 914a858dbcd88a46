"""Draw by a finger and by a pen, and a beetle that a finger steers: through the browser's own input."""

from collections.abc import Iterator
from typing import Literal

import pytest
from gallery_pages import gallery
from gallery_process import Below, GalleryProcess
from player import Player
from playwright.sync_api import Browser, BrowserContext, CDPSession, ViewportSize
from studio import Studio

from chromium import FEW_FRAMES

PHONE = ViewportSize(width=390, height=700)
STEPS = 6
STRAIGHT_ON = """(direction) => {
    window.straightOn = false;
    window.room.on("state", () => {
        const { vx, vy } = window.own ?? { vx: 0, vy: 0 };
        window.straightOn ||= direction * vx > 50 && Math.abs(vy) < Math.abs(vx) / 2;
    });
}"""
"""Whether it ever was: a wall ends that."""


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    context.add_init_script(FEW_FRAMES)
    yield context
    context.close()


class Finger:
    """One finger on a page's screen."""

    def __init__(self, devtools: CDPSession) -> None:
        self._devtools = devtools

    def press(self, x: float, y: float) -> None:
        self._touch("touchStart", [{"x": x, "y": y}])

    def move(self, x: float, y: float) -> None:
        self._touch("touchMove", [{"x": x, "y": y}])

    def lift(self, x: float, y: float) -> None:
        self._touch("touchEnd", [])

    def _touch(self, kind: str, points: list[dict[str, float]]) -> None:
        self._devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


class Pen:
    """A pen on a page's screen, half pressed."""

    def __init__(self, devtools: CDPSession) -> None:
        self._devtools = devtools

    def press(self, x: float, y: float) -> None:
        self._point("mousePressed", x, y, buttons=1)

    def move(self, x: float, y: float) -> None:
        self._point("mouseMoved", x, y, buttons=1)

    def lift(self, x: float, y: float) -> None:
        self._point("mouseReleased", x, y, buttons=0)

    def _point(self, kind: str, x: float, y: float, *, buttons: int) -> None:
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1}
        self._devtools.send("Input.dispatchMouseEvent", {**event, "pointerType": "pen", "force": 0.5})


HANDS: dict[str, type[Finger | Pen]] = {"finger": Finger, "pen": Pen}


@pytest.mark.parametrize("hand", ["finger", "pen"])
def test_what_is_drawn_without_a_mouse_is_there_on_both_pages(
    phone: BrowserContext, gallery: GalleryProcess, hand: Literal["finger", "pen"]
) -> None:
    ada, bob = (Studio(phone, gallery, f"by-{hand}", name) for name in ("Ada", "Bob"))
    ada.page.bring_to_front()
    box = ada.page.locator("#moving").bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    across = [box["x"] + box["width"] * (0.2 + 0.6 * step / STEPS) for step in range(STEPS + 1)]
    holding = HANDS[hand](phone.new_cdp_session(ada.page))
    holding.press(across[0], height)
    for x in across[1:]:
        holding.move(x, height)
    holding.lift(across[-1], height)
    for one in (ada, bob):
        one.page.bring_to_front()
        one.shows(0.5, 0.5)
    assert ada.page.evaluate("scrollY") == 0  # the finger has not moved the page besides
    assert ada.errors == bob.errors == []


def test_a_finger_steers_the_beetle(phone: BrowserContext, gallery: GalleryProcess) -> None:
    ada = Player(phone, Below(gallery, "game"), "touched", "Ada")
    ada.plays()
    ada.listens()
    direction = 1 if ada.page.evaluate("() => window.own.x < 8_000") else -1  # not to where a wall is near
    ada.page.evaluate(STRAIGHT_ON, direction)
    finger = Finger(phone.new_cdp_session(ada.page))
    finger.press(150, 300)
    for step in range(1, STEPS + 1):
        finger.move(150 + direction * 8 * step, 300)
    ada.page.wait_for_function("() => window.straightOn")
    finger.lift(0, 0)
    ada.page.wait_for_function("() => Math.abs(window.own?.vx) < 5")
    assert ada.errors == []
