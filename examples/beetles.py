"""The bodies of the game: how beetles glide, dash and meet. Pure; see `arena.py`.

Points and speeds are complex numbers, in units of which the field has 16,000 by 10,000, whatever a window has.
"""

import math
from dataclasses import dataclass

WIDTH, HEIGHT, RADIUS, REACH = 16_000, 10_000, 320, 480
"""The field, how big a beetle is, and from how far it gathers."""
THRUST, DRAG, DASH, BOUNCE = 13_000, 2.1, 9_500, 0.7
STRIKES, COOLS, SAFE, STUNNED = 0.4, 1.5, 1.6, 0.5
"""Seconds: a dash strikes for so long, and is ready again after so long; who was struck is safe for so long, and
gathers nothing at first."""


@dataclass(slots=True)
class Beetle:
    user: str
    name: str
    place: int
    at: complex
    speed: complex = 0j
    steer: complex = 0j
    score: int = 0
    strikes: float = 0.0
    cools: float = 0.0
    safe: float = 0.0
    away: float = 0.0

    @property
    def flags(self) -> int:
        """For pages: 1 it dashes, 2 nobody can strike it, 4 its player is away, 8 it may dash."""
        return (self.strikes > 0) + 2 * (self.safe > 0) + 4 * (self.away > 0) + 8 * (self.cools <= 0)


@dataclass(slots=True)
class Spark:
    number: int
    at: complex
    worth: int = 1


def dash(beetle: Beetle) -> None:
    """Forward, with force: where it is steered, else where it moves."""
    if beetle.cools <= 0:
        ahead = beetle.steer or beetle.speed or 1
        beetle.speed += DASH * ahead / abs(ahead)
        beetle.strikes, beetle.cools = STRIKES, COOLS


def glide(beetle: Beetle, seconds: float) -> None:
    """Move one, which bounces off the walls."""
    beetle.speed += THRUST * beetle.steer * seconds
    beetle.speed *= math.exp(-DRAG * seconds)
    at, speed = beetle.at + beetle.speed * seconds, beetle.speed
    x, vx = _bounce(at.real, speed.real, WIDTH)
    y, vy = _bounce(at.imag, speed.imag, HEIGHT)
    beetle.at, beetle.speed = complex(x, y), complex(vx, vy)
    beetle.strikes, beetle.cools, beetle.safe = (
        max(0.0, one - seconds) for one in (beetle.strikes, beetle.cools, beetle.safe)
    )


def meet(one: Beetle, other: Beetle) -> bool:
    """Push two apart where they touch; whether they do."""
    between = other.at - one.at
    distance = abs(between)
    if distance >= 2 * RADIUS:
        return False
    normal = between / distance if distance > 1 else complex(1, 0)
    apart = normal * (2 * RADIUS - distance) / 2
    one.at, other.at = inside(one.at - apart), inside(other.at + apart)
    closing = ((one.speed - other.speed) * normal.conjugate()).real
    if closing > 0:
        push = normal * closing * (1 + BOUNCE) / 2
        one.speed, other.speed = one.speed - push, other.speed + push
    return True


def strikes(one: Beetle, other: Beetle) -> bool:
    """Whether one that touches another knocks sparks out of it."""
    return one.strikes > 0 and other.strikes <= 0 and other.safe <= 0 and other.away <= 0


def gathers(beetle: Beetle) -> bool:
    return beetle.away <= 0 and beetle.safe <= SAFE - STUNNED


def inside(at: complex) -> complex:
    """The nearest point at which a beetle fits."""
    return complex(_within(at.real, WIDTH), _within(at.imag, HEIGHT))


def point(at: complex) -> tuple[int, int]:
    return round(at.real), round(at.imag)


def _within(value: float, most: int) -> float:
    return min(most - RADIUS, max(RADIUS, value))


def _bounce(value: float, speed: float, most: int) -> tuple[float, float]:
    near = _within(value, most)
    return near, speed if near == value else -BOUNCE * speed
