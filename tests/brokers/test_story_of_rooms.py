"""Whatever is done in several processes, on any engine, clients get what a simple model says."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from .cast import Client, Phase
from .engines import Engine
from .model import EVERYONE, room_channel, user_channel
from .scale import LONGER, SOAK
from .story import ROOMS, USERS, Story

LONGEST_ACT = 120.0 * LONGER
"""Seconds; every wait within has a shorter deadline."""

MOST_CLIENTS = 8
MOST_OUTAGES = 2

PLACES = st.integers(0, 2)
WHO = st.integers(0, MOST_CLIENTS - 1)
A_ROOM = st.sampled_from(ROOMS)
A_USER = st.sampled_from(USERS)
SOME_USERS = st.lists(A_USER, max_size=1)
SOME = st.lists(WHO, max_size=2)
CODES = st.sampled_from([None, None, 4321])

HAS_CLIENTS = precondition(lambda self: bool(self.story.clients))


def stories(count: int, *, steps: int) -> settings:
    return settings(
        max_examples=count * (20 if SOAK else 1),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


class RoomsMachine(RuleBasedStateMachine):
    """Three processes on an engine that lives."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.failed = False
        self.story = Story(engine)

    def do(self, act: Coroutine[Any, Any, None]) -> None:
        try:
            self.runner.run(asyncio.wait_for(act, LONGEST_ACT))
        except BaseException:
            self.failed = True
            raise

    def client(self, who: int) -> Client:
        return self.story.clients[who % len(self.story.clients)]

    @initialize(crowd=st.lists(st.tuples(PLACES, A_USER, st.lists(A_ROOM, max_size=2)), min_size=3, max_size=6))
    def begin(self, crowd: list[tuple[int, str, list[str]]]) -> None:
        self.do(self.story.begin())
        for place, user, rooms in crowd:
            self.connect(place, user, rooms)

    @precondition(lambda self: len(self.story.clients) < MOST_CLIENTS)
    @rule(place=PLACES, user=A_USER, rooms=st.lists(A_ROOM, max_size=2))
    def connect(self, place: int, user: str, rooms: list[str]) -> None:
        self.do(self.story.connect(place, user))
        for room in rooms:
            self.do(self.story.join(self.story.clients[-1], room, saying=False))

    @HAS_CLIENTS
    @rule(who=WHO, room=A_ROOM, saying=st.booleans())
    def join(self, who: int, room: str, saying: bool) -> None:
        self.do(self.story.join(self.client(who), room, saying=saying))

    @HAS_CLIENTS
    @rule(who=WHO, room=A_ROOM)
    def leave(self, who: int, room: str) -> None:
        self.do(self.story.leave(self.client(who), room))

    @HAS_CLIENTS
    @rule(who=WHO, abruptly=st.booleans())
    def hang_up(self, who: int, abruptly: bool) -> None:
        self.do(self.story.hang_up(self.client(who), abruptly=abruptly))

    @rule(place=PLACES, room=A_ROOM | st.none(), excluded=SOME, excluded_users=SOME_USERS)
    def broadcast(self, place: int, room: str | None, excluded: list[int], excluded_users: list[str]) -> None:
        to = EVERYONE if room is None else room_channel(room)
        by, clients = self.story.processes[place], [self.client(who) for who in excluded if self.story.clients]
        self.do(self.story.say(by, to, excluded=clients, excluded_users=excluded_users))

    @rule(place=PLACES, user=A_USER)
    def send_to_user(self, place: int, user: str) -> None:
        self.do(self.story.say(self.story.processes[place], user_channel(user)))

    @rule(room=A_ROOM, excluded_users=SOME_USERS)
    def publish(self, room: str, excluded_users: list[str]) -> None:
        self.do(self.story.publish(room_channel(room), excluded_users=excluded_users))

    @rule(rooms=st.lists(A_ROOM, min_size=1, max_size=4))
    def say_at_once(self, rooms: list[str]) -> None:
        self.do(self.story.say_at_once([room_channel(room) for room in rooms]))

    @rule(place=PLACES, room=A_ROOM, code=CODES)
    def close_room(self, place: int, room: str, code: int | None) -> None:
        self.do(self.story.close_room(place, room, code=code))

    @rule(place=PLACES, user=A_USER)
    def disconnect_user(self, place: int, user: str) -> None:
        self.do(self.story.disconnect_user(place, user))

    @rule(place=PLACES, room=A_ROOM)
    def ask(self, place: int, room: str) -> None:
        self.do(self.story.ask(place, room))

    @rule(place=PLACES)
    def replace(self, place: int) -> None:
        self.do(self.story.replace(place))

    @rule()
    def settle(self) -> None:
        self.do(self.story.settle())

    @invariant()
    def everybody_is_where_the_model_says(self) -> None:
        self.story.look()

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.do(self.story.settle())
        finally:
            self.do(self.story.end())
            left = asyncio.all_tasks(self.runner.get_loop())
            self.runner.close()
        assert not left, f"tasks were left behind: {left}"


class OutagesMachine(RoomsMachine):
    """The same on an engine that is killed now and then."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.outages = 0

    @precondition(lambda self: self.story.phase is Phase.STEADY and self.outages < MOST_OUTAGES)
    @rule(rooms=st.lists(A_ROOM, max_size=3))
    def kill(self, rooms: list[str]) -> None:
        self.outages += 1
        self.do(self.story.kill(meanwhile=[room_channel(room) for room in rooms]))

    @precondition(lambda self: self.story.phase is Phase.DOWN)
    @rule()
    def recover(self) -> None:
        self.story.recover()


def tell(machine: type[RoomsMachine], engine: Engine, told: settings) -> None:
    run_state_machine_as_test(lambda: machine(engine), settings=told)  # type: ignore[arg-type]  # any callable does


def test_clients_get_what_the_model_says_whatever_is_done(engine: Engine) -> None:
    tell(RoomsMachine, engine, stories(10, steps=30))


# asyncpg logs an exception that nobody retrieved where an attempt to connect is given up as the server dies.
@pytest.mark.logged_errors("asyncio")
def test_clients_get_what_the_model_says_when_the_engine_is_killed_too(own_engine: Engine) -> None:
    tell(OutagesMachine, own_engine, stories(4, steps=25))
