"""The tutorial's pages show the files of their steps, with the lines marked that the step before has not.

A fence with a title shows the step's file of that name. `python -m docs.tutorial_pages`, in `tests/`, writes
them anew after a file has changed.
"""

import re
from difflib import SequenceMatcher
from pathlib import Path

from .tutorial_steps import NUMBERS, folder_of, page_of

_FENCE = re.compile(r'^```(?P<language>\w+) title="(?P<name>[^"]+)"[^\n]*\n.*?^```$', re.DOTALL | re.MULTILINE)


def shown_in(number: int) -> list[str]:
    """The names of the files that a step's page shows."""
    return [found["name"] for found in _FENCE.finditer(page_of(number).read_text(encoding="utf-8"))]


def filled(number: int) -> str:
    """A step's page, with its files as they are."""
    text = page_of(number).read_text(encoding="utf-8")
    return _FENCE.sub(lambda found: _fence(number, found["language"], found["name"]), text)


def _fence(number: int, language: str, name: str) -> str:
    code = (folder_of(number) / name).read_text(encoding="utf-8")
    new = _new_lines(_before(number, name), code)
    marked = f' hl_lines="{" ".join(new)}"' if new else ""
    return f'```{language} title="{name}"{marked}\n{code}```'


def _before(number: int, name: str) -> str:
    """The file as it was a step before; what the first step replaces is beside it."""
    earlier = folder_of(1) / "before.py" if (number, name) == (1, "main.py") else _older(number, name)
    return earlier.read_text(encoding="utf-8") if earlier.is_file() else ""


def _older(number: int, name: str) -> Path:
    return folder_of(number - 1) / name


def _new_lines(before: str, after: str) -> list[str]:
    """Ranges of line numbers; none if most of it is new, since then marks would tell nothing."""
    lines = after.splitlines()
    matcher = SequenceMatcher(None, before.splitlines(), lines, autojunk=False)
    spans = [_trimmed(lines, start, end) for kind, _, _, start, end in matcher.get_opcodes() if kind != "equal"]
    if sum(end - start for start, end in spans) * 3 > len(lines) * 2:
        return []
    return [f"{start + 1}-{end}" if end > start + 1 else f"{end}" for start, end in spans if end > start]


def _trimmed(lines: list[str], start: int, end: int) -> tuple[int, int]:
    """Without empty lines at its ends."""
    while start < end and not lines[start]:
        start += 1
    while start < end and not lines[end - 1]:
        end -= 1
    return start, end


if __name__ == "__main__":
    for one in NUMBERS:
        page_of(one).write_text(filled(one), encoding="utf-8")
