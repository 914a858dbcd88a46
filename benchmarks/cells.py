"""The cells of the fan-out's table, and who meets whom in them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.load import Crowd

OURS = "rooms-shared"
SAME_SERVER = (
    ("rooms", "tutorial"),
    ("rooms-hypercorn", "tutorial-hypercorn"),
    ("rooms-granian", "tutorial-granian"),
)
"""Our standard way, and the tutorial manager on the same server."""

_ON_OTHER_SERVERS = {name for pair in SAME_SERVER[1:] for name in pair}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One load.

    Attributes:
        connections: Who gets every broadcast.
        size: Bytes of one message.
        outstanding: Broadcasts that may be on their way at once (W).
        deflate: Whether clients offer compression.
    """

    connections: int
    size: int
    outstanding: int
    deflate: bool = False

    def __str__(self) -> str:
        compression = "xdeflate" if self.deflate else ""
        return f"{self.connections}x{self.size}xW{self.outstanding}{compression}"

    @property
    def crowd(self) -> Crowd:
        return Crowd(connections=self.connections, deflate=self.deflate)


def parse_cell(text: str) -> Cell:
    """Read `1000x128xW4` or `1000x1024xW4xdeflate`.

    Raises:
        ValueError: It is neither.
    """
    found = re.fullmatch(r"(\d+)x(\d+)xW(\d+)(xdeflate)?", text)
    if found is None:
        raise ValueError(f"not a cell: {text!r}; one is 1000x128xW4, or 1000x128xW4xdeflate")
    connections, size, outstanding = map(int, found.groups()[:3])
    return Cell(connections=connections, size=size, outstanding=outstanding, deflate=found[4] is not None)


ALL_CELLS = tuple(
    Cell(connections=connections, size=size, outstanding=outstanding, deflate=deflate)
    for connections, deflate, size, outstanding in product(
        (100, 1000, 5000), (False, True), (128, 1024), (1, 4, 32)
    )
)


def meetings(names: Sequence[str]) -> list[tuple[str, str]]:
    """Who is compared with whom: shared frames with every other, and each standard way with its tutorial.

    On other servers than uvicorn the latter is enough. Without shared frames, the first named takes their place.
    """
    same = [pair for pair in SAME_SERVER if set(pair) <= set(names)]
    settled = {name for pair in same for name in pair} & _ON_OTHER_SERVERS
    subject = OURS if OURS in names else names[0]
    others = [(subject, name) for name in names if name != subject and name not in settled]
    return [*(pair for pair in others if pair not in same), *same]


def line_up(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[tuple[int, int]]]:
    """In which order they run, so that each pair is adjacent in time; and where each pair stands in that order.

    Two pairs in a row that have a contestant in common share its run: A S B.
    """
    order: list[str] = []
    places: list[tuple[int, int]] = []
    for subject, reference in pairs:
        if not order or order[-1] not in {subject, reference}:
            order.append(reference)
        order.append(subject if order[-1] == reference else reference)
        last = len(order) - 1
        places.append((last, last - 1) if order[last] == subject else (last - 1, last))
    return order, places
