"""The world of the game, by itself: whatever players do, it stays a world."""

import cmath
import json
import math
from random import Random

import pytest
from examples.arena import AWAY, MOST_SPARKS, PLAYERS, PODIUM, ROUND, Arena
from examples.beetles import COOLS, HEIGHT, RADIUS, REACH, SAFE, WIDTH, Beetle, Spark
from examples.told import players, resumed, state
from hypothesis import given, settings
from hypothesis import strategies as st

TICK = 0.04
USERS = [f"user-{number}" for number in range(PLAYERS + 2)]


def arena_of(*names: str, seed: int = 1) -> Arena:
    arena = Arena(Random(seed))
    for name in names:
        assert arena.enter(name, name.title())
    return arena


def pass_time(arena: Arena, seconds: float) -> None:
    for _ in range(round(seconds / TICK)):
        arena.step(TICK)


def worth(arena: Arena) -> int:
    return sum(one.score for one in arena.beetles.values()) + sum(spark.worth for spark in arena.sparks)


def duel(*, score: int, gap: float = 3 * RADIUS) -> tuple[Arena, Beetle, Beetle]:
    """One who is about to dash, to the right, into another, who has so many sparks."""
    arena = arena_of("ada", "bob")
    ada, bob = arena.beetles.values()
    ada.at, bob.at = complex(8_000, 5_000), complex(8_000 + gap, 5_000)
    ada.safe = bob.safe = 0.0
    bob.score = arena.made = score
    arena.due = math.inf  # no new sparks
    return arena, ada, bob


