"""Pages to run, with the environment that their code reads."""

from collections.abc import Callable, Iterator

import pytest

from .snippets import Page


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Page]]:
    """Opens a page by its name, such as "docs/quickstart.md"."""
    monkeypatch.setenv("JWT_SECRET", "a secret of 32 characters or more, for tests")
    monkeypatch.setenv("SESSION_SECRET", "another secret, for tests")
    monkeypatch.setenv("DRAIN_KEY", "a third one")
    opened: list[Page] = []

    def open_page(name: str) -> Page:
        opened.append(Page(name))
        return opened[-1]

    yield open_page
    for one in opened:
        one.forget()
