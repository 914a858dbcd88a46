"""The tutorial's text: its files as they are, its steps short and in order, its commands known."""

import shlex
from itertools import pairwise

import pytest

from .snippets import ROOT
from .tutorial_pages import filled, shown_in
from .tutorial_steps import NUMBERS, TUTORIAL, command_with, commands_of, folder_of, page_of


@pytest.mark.parametrize("number", NUMBERS)
def test_a_page_shows_the_files_of_its_step(number: int) -> None:
    """`python -m docs.tutorial_pages`, in tests/, writes what they are into the pages."""
    assert page_of(number).read_text(encoding="utf-8") == filled(number)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_page_does_not_show_is_as_the_step_before_left_it(number: int) -> None:
    folder = folder_of(number)
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    hidden = {str(path.relative_to(folder)) for path in files} - set(shown_in(number))
    for name in hidden:
        assert (folder / name).read_bytes() == (folder_of(number - 1) / name).read_bytes(), name


@pytest.mark.parametrize("number", NUMBERS)
def test_a_step_is_short(number: int) -> None:
    lines = {path.suffix: len(path.read_text().splitlines()) for path in folder_of(number).rglob("*")
             if path.suffix in {".py", ".js", ".html"}}  # fmt: skip
    assert lines[".py"] <= 70
    assert lines[".js"] <= 82
    assert lines[".html"] <= 28


def test_the_pages_lead_from_one_to_the_next_and_the_index_to_all() -> None:
    pages = [page_of(number) for number in NUMBERS]
    index = (TUTORIAL / "index.md").read_text(encoding="utf-8")
    for page, following in pairwise(pages):
        assert f"({following.name})" in page.read_text(encoding="utf-8").splitlines()[-1]
    assert all(f"({page.name})" in index for page in pages)


def test_what_is_to_be_installed_are_extras_of_ours() -> None:
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for page in (TUTORIAL / "index.md", page_of(7)):
        _, _, package = shlex.split(command_with(page, "pip install"))
        for extra in package.partition("[")[2].rstrip("]").split(","):
            assert f"\n{extra} = [" in extras


def test_every_command_of_the_text_is_tried_here_or_named_as_one_that_is_not() -> None:
    tried = ("uvicorn main:app", "python -m websockets", "pip install", "curl", "export", "redis-server")
    first = {"mkdir chat", "cd chat", "python3 -m venv .venv", ". .venv/bin/activate"}
    commands = {line for page in TUTORIAL.glob("*.md") for line in commands_of(page)}
    assert {line for line in commands if not line.startswith(tried)} == first
