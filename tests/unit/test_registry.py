import asyncio
from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from brokers.scale import examples
from fastapi_rooms.connection import Connection
from fastapi_rooms.registry import Registry
from unit.fakes import unlinked

USERS = [None, "ann", "bob", None, "ann"]
ROOMS = ["red", "blue", "green"]


async def make(users: list[str | None]) -> list[Connection[object]]:
    return [unlinked(user_id=user) for user in users]


@pytest.fixture
async def people() -> list[Connection[object]]:
    return await make(USERS)


class RegistryMachine(RuleBasedStateMachine):
    """The registry against three plain dictionaries."""

    people = st.integers(0, len(USERS) - 1)
    rooms = st.sampled_from(ROOMS)

    def __init__(self) -> None:
        super().__init__()
        self.registry: Registry[object] = Registry(keep_from=2)
        self.all = asyncio.run(make(USERS))
        self.here: list[Connection[object]] = []
        self.member: dict[Connection[object], list[str]] = defaultdict(list)
        self.joined: dict[str, list[Connection[object]]] = defaultdict(list)
        self.users: dict[str, list[Connection[object]]] = defaultdict(list)

    @rule(who=people)
    def add(self, who: int) -> None:
        one = self.all[who]
        if one not in self.here:
            self.registry.add(one)
            self.here.append(one)
            self.found_under_its_user(one)

    @rule(who=people, user=st.sampled_from(["ann", "cid"]))
    def index_user(self, who: int, user: str) -> None:
        one = self.all[who]
        if one in self.here and one.user_id is None:
            one.user_id = user
            self.registry.index_user(one)
            self.found_under_its_user(one)

    @rule(who=people)
    def remove(self, who: int) -> None:
        one = self.all[who]
        rooms = self.registry.remove(one)
        if one not in self.here:
            assert rooms == {}
            return
        assert list(rooms) == self.member.pop(one, [])
        self.here.remove(one)
        for room in rooms:
            self.joined[room].remove(one)
        if one.user_id is not None:
            self.users[one.user_id].remove(one)

    @rule(who=people, room=rooms)
    def join(self, who: int, room: str) -> None:
        one = self.all[who]
        new = one in self.here and room not in self.member[one]
        assert self.registry.join(one, room, "note") is new
        if new:
            self.member[one].append(room)
            self.joined[room].append(one)

    @rule(who=people, room=rooms)
    def leave(self, who: int, room: str) -> None:
        one = self.all[who]
        member = room in self.member[one]
        assert self.registry.leave(one, room) is member
        if member:
            self.member[one].remove(room)
            self.joined[room].remove(one)

    def found_under_its_user(self, one: Connection[object]) -> None:
        if one.user_id is not None:
            self.users[one.user_id].append(one)

    @invariant()
    def it_is_the_model(self) -> None:
        registry = self.registry
        assert list(registry) == self.here
        assert len(registry) == len(self.here)
        assert [one in registry for one in self.all] == [one in self.here for one in self.all]
        assert [registry.get(one.id) for one in self.here] == self.here
        for room in ROOMS:
            assert list(registry.in_room(room)) == self.joined[room]
            assert registry.count_in_room(room) == len(self.joined[room])
            large = len(self.joined[room]) >= 2
            assert not large or registry.in_room(room) is registry.in_room(room)
        for user in ("ann", "bob", "cid"):
            assert list(registry.of_user(user)) == self.users[user]
            assert registry.count_of_user(user) == len(self.users[user])
        for one in self.all:
            assert list(one.memberships or ()) == self.member[one]

    @invariant()
    def empty_rooms_and_users_have_vanished(self) -> None:
        assert set(self.registry.rooms) == {room for room, members in self.joined.items() if members}
        assert set(self.registry._snapshots) <= set(self.registry.rooms)
        assert set(self.registry.users) == {user for user, members in self.users.items() if members}
        assert all(one.memberships is None for one in self.all if not self.member[one])


RegistryMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
TestRegistryAgainstItsModel = RegistryMachine.TestCase


async def test_a_snapshot_is_not_disturbed_by_what_happens_meanwhile(people: list[Connection[object]]) -> None:
    registry: Registry[object] = Registry()
    for one in people:
        registry.add(one)
        registry.join(one, "red")
    seen = []
    for one in registry:
        registry.remove(one)
        seen.append(one)
    assert seen == people
    assert (len(registry), list(registry.rooms), list(registry.users)) == (0, [], [])


async def test_the_snapshot_of_a_large_room_is_the_same_until_somebody_comes_or_goes(
    people: list[Connection[object]],
) -> None:
    registry: Registry[object] = Registry(keep_from=3)
    for one in people:
        registry.add(one)
        registry.join(one, "red")
    before = registry.in_room("red")
    assert registry.in_room("red") is before
    registry.leave(people[0], "red")
    assert registry.in_room("red") == tuple(people[1:])
    registry.remove(people[1])
    assert registry.in_room("red") == tuple(people[2:])
    registry.join(people[0], "red")
    assert registry.in_room("red") == (*people[2:], people[0])
    assert before == tuple(people)


async def test_a_note_stays_with_the_membership(people: list[Connection[object]]) -> None:
    registry: Registry[object] = Registry()
    registry.add(people[0])
    registry.join(people[0], "red", "note")
    assert people[0].memberships == {"red": "note"}
    assert registry.remove(people[0]) == {"red": "note"}
    assert registry.get(people[0].id) is None


async def test_a_user_who_was_never_indexed_may_leave(people: list[Connection[object]]) -> None:
    registry: Registry[object] = Registry()
    registry.add(people[0])
    people[0].user_id = "late"
    assert registry.remove(people[0]) == {}


async def test_who_is_not_there_joins_nothing_and_is_removed_without_harm(
    people: list[Connection[object]],
) -> None:
    registry: Registry[object] = Registry()
    assert not registry.join(people[0], "red")
    assert registry.remove(people[0]) == {}
    assert list(registry.rooms) == []
