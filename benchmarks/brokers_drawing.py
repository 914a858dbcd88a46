"""The plot of the benchmark of brokers."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks import theme

_OURS = "fastapi-rooms"
_ENGINES = {"redis": "Redis", "nats": "NATS", "postgres": "PostgreSQL"}


def latency(record: Mapping[str, Any]) -> Figure | None:
    """From a publish to a delivery in another process, beside the bare driver."""
    engines: Mapping[str, Mapping[str, Any]] = record.get("brokers", {}).get("latency", {})
    if not engines:
        return None
    rows = [(engine, title, one) for engine, by_title in engines.items() for title, one in by_title.items()]
    figure, (axes,) = theme.panels(1, rows=len(rows) * 1.2 + 1)
    for y, (_, title, one) in enumerate(rows):
        colour = _colour(title)
        axes.plot([median(one["p50_us"]), median(one["p99_us"])], [y, y], color=theme.FAINT, linewidth=3)
        axes.plot(median(one["p50_us"]), y, "o", color=colour, markersize=6)
        axes.plot(median(one["p99_us"]), y, "D", color=colour, markersize=5)
        theme.label(
            axes, median(one["p99_us"]), y, f"{median(one['p50_us']):,.0f}, p99 {median(one['p99_us']):,.0f}"
        )
    axes.set_xscale("log")
    theme.rows(axes, [f"{_ENGINES.get(engine, engine)}: {title}" for engine, title, _ in rows])
    axes.set_xlim(right=axes.get_xlim()[1] * 2)
    axes.xaxis.set_major_locator(FixedLocator([100, 200, 500, 1_000, 2_000, 5_000, 10_000]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("microseconds from publish to delivery in another process, log scale")
    keys = {"p50": theme.mark(theme.GREY, "o"), "p99": theme.mark(theme.GREY, "D")}
    theme.legend(figure, {**keys, "ours": theme.patch(theme.BLUE), "bare driver": theme.patch(theme.GREY)})
    return figure


def throughput(record: Mapping[str, Any]) -> Figure | None:
    """Messages that are delivered per second on one Redis."""
    by_rooms: Mapping[str, Mapping[str, Any]] = record.get("brokers", {}).get("throughput", {})
    if not by_rooms:
        return None
    titles = list(dict.fromkeys(title for by_title in by_rooms.values() for title in by_title))
    figure, panels = theme.panels(len(by_rooms), rows=len(titles) * 1.3 + 1)
    for axes, (rooms, by_title) in zip(panels, by_rooms.items(), strict=True):
        _bars(axes, titles, by_title)
        axes.set_title("1 room" if rooms == "1" else f"{int(rooms):,} rooms")
        axes.set_xlabel("messages delivered per second")
    theme.legend(figure, {"medians": theme.patch(theme.GREY), "all runs": theme.spread()})
    return figure


def _bars(axes: Axes, titles: Sequence[str], by_title: Mapping[str, Any]) -> None:
    for y, title in enumerate(titles):
        if title not in by_title:
            theme.label(axes, 0, y, "could not take part")
            continue
        rates = by_title[title]["per_second"]
        axes.barh(y, median(rates), color=_colour(title), height=0.62)
        theme.whisker(axes, y, rates)
        lost = by_title[title]["lost"]
        theme.label(axes, max(rates), y, f"{median(rates):,.0f}" + (f", {lost:,} lost" if lost else ""))
    theme.rows(axes, list(titles))
    axes.set_xlim(right=axes.get_xlim()[1] * 1.25)


def _colour(title: str) -> str:
    return theme.BLUE if title == _OURS else theme.GREY
