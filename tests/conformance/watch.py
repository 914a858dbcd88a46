"""What a case looks at on the server's side, and the check that nothing is left behind."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from .servers import Server
from .wire import TIMEOUT

State = dict[str, Any]


class Watch:
    """The application of one server, seen through `/observe`, for the time of one test."""

    def __init__(self, server: Server, baseline: dict[str, int]) -> None:
        self.server = server
        self.kind = server.kind
        self.port = server.port
        self._baseline = baseline
        self._expected = [re.compile("on purpose")]  # daphne logs a second later, in another test's time

    async def state(self) -> State:
        """All that there is to see now."""
        state: State = await self.server.get("/observe")
        return state

    async def until(self, holds: Callable[[State], Any], *, within: float = TIMEOUT) -> State:
        """The first state that `holds` is true of.

        Raises:
            AssertionError: None was seen within `within` seconds; it shows the last one.
        """
        deadline = time.monotonic() + within
        while True:
            late = time.monotonic() >= deadline  # before the last look: we may be who stood still meanwhile
            if holds(state := await self.state()):
                return state
            assert not late, f"not within {within} s; last seen: {self._short(state)}"
            await asyncio.sleep(0.03)

    async def until_event(self, label: str, event: str, who: str | None = None, *, within: float = TIMEOUT) -> Any:
        """The first such event of a manager."""
        state = await self.until(lambda seen: events(seen, label, event, who), within=within)
        return events(state, label, event, who)[0]

    def expect_logged(self, pattern: str) -> None:
        """Allow warnings and errors that match; every other one fails the test."""
        self._expected.append(re.compile(pattern, re.DOTALL))

    async def nothing_left(self, *, within: float = TIMEOUT) -> None:
        """Every connection unregistered, every task gone, nothing unexpected in the log."""
        state = await self.until(
            lambda seen: not any(seen["connections"].values()) and not self._more_tasks(seen),
            within=within,
        )
        assert not any(state["rooms"].values()), state["rooms"]
        assert not any(state["users"].values()), state["users"]
        unexpected = [
            entry for entry in state["logged"] if not any(p.search(entry["text"]) for p in self._expected)
        ]
        assert not unexpected, unexpected

    def _more_tasks(self, state: State) -> dict[str, int]:
        return _more_tasks(state, self._baseline)

    def _short(self, state: State) -> State:
        """What of a state is worth reading in a failure."""
        return {
            "connections": {label: count for label, count in state["connections"].items() if count},
            "more tasks": self._more_tasks(state),
            "logged": state["logged"][-5:],
            "events": {label: entries[-20:] for label, entries in state["events"].items()},
        }


def events(state: State, label: str, event: str, who: str | None = None) -> list[dict[str, Any]]:
    """The recorded events of one manager and kind, and of one user where `who` is given."""
    return [
        entry
        for entry in state["events"].get(label, ())
        if entry["event"] == event and (who is None or entry["who"] == who)
    ]


@asynccontextmanager
async def watching(server: Server) -> AsyncIterator[Watch]:
    """Start a test with nothing recorded, and end it with nothing left."""
    baseline = await _baseline(server)
    await server.post("/reset")
    watch = Watch(server, baseline)
    yield watch
    await watch.nothing_left()


_LOOKS: Final = 5
_FEWEST: WeakKeyDictionary[Server, dict[str, int]] = WeakKeyDictionary()
"""The own tasks of each server, as the last test has found them."""


def _more_tasks(state: State, baseline: dict[str, int]) -> dict[str, int]:
    more = {name: count - baseline.get(name, 0) for name, count in state["tasks"].items()}
    return {name: count for name, count in more.items() if count > 0}


async def _baseline(server: Server) -> dict[str, int]:
    """The server's own tasks: the fewest of a few looks, once there is no connection any more.

    One look is enough where it sees no more than the last test found.
    """
    watch = Watch(server, {})
    seen = [await watch.until(lambda now: not any(now["connections"].values()))]
    last = _FEWEST.get(server, {})
    while len(seen) < _LOOKS and _more_tasks(seen[-1], last):
        await asyncio.sleep(0.02)
        seen.append(await watch.state())
    _FEWEST[server] = {name: min(state["tasks"].get(name, 0) for state in seen) for name in seen[0]["tasks"]}
    return _FEWEST[server]
