"""Plots for the documentation, drawn from the results of a run: `python -m benchmarks plots FILE`.

Matplotlib is imported by `theme` and the modules of drawings, and these by nothing but this module.
"""

import argparse
import json
from pathlib import Path

from benchmarks import theme
from benchmarks.drawings import DRAWINGS
from benchmarks.machine import ROOT

FOLDER = ROOT / "docs" / "assets" / "performance"


def draw(results: Path, folder: Path) -> list[Path]:
    """Draw what the results hold figures for, each into a file of its own.

    The same figures give the same bytes.
    """
    record = json.loads(results.read_text())
    theme.use()
    drawn = []
    for name, drawing in DRAWINGS.items():
        figure = drawing(record)
        if figure is not None:
            drawn.append(folder / f"{name}.svg")
            theme.save(figure, drawn[-1])
            print(f"drawn: {drawn[-1]}")
    return drawn


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks plots", description="Draw the figures of a run.")
    parser.add_argument("file", type=Path, help="what a run has written to benchmarks/results/")
    help_text = f"where to (default: {FOLDER.relative_to(ROOT)})"
    parser.add_argument("--into", type=Path, metavar="DIR", default=FOLDER, help=help_text)
    arguments = parser.parse_args(words)
    if not arguments.file.is_file():
        parser.error(f"no such file: {arguments.file}")
    if not draw(arguments.file, arguments.into):
        parser.error(f"it has no figures that a plot shows: {arguments.file}")
    return 0
