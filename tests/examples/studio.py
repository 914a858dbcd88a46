"""A page of the drawing, and who draws on it."""

from gallery_process import GalleryProcess
from playwright.sync_api import BrowserContext, Page, expect

from chromium import SHOWN_WITHIN

INKED = """([x, y]) => {
    const canvas = document.getElementById("picture");
    const at = [Math.round(x * canvas.width) - 2, Math.round(y * canvas.height) - 2];
    return canvas.getContext("2d").getImageData(...at, 5, 5).data.some((byte, at) => at % 4 === 3 && byte > 128);
}"""
MOVING = INKED.replace("picture", "moving")


class Studio:
    """A page with a pen in its hand.

    Args:
        canvas: The picture's name; another one for each test.
    """

    def __init__(self, context: BrowserContext, gallery: GalleryProcess, canvas: str, name: str) -> None:
        self.errors: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{gallery.url}/draw/{canvas}")
        if self.page.locator("#door").is_visible():
            self.page.get_by_label("Your name").fill(name)
            self.page.get_by_role("button", name="Start to draw").click()
        self.is_live()

    def is_live(self, *, timeout: float = SHOWN_WITHIN) -> None:
        expect(self.page.locator("live-state")).to_have_attribute("data-state", "live", timeout=timeout)

    def is_with(self, count: int) -> None:
        """So many are here, itself too: it has joined both of the canvas's rooms."""
        expect(self.page.locator("#people")).to_have_text(f"{count} people are here")

    def draw(self, *points: tuple[float, float], lift: bool = True) -> None:
        """A stroke through these points, as shares of the paper."""
        box = self.page.locator("#moving").bounding_box()
        assert box is not None
        for number, (x, y) in enumerate(points):
            self.page.mouse.move(
                box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3 if number else 1
            )
            if number == 0:
                self.page.mouse.down()
        if lift:
            self.page.mouse.up()

    def shows(self, x: float, y: float, *, how: str = INKED) -> None:
        self.page.wait_for_function(how, arg=[x, y])

    def shows_not(self, x: float, y: float) -> None:
        self.page.wait_for_function(f"at => !({INKED})(at)", arg=[x, y])
