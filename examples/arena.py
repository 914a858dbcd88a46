"""The world of the game: who plays, the sparks that they gather, and rounds of two minutes.

Pure: it knows no socket, no loop and no clock. Time passes by `step`, chance is the `Random` that is given.
"""

import cmath
import math
from collections.abc import Collection
from itertools import combinations, permutations
from random import Random

from .beetles import HEIGHT, REACH, SAFE, WIDTH, Beetle, Spark, dash, gathers, glide, inside, meet, strikes

PLAYERS, MOST_SPARKS = 12, 80
GREAT = 5
"""What one in twelve sparks is worth."""
ROUND, LAST_CALL, PODIUM, AWAY = 120.0, 30.0, 12.0, 30.0
"""Seconds: a round, its end with twice as many sparks, the pause, and how long who has gone keeps the place."""
LONGEST_STEP, SMALLEST_STEP = 0.1, 0.05


class Arena:
    """One world. What beetles have and what lies about is always all that was made in the round."""

    def __init__(self, chance: Random) -> None:
        self.beetles: dict[str, Beetle] = {}
        self.sparks: list[Spark] = []
        self.clock, self.left, self.playing, self.round = 0.0, ROUND, True, 1
        self.made, self.number, self.due = 0, 0, 0.0  # sparks: their worth, how many, and when the next one comes
        self._chance = chance

    def enter(self, user: str, name: str) -> bool:
        """A player comes, or comes back to a place; False where all are taken."""
        free = set(range(PLAYERS)) - {one.place for one in self.beetles.values()}
        if user in self.beetles:
            self.beetles[user].name, self.beetles[user].away = name, 0.0
        elif free:
            self.beetles[user] = Beetle(user, name, min(free), self._somewhere(), safe=SAFE)
        return user in self.beetles

    def leave(self, user: str) -> None:
        """A player gives the place up; the sparks stay."""
        if (beetle := self.beetles.pop(user, None)) is not None:
            self._scatter(beetle.at, beetle.score)

    def steer(self, user: str, x: int, y: int) -> None:
        """Full thrust is 100, in any direction."""
        if (beetle := self.beetles.get(user)) is not None:
            wanted = complex(x, y) / 100
            beetle.steer = wanted / max(1.0, abs(wanted))

    def dash(self, user: str) -> None:
        if user in self.beetles:
            dash(self.beetles[user])

    def here(self, users: Collection[str]) -> None:
        """Whose players are connected: the others' beetles wait for them, and nobody can rob those."""
        for beetle in self.beetles.values():
            if beetle.user in users:
                beetle.away = 0.0
            elif not beetle.away:
                beetle.away, beetle.steer = SMALLEST_STEP, 0j

    def step(self, seconds: float) -> None:
        """Let time pass: 0.1 s at most, since what is late is skipped."""
        seconds = min(seconds, LONGEST_STEP)
        self.clock, self.left = self.clock + seconds, self.left - seconds
        for _ in range(parts := math.ceil(seconds / SMALLEST_STEP)):
            self._move(seconds / parts)
        for beetle in tuple(self.beetles.values()):
            beetle.away += seconds if beetle.away else 0
            if beetle.away > AWAY:
                self.leave(beetle.user)
        self._kindle()
        if self.left <= 0:
            self._turn()

    def _move(self, seconds: float) -> None:
        for beetle in self.beetles.values():
            glide(beetle, seconds)
        for pair in combinations(self.beetles.values(), 2):
            if meet(*pair) and self.playing:
                for one, other in permutations(pair):
                    if strikes(one, other):
                        lost = min(other.score, 1 + other.score // 3)
                        other.score, other.safe = other.score - lost, SAFE
                        self._scatter(other.at, lost)
        for beetle in self.beetles.values():
            if self.playing and gathers(beetle):
                for spark in [one for one in self.sparks if abs(one.at - beetle.at) < REACH]:
                    beetle.score += spark.worth
                    self.sparks.remove(spark)

    def _kindle(self) -> None:
        """Sparks come one by one, more for more players, and twice as fast towards the end."""
        if self.playing and self.clock >= self.due:
            self.due = self.clock + (0.2 if self.left < LAST_CALL else 0.4)
            if len(self.sparks) < 10 + 3 * len(self.beetles):
                worth = GREAT if self._chance.random() < 1 / 12 else 1
                self._put(self._somewhere(), worth)
                self.made += worth

    def _somewhere(self) -> complex:
        return inside(complex(self._chance.uniform(0, WIDTH), self._chance.uniform(0, HEIGHT)))

    def _scatter(self, around: complex, worth: int) -> None:
        """Eight sparks at most, out of the reach of whoever lost them."""
        parts = min(8, worth)
        for number in range(parts):
            away = cmath.rect(self._chance.uniform(2, 4) * REACH, self._chance.uniform(0, math.tau))
            self._put(around + away, worth // parts + (number < worth % parts))

    def _put(self, at: complex, worth: int) -> None:
        if len(self.sparks) < MOST_SPARKS:
            self.number += 1
            self.sparks.append(Spark(self.number, inside(at), worth))
        else:
            self.sparks[0].worth += worth

    def _turn(self) -> None:
        """From the round to the podium, or to the next round."""
        self.playing = not self.playing
        if not self.playing:
            self.left = PODIUM
            return
        self.left, self.round, self.made, self.sparks = ROUND, self.round + 1, 0, []
        for beetle in self.beetles.values():
            beetle.score = 0
