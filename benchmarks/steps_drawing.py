"""The profile of a broadcast as a plot."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from benchmarks import sampler, theme

_COLOURS = {
    sampler.WRITE: theme.GREY,
    "building frames": theme.ORANGE,
    "uvicorn's send": theme.PINK,
    "Starlette": theme.GREEN,
    "the application's loop": "#b7b127",
    "ours: the fan-out": theme.BLUE,
    "ours: the end of the turn": "#8ab8e0",
    sampler.READ: "#5d6066",
}


def steps(record: Mapping[str, Any]) -> Figure | None:
    """What one delivery costs the server, step by step."""
    costs: Mapping[str, Mapping[str, Mapping[str, float]]] = record.get("steps", {}).get("microseconds", {})
    if not costs:
        return None
    rows = [
        (f"{record['steps']['titles'][name]}, W={outstanding}", found)
        for name, cells in costs.items()
        for outstanding, found in cells.items()
    ]
    figure, (axes,) = theme.panels(1, rows=len(rows) * 1.2 + 3)
    for y, (_, found) in enumerate(rows):
        left = 0.0
        for step, colour in _COLOURS.items():
            axes.barh(y, found.get(step, 0.0), left=left, color=colour, height=0.66)
            left += found.get(step, 0.0)
        theme.label(axes, left, y, f"{left:.1f}" if left >= 1 else f"{left:.2f}")
    theme.rows(axes, [title for title, _ in rows])
    axes.set_xlim(right=axes.get_xlim()[1] * 1.05)
    axes.set_xlabel("microseconds of the server's CPU for one delivery of 128 bytes, 1,000 connections")
    keys = {step: theme.patch(colour) for step, colour in _COLOURS.items()}
    figure.legend(keys.values(), keys.keys(), loc="outside upper left", ncols=3, columnspacing=1.4)
    return figure
