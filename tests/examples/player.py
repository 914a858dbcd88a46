"""A page of the game, and who plays on it."""

from typing import Any, Protocol

from playwright.sync_api import BrowserContext, Page, expect

from chromium import SHOWN_WITHIN

RED, BLUE = (229, 72, 77), (62, 123, 250)
"""Of the first two places."""

WHERE = """([red, green, blue]) => {
    const canvas = document.getElementById("field");
    const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let [count, x, y] = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] !== red || data[at + 1] !== green || data[at + 2] !== blue) continue;
        [count, x, y] = [count + 1, x + (at / 4) % width, y + Math.floor(at / 4 / width)];
    }
    return count > 20 ? { x: x / count, y: y / count } : null;
}"""
"""Where the pixels of a colour are."""

MOVED = f"""([colour, x, y]) => {{
    const at = ({WHERE})(colour);
    return at && Math.hypot(at.x - x, at.y - y) > 60;
}}"""

OURSELVES = """async () => {
    const { Rooms } = await import(new URL("live/rooms.js", location.href));
    const rooms = new Rooms("live", { token: sessionStorage.getItem("game-token") });
    window.room = rooms.join(`arena-${location.pathname.split("/").at(-1)}`);
    window.own = null;
    window.fastest = 0;
    let place = null;
    window.room.on("players", ({ players }) => {
        place = players.find(([, user]) => user === rooms.user)?.[0] ?? null;
    });
    window.room.on("state", (state) => {
        window.all = state;
        const found = state.beetles.find(([number]) => number === place);
        window.own = found ? { x: found[1], y: found[2], vx: found[3], vy: found[4], score: found[5] } : null;
        window.fastest = Math.max(window.fastest, Math.hypot(window.own?.vx ?? 0, window.own?.vy ?? 0));
    });
}"""
"""Another connection of the page's player, which hears what it hears."""

GATHERS = """(wanted) => {
    if (!window.own) return false;
    const { x, y, score } = window.own;
    if (score >= wanted) {
        window.room.send("steer", { x: 0, y: 0 });
        return true;
    }
    const far = ([, a, b]) => Math.hypot(a - x, b - y);
    const [nearest] = [...window.all.sparks].sort((one, other) => far(one) - far(other));
    if (!nearest) return false;
    const scale = 100 / Math.max(100, far(nearest));
    const part = (by) => Math.round(Math.max(-100, Math.min(100, by * scale)));
    window.room.send("steer", { x: part(nearest[1] - x), y: part(nearest[2] - y) });
    return false;
}"""


GATHERED_WITHIN = 60_000
"""ms: who is steered late misses one spark and another."""


class Served(Protocol):
    """Where the game is."""

    @property
    def url(self) -> str:
        """Up to the lobby's slash."""
        ...


class Player:
    """A page of the game.

    Args:
        arena: Where; "" is the lobby.
    """

    def __init__(self, context: BrowserContext, game: Served, arena: str, name: str) -> None:
        self.errors: list[str] = []
        self.name = name
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{game.url}/{arena}")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Go in").click()
        self.is_live()

    def is_live(self, *, timeout: float = SHOWN_WITHIN) -> None:
        expect(self.page.locator("live-state")).to_have_attribute("data-state", "live", timeout=timeout)

    def plays(self, *, timeout: float = SHOWN_WITHIN) -> None:
        expect(self.page.locator("#scores [data-me]")).to_contain_text(f"{self.name} (you)", timeout=timeout)

    def lists(self, *names: str) -> None:
        expect(self.page.locator("#scores .who")).to_have_count(len(names))
        for name in names:
            expect(self.page.locator("#scores")).to_contain_text(name)

    def sees(self, colour: tuple[int, int, int]) -> dict[str, float]:
        """Where a beetle is on the canvas, in pixels."""
        seen: dict[str, float] = self.page.wait_for_function(WHERE, arg=colour, polling=100).json_value()
        return seen

    def sees_move(self, colour: tuple[int, int, int], before: dict[str, float]) -> None:
        self.page.wait_for_function(MOVED, arg=[colour, before["x"], before["y"]], polling=100)

    def listens(self) -> None:
        """`window.own` is what the server tells of the own beetle, and `window.fastest` its highest speed."""
        self.page.evaluate(OURSELVES)
        self.page.wait_for_function("() => window.own")

    def steers(self, x: int) -> None:
        """Left or right from now on, said again and again, as the page does while a key is held."""
        self.page.evaluate("(x) => setInterval(() => window.room.send('steer', { x, y: 0 }), 200)", x)

    def gathers(self, wanted: int) -> dict[str, Any]:
        """Steer to sparks until it has so many; what is told of it then, at rest."""
        self.page.wait_for_function(GATHERS, arg=wanted, polling=60, timeout=GATHERED_WITHIN)
        at_rest = "() => window.own && Math.hypot(window.own.vx, window.own.vy) < 5 && window.own"
        own: dict[str, Any] = self.page.wait_for_function(at_rest).json_value()
        return own
