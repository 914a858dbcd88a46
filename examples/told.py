"""What is told of an arena, in integers; and a world that goes on from what was told last. Pure."""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from .arena import Arena
from .beetles import Beetle, Spark, inside, point


def state(arena: Arena) -> dict[str, Any]:
    """All that moves: beetles by place, with where and how fast, score and flags; sparks by number, with worth."""
    every = arena.beetles.values()
    return {
        "t": round(arena.clock * 1000),
        "left": max(0, math.ceil(arena.left)),
        "round": arena.round,
        "playing": arena.playing,
        "beetles": [[one.place, *point(one.at), *point(one.speed), one.score, one.flags] for one in every],
        "sparks": [[one.number, *point(one.at), one.worth] for one in arena.sparks],
    }


def players(arena: Arena) -> list[list[Any]]:
    """Place, user and name of each."""
    return [[one.place, one.user, one.name] for one in arena.beetles.values()]


def resumed(chance: Random, told: dict[str, Any], who: Sequence[Sequence[Any]]) -> Arena:
    """The world that another process has told of last, to the second; with those whose player is known."""
    arena, names = Arena(chance), {place: (user, name) for place, user, name in who}
    arena.clock, arena.left, arena.playing = told["t"] / 1000, told["left"], told["playing"]
    arena.round, arena.due = told["round"], arena.clock
    for place, x, y, vx, vy, score, _ in told["beetles"]:
        if place in names:
            beetle = Beetle(*names[place], place, inside(complex(x, y)), complex(vx, vy), score=score)
            arena.beetles[beetle.user] = beetle
    arena.sparks = [Spark(number, complex(x, y), worth) for number, x, y, worth in told["sparks"]]
    arena.number = max((one.number for one in arena.sparks), default=0)
    arena.made = sum(one.score for one in arena.beetles.values()) + sum(one.worth for one in arena.sparks)
    return arena
