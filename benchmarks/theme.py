"""How plots look: legible on light and on dark pages, and the same bytes for the same figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

INK = "#84888e"
"""Text and axes: a grey with the same contrast against white and against a dark page."""

TIMES = "\N{MULTIPLICATION SIGN}"

FAINT = "#84888e40"
BLUE, ORANGE, PINK, GREEN, GREY = "#2f84c6", "#e08214", "#c2588f", "#1b9e77", "#9a9da3"
"""Told apart by readers with any kind of colour vision, also by their lightness."""

WIDTH = 7.2
"""Inches: 690 pixels, the width of a page's text."""

ROW = 0.27
"""Inches."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "fastapi-rooms",  # ids that do not change from run to run
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # where a reader lacks it, the browser's own
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.2,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def use() -> None:
    """Draw all figures like this from now on."""
    style.use(["default", _STYLE])


def save(figure: Figure, path: Path) -> None:
    """Write an SVG that says nothing of when and with what it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(path, format="svg", metadata=about, bbox_inches="tight", pad_inches=0.05)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def rows(axes: Axes, labels: list[str]) -> None:
    """Name the rows of a plot, the first at the top; rows need no grid lines and no ticks."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def whisker(axes: Axes, y: float, values: Sequence[float]) -> None:
    """From the least to the greatest, along a row."""
    axes.plot([min(values), max(values)], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")


def panels(count: int, *, rows: float) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, that share their axes; its height is for so many rows."""
    figure = Figure(figsize=(WIDTH, rows * ROW + 0.5), layout="constrained")
    return figure, list(figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0])


def label(axes: Axes, x: float, y: float, text: str, **looks: Any) -> None:
    """Write beside a mark, on its right."""
    axes.annotate(text, (x, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5, **looks)


def legend(figure: Figure, keys: Mapping[str, Artist]) -> None:
    """Say above the panels what is what."""
    figure.legend(keys.values(), keys.keys(), loc="outside upper left", ncols=len(keys), columnspacing=1.4)


def mark(colour: str, shape: str) -> Artist:
    """A mark for the legend."""
    return Line2D([], [], color=colour, marker=shape, linestyle="")


def patch(colour: str, *, alpha: float = 1) -> Artist:
    """A bar for the legend."""
    return Patch(color=colour, alpha=alpha)


def spread() -> Artist:
    """A whisker for the legend."""
    return Line2D([], [], color=INK, linewidth=1.4)
