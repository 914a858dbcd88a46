"""The plots, each from the record of a run; `None` where the run has no figures for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from math import inf
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks import brokers_drawing, theme
from benchmarks.fanout_drawings import Record, fanout, fanout_deflate, fanout_standard
from benchmarks.report import middle_half
from benchmarks.steps_drawing import steps

_FADED = 0.45
_MARKS = ((theme.GREY, "o"), (theme.BLUE, "s"), (theme.ORANGE, "D"), (theme.PINK, "^"))
_OPERATIONS = {
    "leave": theme.ORANGE,
    "join": theme.BLUE,
    "broadcast": theme.PINK,
    "registry alone: join": theme.GREY,
    "registry alone: leave": theme.GREY,
}


def stall(record: Record) -> Figure | None:
    """What the others notice of clients that stand still."""
    runs: Mapping[str, Mapping[str, Sequence[Record]]] = record.get("stall", {}).get("runs", {})
    if not runs:
        return None
    p99 = {name: {int(number): _p99(those) for number, those in by.items()} for name, by in runs.items()}
    numbers = sorted({number for by_number in p99.values() for number in by_number})
    names = sorted(p99, key=lambda name: _worst(p99[name]))
    figure, (axes,) = theme.panels(1, rows=len(names) * (0.6 + 0.3 * len(numbers)) + 1)
    finite = [time for by in p99.values() for times in by.values() for time in times if time < inf]
    stops = 3 * max(finite, default=1000.0)
    marks = dict(zip(numbers, cycle(_MARKS)))
    for y, name in enumerate(names):
        found = [(number, [min(time, stops) for time in times]) for number, times in sorted(p99[name].items())]
        steps = [y + (numbers.index(number) - (len(numbers) - 1) / 2) * 0.8 / len(numbers) for number, _ in found]
        axes.plot([median(times) for _, times in found], steps, color=theme.FAINT, linewidth=3)
        for (number, times), step in zip(found, steps, strict=True):
            colour, shape = marks[number]
            theme.whisker(axes, step, times)
            axes.plot(median(times), step, shape, color=colour, markersize=5)
    _times_and_stops(axes, stops)
    theme.rows(axes, [record["stall"]["titles"][name] for name in names])
    axes.set_xlabel("milliseconds from a broadcast to its last delivery among those that read, p99, log scale")
    everyone = f"of {record['stall']['connections']:,} stalled"
    keys = {f"{number or 'none'} {everyone}": theme.mark(*marks[number]) for number in numbers}
    theme.legend(figure, {**keys, "all runs": theme.spread()})
    return figure


def idle(record: Record) -> Figure | None:
    """Memory for each connection that does nothing."""
    if "idle" not in record:
        return None
    cells = sorted(record["idle"]["cells"], key=lambda cell: (cell["deflate"], median(cell["quiet_kb"])))
    figure, (axes,) = theme.panels(1, rows=len(cells) * 1.3 + 1)
    for y, cell in enumerate(cells):
        quiet, used = median(cell["quiet_kb"]), median(cell["used_kb"])
        colour = theme.GREY if cell["server"] == "bare" else theme.BLUE
        axes.barh(y, quiet, color=colour, height=0.62)
        axes.barh(y, used - quiet, left=quiet, color=colour, alpha=_FADED, height=0.62)
        theme.whisker(axes, y, cell["used_kb"])
        theme.label(axes, max(cell["used_kb"]), y, f"{quiet:.1f}, then {used:.1f}")
    titles, kinds = record["idle"]["titles"], {False: "plain", True: "deflate"}
    theme.rows(axes, [f"{titles[cell['server']]}, {kinds[cell['deflate']]}" for cell in cells])
    axes.set_xlim(right=axes.get_xlim()[1] * 1.15)
    axes.set_xlabel("resident memory of the server, KB for each idle connection")
    ours = {"ours, never used": theme.patch(theme.BLUE)}
    more = {"more, after 1 KiB each way": theme.patch(theme.BLUE, alpha=_FADED)}
    theme.legend(figure, {**ours, **more, "without any manager": theme.patch(theme.GREY)})
    return figure


def memberships(record: Record) -> Figure | None:
    """The cost of an operation over the number of memberships."""
    costs = record.get("rooms", {}).get("growth_nanoseconds")
    if not costs:
        return None
    figure, (axes,) = theme.panels(1, rows=11)
    axes.set(xscale="log", yscale="log", xlabel="memberships", ylabel="microseconds for one operation")
    sizes = sorted(map(int, costs))
    axes.set_title(
        f"{theme.TIMES}: from {sizes[0]:,} to {sizes[-1]:,} memberships; bands: the middle half of the batches"
    )
    ends: list[tuple[float, str, str]] = []
    for operation, colour in _OPERATIONS.items():
        samples = [[value / 1e3 for value in costs[str(size)][operation]] for size in sizes]
        medians = [median(values) for values in samples]
        lows, highs = zip(*map(middle_half, samples), strict=True)
        axes.fill_between(sizes, lows, highs, color=colour, alpha=0.25, linewidth=0)
        axes.plot(sizes, medians, color=colour, marker="o", markersize=4, linewidth=1.6)
        ends.append((medians[-1], f"{operation} {theme.TIMES}{medians[-1] / medians[0]:.2f}", colour))
    _end_labels(axes, sizes[-1], ends)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return figure


def _p99(runs: Iterable[Record]) -> list[float]:
    return [inf if one["figures"]["stopped"] else one["figures"]["p99_ms"] for one in runs]


def _worst(p99: Mapping[int, Sequence[float]]) -> tuple[float, float]:
    return median(p99[max(p99)]), median(p99[min(p99)])


def _times_and_stops(axes: Axes, stops: float) -> None:
    """Beyond all times there is a place for those that deliver nothing any more."""
    axes.set_xscale("log")
    low, _ = axes.get_xlim()
    steps = (digit * 10.0**power for power in range(-3, 7) for digit in (1, 3))
    ticks = [step for step in steps if low < step < stops / 2]
    axes.set_xlim(low, stops * 1.5)
    axes.set_xticks([*ticks, stops], [*(f"{tick:g}" for tick in ticks), "stops"])
    axes.xaxis.set_minor_locator(NullLocator())


def _end_labels(axes: Axes, x: float, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name each line at its end; labels of lines that end close together make room for each other."""
    least = 1.4  # between two labels, as a factor on a log scale
    y = 0.0
    for value, text, colour in sorted(ends):
        y = max(value, y * least)
        theme.label(axes, x, y, f" {text}", color=colour)


DRAWINGS: dict[str, Callable[[dict[str, Any]], Figure | None]] = {
    "fanout": fanout,
    "fanout-deflate": fanout_deflate,
    "fanout-standard": fanout_standard,
    "steps": steps,
    "stall": stall,
    "idle": idle,
    "memberships": memberships,
    "brokers-latency": brokers_drawing.latency,
    "brokers-throughput": brokers_drawing.throughput,
}