commands = st.one_of(
    st.tuples(st.just("enter"), st.sampled_from(USERS)),
    st.tuples(st.just("leave"), st.sampled_from(USERS)),
    st.tuples(st.just("dash"), st.sampled_from(USERS)),
    st.tuples(st.just("steer"), st.sampled_from(USERS), st.integers(-100, 100), st.integers(-100, 100)),
    st.tuples(st.just("here"), st.sets(st.sampled_from(USERS))),
    st.tuples(st.just("step"), st.floats(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.lists(commands, max_size=60))
def test_whatever_players_do_all_is_within_the_field_and_no_spark_is_lost_or_made_up(
    seed: int, done: list[tuple[str, ...]]
) -> None:
    arena = Arena(Random(seed))
    for what, *details in done:
        if what == "enter":
            arena.enter(details[0], "Somebody")
        elif what == "wait":
            pass_time(arena, int(details[0]) * TICK)
        else:
            getattr(arena, what)(*details)
        assert worth(arena) == arena.made
        assert len(arena.beetles) <= PLAYERS
        assert len({one.place for one in arena.beetles.values()}) == len(arena.beetles)
        assert len(arena.sparks) <= MOST_SPARKS
        for at in (*(one.at for one in arena.beetles.values()), *(spark.at for spark in arena.sparks)):
            assert cmath.isfinite(at)
            assert RADIUS <= at.real <= WIDTH - RADIUS
            assert RADIUS <= at.imag <= HEIGHT - RADIUS
        assert all(cmath.isfinite(one.speed) and abs(one.speed) < 40_000 for one in arena.beetles.values())


@given(st.integers(-100, 100), st.integers(-100, 100))
def test_no_direction_is_faster_than_another(x: int, y: int) -> None:
    arena = arena_of("ada")
    arena.steer("ada", x, y)
    assert abs(arena.beetles["ada"].steer) <= 1.0000001


def test_a_beetle_glides_on_and_comes_to_rest() -> None:
    arena = arena_of("ada")
    ada = arena.beetles["ada"]
    ada.at = complex(2_000, 5_000)
    arena.steer("ada", 100, 0)
    pass_time(arena, 0.4)
    fast = ada.speed.real
    arena.steer("ada", 0, 0)
    began = ada.at.real
    pass_time(arena, 0.2)
    assert ada.at.real > began
    assert 0 < ada.speed.real < fast
    pass_time(arena, 5)
    assert abs(ada.speed) < 10


def test_what_is_near_is_gathered() -> None:
    arena = arena_of("ada")
    ada = arena.beetles["ada"]
    ada.at, ada.safe, arena.due = complex(5_000, 5_000), 0.0, math.inf
    arena.sparks = [Spark(1, ada.at + REACH - 50, 1), Spark(2, ada.at - 50, 5), Spark(3, ada.at + 2 * REACH, 1)]
    arena.made = 7
    arena.step(TICK)
    assert ada.score == 6
    assert [spark.number for spark in arena.sparks] == [3]


def test_a_dash_knocks_a_third_out_of_another_and_then_it_is_safe_for_a_while() -> None:
    arena, ada, bob = duel(score=9)
    arena.dash("ada")
    pass_time(arena, 0.2)
    assert bob.score == 5
    assert worth(arena) == 9
    assert SAFE - 0.25 < bob.safe <= SAFE
    ada.at, bob.at = complex(8_000, 5_000), complex(8_000 + 2.1 * RADIUS, 5_000)
    ada.cools, arena.sparks = 0.0, []
    arena.dash("ada")
    pass_time(arena, 0.2)
    assert bob.score == 5


def test_who_only_touches_takes_nothing_and_a_dash_must_cool() -> None:
    arena, ada, bob = duel(score=9, gap=1.9 * RADIUS)
    pass_time(arena, 0.2)
    assert (ada.score, bob.score) == (0, 9)
    arena.dash("ada")
    fast = abs(ada.speed)
    arena.dash("ada")
    assert abs(ada.speed) == fast
    pass_time(arena, COOLS + TICK)
    assert state(arena)["beetles"][0][6] & 8


def test_of_two_who_dash_into_each_other_neither_loses() -> None:
    arena, ada, bob = duel(score=6)
    bob.steer = complex(-1, 0)
    arena.dash("ada")
    arena.dash("bob")
    pass_time(arena, 0.2)
    assert (ada.score, bob.score) == (0, 6)


def test_two_in_the_very_same_point_come_apart() -> None:
    arena, ada, bob = duel(score=0)
    bob.at = ada.at
    pass_time(arena, 0.2)
    assert abs(ada.at - bob.at) >= 2 * RADIUS - 1


def test_the_thirteenth_finds_no_place_until_somebody_leaves() -> None:
    arena = arena_of(*USERS[:PLAYERS])
    assert not arena.enter("late", "Late")
    assert "late" not in arena.beetles
    place = arena.beetles[USERS[3]].place
    arena.leave(USERS[3])
    assert arena.enter("late", "Late")
    assert arena.beetles["late"].place == place


def test_who_is_away_keeps_the_place_for_half_a_minute_and_is_robbed_by_nobody() -> None:
    arena, ada, bob = duel(score=9)
    arena.here({"ada"})
    arena.dash("ada")
    pass_time(arena, 1)
    assert bob.score == 9
    at = bob.at
    pass_time(arena, AWAY - 2)
    assert arena.enter("bob", "Bobby")
    assert (bob.score, bob.name, bob.away) == (9, "Bobby", 0)
    assert abs(bob.at - at) < 2_000
    ada.at = complex(1_000, 1_000)
    arena.here({"ada"})
    pass_time(arena, AWAY + 0.2)
    assert "bob" not in arena.beetles
    assert worth(arena) == 9


def test_after_a_round_comes_the_podium_and_then_all_begin_with_nothing() -> None:
    arena = arena_of("ada")
    pass_time(arena, 20)
    ada = arena.beetles["ada"]
    arena.sparks.append(Spark(900, ada.at, 3))
    arena.made += 3
    pass_time(arena, ROUND - 20 + TICK)
    assert not arena.playing
    score = ada.score
    assert score >= 3
    pass_time(arena, PODIUM - 1)
    assert ada.score == score
    pass_time(arena, 1 + 2 * TICK)
    assert (arena.playing, arena.round, ada.score) == (True, 2, 0)
    assert arena.left > ROUND - 1


def test_what_is_late_is_skipped() -> None:
    arena = arena_of("ada")
    arena.step(3_600)
    assert arena.clock == pytest.approx(0.1)
    arena.step(0)


@given(st.integers(0, 99), st.integers(1, PLAYERS), st.integers(1, 400))
@settings(max_examples=25, deadline=None)
def test_a_world_goes_on_from_what_was_told_of_it(seed: int, count: int, ticks: int) -> None:
    arena = arena_of(*USERS[:count], seed=seed)
    for number, user in enumerate(USERS[:count]):
        arena.steer(user, 100 - 20 * number, 7 * number)
    pass_time(arena, ticks * TICK)
    told, who = json.loads(json.dumps(state(arena))), json.loads(json.dumps(players(arena)))
    again = resumed(Random(0), told, who)
    assert {**state(again), "beetles": []} == {**told, "beetles": []}
    assert [row[:6] for row in state(again)["beetles"]] == [row[:6] for row in told["beetles"]]
    assert players(again) == who
    assert worth(again) == again.made
    again.step(TICK)
    numbers = [spark.number for spark in again.sparks]
    assert len(set(numbers)) == len(numbers)


def test_a_full_world_is_told_in_little() -> None:
    arena = arena_of(*USERS[:PLAYERS])
    pass_time(arena, 30)
    assert len(json.dumps(state(arena), separators=(",", ":"))) < 2_500
