"""One gallery and its pages, for the tests of a module."""

import itertools
from collections.abc import Iterator

import pytest
from gallery_pages import DESKTOP, GRACE, Pages
from gallery_process import GalleryProcess
from playwright.sync_api import Browser

ROOMS = (f"room-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleryProcess]:
    with GalleryProcess(tmp_path_factory.mktemp("elsewhere"), environment=GRACE) as process:
        yield process
    assert "Traceback" not in process.log, process.log


@pytest.fixture
def room() -> str:
    """Another one for each test, since rooms remember."""
    return next(ROOMS)


@pytest.fixture
def pages(browser: Browser, gallery: GalleryProcess) -> Iterator[Pages]:
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    opened = Pages(context, gallery.url)
    yield opened
    context.close()
    assert opened.complaints == []
