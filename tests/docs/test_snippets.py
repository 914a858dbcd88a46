"""Every python block of the documentation compiles and runs; the tests that pages define pass."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from .snippets import OTHER_LANGUAGES, PAGES, ROOT, BadMarker, Page, blocks_of, python_blocks_of

WITH_CODE = [str(path.relative_to(ROOT)) for path in PAGES if python_blocks_of(path)]
EVERY_PAGE = [str(path.relative_to(ROOT)) for path in PAGES]


@pytest.mark.parametrize("name", WITH_CODE)
async def test_the_code_of_a_page_runs_from_top_to_bottom(name: str, page: Callable[[str], Page]) -> None:
    opened = page(name)
    opened.run()
    for test in opened.tests().values():
        if inspect.iscoroutinefunction(test):
            await test()


@pytest.mark.parametrize("name", WITH_CODE)
def test_the_synchronous_tests_of_a_page_pass(name: str, page: Callable[[str], Page]) -> None:
    opened = page(name)
    opened.run()
    for test in opened.tests().values():
        if not inspect.iscoroutinefunction(test):
            test()


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_block_names_its_language_so_that_none_is_skipped_by_accident(name: str) -> None:
    unknown = {
        block.where: block.language
        for block in blocks_of(ROOT / name)
        if block.language != "python" and block.language not in OTHER_LANGUAGES
    }
    assert unknown == {}


def _scan(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "page.md"
    path.write_text(text)
    return [(block.marker, block.code) for block in blocks_of(path)]


def test_a_block_that_is_not_run_must_say_why(tmp_path: Path) -> None:
    for marker in ("compile-only", "compile-only,", "skip", "skip, it is slow", "fresh, for no reason"):
        with pytest.raises(BadMarker):
            _scan(tmp_path, f"<!-- snippet: {marker} -->\n```python\n1\n```\n")
    assert _scan(tmp_path, "<!-- snippet: compile-only, it never ends -->\n```python\n1\n```\n") == [
        ("compile-only", "1\n")
    ]


def test_a_marker_that_stands_before_no_block_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadMarker):
        _scan(tmp_path, "<!-- snippet: fresh -->\nsome text\n```python\n1\n```\n")


def test_a_block_that_fails_names_its_page_and_line(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("text\n\n```python\nfine = 1\nbroken = 1 / 0\n```\n")
    [block] = blocks_of(path)
    with pytest.raises(ZeroDivisionError) as caught:
        exec(block.compiled(), {})
    assert caught.traceback[-1].lineno == 5 - 1  # pytest counts from 0
