"""The plots of the fan-out: ratios, pair by pair."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks import theme

Record = Mapping[str, Any]

OURS = "rooms-shared"
SOLID = 0.75
_W = {"1000x128xW1": "W = 1", "1000x128xW4": "W = 4", "1000x128xW32": "W = 32"}
_MARKS = dict(zip(_W, ((theme.BLUE, "o"), (theme.ORANGE, "s"), (theme.PINK, "D")), strict=True))
_COMPRESSION = {"1000x1024xW4": "plain", "1000x1024xW4xdeflate": "deflate negotiated"}
_SAME_SERVER = {"rooms": "uvicorn", "rooms-hypercorn": "hypercorn", "rooms-granian": "granian"}


def fanout(record: Record) -> Figure | None:
    """Ours with shared frames against everyone, by the number of broadcasts on their way."""
    return _against_everyone(record, _W)


def fanout_deflate(record: Record) -> Figure | None:
    """The same with 1 KiB, plain and compressed."""
    return _against_everyone(record, _COMPRESSION)


def fanout_standard(record: Record) -> Figure | None:
    """Ours in the standard way against the tutorial manager on the same server."""
    found = {
        (one["subject"], one["cell"]): one["per_second"]
        for one in record.get("fanout", {}).get("ratios", ())
        if one["subject"] in _SAME_SERVER and one["reference"].startswith("tutorial") and one["cell"] in _W
    }
    if not found:
        return None
    names = [name for name in _SAME_SERVER if any(subject == name for subject, _ in found)]
    figure, (axes,) = theme.panels(1, rows=len(names) * 2 + 1)
    for (name, cell), ratios in found.items():
        colour, shape = _MARKS[cell]
        y = names.index(name) + (list(_W).index(cell) - 1) * 0.26
        theme.whisker(axes, y, ratios)
        axes.plot(median(ratios), y, shape, color=colour, markersize=6)
        theme.label(axes, max(ratios), y, f"{median(ratios):.2f}")
    axes.axvline(1, color=theme.INK, linewidth=1)
    theme.rows(axes, [_SAME_SERVER[name] for name in names])
    axes.set_xlim(right=axes.get_xlim()[1] * 1.03)
    axes.set_xlabel("deliveries per second: ours in the standard way ÷ the tutorial manager on the same server")
    keys = {title: theme.mark(*_MARKS[cell]) for cell, title in _W.items()}
    theme.legend(figure, {**keys, "all pairs": theme.spread()})
    return figure


def _against_everyone(record: Record, cells: Mapping[str, str]) -> Figure | None:
    found = {
        (one["cell"], one["reference"]): one["per_second"]
        for one in record.get("fanout", {}).get("ratios", ())
        if one["subject"] == OURS and one["cell"] in cells
    }
    if not found:
        return None
    shown = [cell for cell in cells if any(cell == one for one, _ in found)]
    names = sorted({name for _, name in found}, key=lambda name: _typical(found, name), reverse=True)
    figure, panels = theme.panels(len(shown), rows=len(names) + 2)
    for axes, cell in zip(panels, shown, strict=True):
        for y, name in enumerate(names):
            _ratio_bar(axes, y, found.get((cell, name), ()))
        axes.set_title(cells[cell])
        axes.axvline(1, color=theme.INK, linewidth=1)
        theme.rows(axes, [record["fanout"]["titles"][name] for name in names])
    _log_ratios(panels[0])
    figure.supxlabel("deliveries per second: ours with shared frames ÷ the other's, log scale", fontsize=9)
    keys = {"ours delivers more": theme.BLUE, "the other delivers more": theme.ORANGE}
    patches = {text: theme.patch(colour, alpha=SOLID) for text, colour in keys.items()}
    theme.legend(figure, {**patches, "all pairs": theme.spread()})
    return figure


def _typical(found: Mapping[tuple[str, str], Sequence[float]], name: str) -> float:
    return median(median(ratios) for (_, one), ratios in found.items() if one == name)


def _ratio_bar(axes: Axes, y: float, ratios: Sequence[float]) -> None:
    if not ratios:
        theme.label(axes, 1, y, "takes no part", alpha=0.7)
        return
    value = median(ratios)
    axes.barh(y, value - 1, left=1, color=theme.BLUE if value >= 1 else theme.ORANGE, alpha=SOLID, height=0.62)
    theme.whisker(axes, y, ratios)
    digits = 2 if value < 1 else 1 if value < 10 else 0
    theme.label(axes, max(1, *ratios), y, f"{value:.{digits}f}{theme.TIMES}")


def _log_ratios(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.25)  # space for the labels
    axes.xaxis.set_major_locator(FixedLocator([0.1, 0.3, 1, 3, 10, 30, 100]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
