"""Whatever becomes of connections: pages that took a snapshot at some time, and apply diffs, know the truth."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from brokers.scale import examples
from fastapi_rooms import roster as module
from fastapi_rooms.roster import Metadata, Roster, Stay
from unit.presence_client import Client, Tabs, tabs

PROCESSES = ("p", "q")
USERS = ("ann", "bob", "cid", "dot", "eve", "fay")


class Model:
    """Connections by process and id: user, metadata, due."""

    def __init__(self) -> None:
        self.stays: dict[tuple[str, str], tuple[str, Metadata, float | None]] = {}

    def put(self, key: tuple[str, str], user: str, metadata: Metadata, due: float | None) -> None:
        known = self.stays.get(key)
        if known is not None and known[0] != user:
            del self.stays[key]
            known = None
        if known is None and due is None:
            away = [one for one, (its, _, gone) in self.stays.items() if its == user and gone is not None]
            same = [one for one in away if self.stays[one][1] == metadata]
            if away:
                self.take(key, (same or away)[0], user, metadata)
                return
        self.stays[key] = user, metadata, due

    def take(self, key: tuple[str, str], place: tuple[str, str], user: str, metadata: Metadata) -> None:
        self.stays = {
            (key if one == place else one): ((user, metadata, None) if one == place else its)
            for one, its in self.stays.items()
        }

    def linger(self, key: tuple[str, str], due: float) -> None:
        if key in self.stays and self.stays[key][2] is None:
            self.stays[key] = (*self.stays[key][:2], due)

    def drop(self, key: tuple[str, str], user: str | None) -> None:
        user = self.stays.pop(key)[0] if key in self.stays else user
        theirs = {one for one, its in self.stays.items() if its[0] == user}
        if all(self.stays[one][2] is not None for one in theirs):
            self.keep(lambda one: one not in theirs)

    def keep(self, wanted: Callable[[tuple[str, str]], bool]) -> None:
        self.stays = {key: its for key, its in self.stays.items() if wanted(key)}

    def expire(self, now: float) -> None:
        self.stays = {key: its for key, its in self.stays.items() if its[2] is None or its[2] > now}

    def truth(self) -> dict[str, Tabs]:
        users: dict[str, Tabs] = {}
        for user, metadata, _ in self.stays.values():
            users.setdefault(user, []).append(metadata)
        return users


processes = st.sampled_from(PROCESSES)
connections = st.sampled_from(["1", "2", "3"])
users = st.sampled_from(USERS)
moods = st.sampled_from([{}, {"mood": "good"}, {"mood": "bad"}])
delays = st.integers(0, 4)


class RosterMachine(RuleBasedStateMachine):
    """A roster beside a dict of connections, and pages that took a snapshot at some time."""

    @initialize(listed=st.none() | st.integers(1, 3) | st.integers(4, 5))
    def begin(self, listed: int | None) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "_SPARE_DUES", 0)
        self.roster = Roster(listed=listed)
        self.listed = listed
        self.model = Model()
        self.now = 0.0
        self.clients: list[Client] = [Client(self.roster.view())]
        self.version = 0

    @rule(process=processes, connection=connections, user=users, metadata=moods, left=st.none() | delays)
    def a_connection_is_there(
        self, process: str, connection: str, user: str, metadata: Metadata, left: float | None
    ) -> None:
        due = None if left is None else self.now + left
        self.roster.put(process, Stay(connection, user, metadata, due))
        self.model.put((process, connection), user, metadata, due)

    @rule(process=processes, connection=connections, left=delays)
    def it_has_ended(self, process: str, connection: str, left: float) -> None:
        self.roster.linger(process, connection, self.now + left)
        self.model.linger((process, connection), self.now + left)

    @rule(process=processes, connection=connections, user=st.none() | users)
    def it_leaves(self, process: str, connection: str, user: str | None) -> None:
        self.roster.drop(process, connection, user)
        self.model.drop((process, connection), user)

    @rule(process=processes, named=st.dictionaries(connections, st.tuples(users, moods)), left=delays)
    def a_process_says_all(self, process: str, named: Mapping[str, tuple[str, Metadata]], left: float) -> None:
        gone = {one.connection for one in self.roster.stays(process)} - set(named)
        self.roster.replace(process, [Stay(one, *its) for one, its in named.items()], self.now + left)
        for connection, (user, metadata) in named.items():
            self.model.put((process, connection), user, metadata, None)
        for connection in gone:
            self.model.linger((process, connection), self.now + left)

    @rule(process=processes, left=delays)
    def a_process_says_goodbye(self, process: str, left: float) -> None:
        self.roster.linger_all(process, self.now + left)
        for key in self.model.stays:
            if key[0] == process:
                self.model.linger(key, self.now + left)

    @rule(process=processes, others=st.booleans())
    def a_process_is_gone(self, process: str, others: bool) -> None:
        (self.roster.drop_others if others else self.roster.drop_all)(process)
        self.model.keep(lambda key: (key[0] == process) == others)

    @rule(by=delays)
    def time_passes(self, by: float) -> None:
        self.now += by
        self.roster.expire(self.now)
        self.model.expire(self.now)

    @rule()
    def a_page_takes_a_snapshot(self) -> None:
        view = self.roster.view()
        assert view.count == len(self.model.truth())
        if view.listed:
            assert tabs(view.users) == self.model.truth()
        self._check_listed(view.listed, view.count)
        self.clients.append(Client(view))

    @rule(process=processes, comers=st.sets(users, min_size=1), again=st.booleans())
    def some_are_seen_for_a_moment(self, process: str, comers: set[str], again: bool) -> None:
        for user in sorted(comers):
            self.a_connection_is_there(process, f"moment {user}", user, {}, None)
        self.a_page_takes_a_snapshot()
        for user in sorted(comers):
            self.it_leaves(process, f"moment {user}", None)
        if again:
            self.a_page_takes_a_snapshot()

    @rule(gone=st.sets(users, min_size=1))
    def some_are_not_seen_for_a_moment(self, gone: set[str]) -> None:
        before = {key: its for key, its in self.model.stays.items() if its[0] in gone}
        for one, connection in before:
            self.it_leaves(one, connection, None)
        self.a_page_takes_a_snapshot()
        for (one, connection), (user, metadata, _) in before.items():
            self.a_connection_is_there(one, connection, user, metadata, None)

    @rule()
    def what_has_changed_is_told(self) -> None:
        while (diff := self.roster.diff()) is not None:
            assert diff.version > self.version
            assert all(diff.leaves.values())
            self.version = diff.version
            for client in self.clients:
                client.apply(diff)
                after = (client.users.copy(), client.count, client.listed)
                client.apply(diff)
                assert (client.users, client.count, client.listed) == after
        truth = self.model.truth()
        for client in self.clients:
            assert client.count == len(truth)
            assert client.users == (truth if client.listed else {})
            self._check_listed(client.listed, len(truth))

    @invariant()
    def the_number_is_right_and_somebody_is_due_if_anybody_lingers(self) -> None:
        if not hasattr(self, "roster"):
            return
        assert len(self.roster) == len(self.model.truth())
        dues = [due for _, _, due in self.model.stays.values() if due is not None]
        if dues:
            due = self.roster.due()
            assert due is not None
            assert due <= min(dues)

    def teardown(self) -> None:
        if not hasattr(self, "roster"):
            return
        try:
            self.what_has_changed_is_told()
        finally:
            self.patch.undo()

    def _check_listed(self, listed: bool, count: int) -> None:
        """Nobody is named above the bound, and everybody a tenth under it."""
        if self.listed is None:
            assert listed
        else:
            assert count <= self.listed if listed else count > int(0.9 * self.listed)


TestRoster = RosterMachine.TestCase
TestRoster.settings = settings(max_examples=examples(400), stateful_step_count=40, deadline=None)
