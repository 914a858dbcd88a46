"""The python blocks of a Markdown page, and how they are run.

The blocks of a page run in order in one namespace, as if they were pasted into one file. An HTML comment on the
line before a fence says otherwise:

    <!-- snippet: fresh -->                     this block, and those after it, begin with an empty namespace
    <!-- snippet: compile-only, REASON -->      this block is compiled, but not run
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
OTHER_LANGUAGES: Final = frozenset(
    {"css", "dockerfile", "html", "ini", "javascript", "json", "nginx", "sh", "sql", "text", "toml", "yaml"}
)

_FENCE: Final = re.compile(r"^ *(?P<ticks>`{3,}|~{3,}) *(?P<language>[^\s`{]*)[^`]*$")
_MARKER: Final = re.compile(r"<!-- snippet: (?P<kind>[a-z-]+)(?:, (?P<reason>[^>]+))? -->")
_HEADING: Final = re.compile(r"^#{1,6} (?P<text>.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Attributes:
        path: The page.
        line: The line number of its first line of code.
        language: What stands behind the fence.
        code: The block's text.
        heading: The heading that it stands under.
        marker: "fresh", "compile-only", or "" for neither.
        reason: Why it is only compiled.
    """

    path: Path
    line: int
    language: str
    code: str
    heading: str
    marker: str = ""
    reason: str = ""

    @property
    def where(self) -> str:
        """Page and line, as they stand in reports."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    def compiled(self) -> Any:
        """The block's code; tracebacks show the page and its line."""
        return compile("\n" * (self.line - 1) + self.code, str(self.path), "exec", dont_inherit=True)


class BadMarker(Exception):
    """A marker that this suite does not know, or one that does not stand before a block."""


def blocks_of(path: Path) -> list[Block]:
    """All fenced blocks of a page, in order, whatever their language."""
    return list(_scan(path, path.read_text(encoding="utf-8").splitlines()))


def python_blocks_of(path: Path) -> list[Block]:
    """The python blocks of a page, in order."""
    return [block for block in blocks_of(path) if block.language == "python"]


def _scan(path: Path, lines: list[str]) -> Iterator[Block]:
    heading, marker, reason = "", "", ""
    numbered = enumerate(lines, start=1)
    for number, line in numbered:
        if found := _HEADING.match(line):
            heading = found["text"].strip()
        elif "<!-- snippet" in line:
            marker, reason = _read_marker(path, number, line)
        elif fence := _FENCE.match(line):
            yield Block(
                path=path,
                line=number + 1,
                language=fence["language"],
                code=_body(path, numbered, fence),
                heading=heading,
                marker=marker,
                reason=reason,
            )
            marker = reason = ""
        elif marker and line.strip():
            raise BadMarker(f"{path}:{number}: a marker must stand right before its block")
    if marker:
        raise BadMarker(f"{path}: a marker at the end of the page")


def _read_marker(path: Path, number: int, line: str) -> tuple[str, str]:
    found = _MARKER.fullmatch(line.strip())
    kind = found["kind"] if found else ""
    reason = (found["reason"] or "").strip() if found else ""
    if kind not in {"fresh", "compile-only"} or (kind == "compile-only") != bool(reason):
        raise BadMarker(f"{path}:{number}: {line.strip()!r} is neither `fresh` nor `compile-only, REASON`")
    return kind, reason


def _body(path: Path, numbered: Iterator[tuple[int, str]], fence: re.Match[str]) -> str:
    """The lines up to the closing fence, which is taken too."""
    end = re.compile(rf"^ *{fence['ticks'][0]}{{{len(fence['ticks'])},}} *$")
    body: list[str] = []
    for _, line in numbered:
        if end.match(line):
            return textwrap.dedent("".join(body))
        body.append(line + "\n")
    raise BadMarker(f"{path}: a block that is never closed")


class Page:
    """A page whose blocks are run one after the other.

    Attributes:
        module: What the blocks define, since the last fresh one.
    """

    def __init__(self, name: str) -> None:
        self.path = ROOT / name
        self.module = self._new_module()

    def run(self, *, until: str | None = None) -> dict[str, Any]:
        """Run the blocks, those under the heading `until` being the last, and return what they define."""
        blocks = python_blocks_of(self.path)
        if until is not None:
            under = [index for index, block in enumerate(blocks) if block.heading == until]
            assert under, f"{self.path.name} has no python block under the heading {until!r}"
            blocks = blocks[: under[-1] + 1]
        for block in blocks:
            self.run_block(block)
        return vars(self.module)

    def run_block(self, block: Block) -> None:
        """Run one block, or compile it where it says so."""
        if block.marker == "fresh":
            self.module = self._new_module()
        code = block.compiled()
        if block.marker != "compile-only":
            exec(code, vars(self.module))

    def tests(self) -> dict[str, Any]:
        """The test functions that the blocks define."""
        return {
            name: value
            for name, value in vars(self.module).items()
            if name.startswith("test_") and inspect.isfunction(value)
        }

    def _new_module(self) -> ModuleType:
        """A module that is found by its name: Pydantic and dataclasses look their classes' modules up."""
        module = ModuleType(f"docs_{self.path.stem.replace('-', '_').lower()}")
        sys.modules[module.__name__] = module
        return module

    def forget(self) -> None:
        """Take the module away again."""
        sys.modules.pop(self.module.__name__, None)
