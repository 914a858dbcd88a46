"""A client and a hub that tell each other many things, over connections that break anywhere.

The hub is a plain list of what was said; what of it reached the client is compared with that.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from brokers.scale import examples
from fastapi_rooms.client.conversation import Line
from fastapi_rooms.client.happenings import Answered, Entered, Failed, Said
from fastapi_rooms.client.membership import Phase

from .talking import Frame, Talk, ask, message

KEPT = 4
"""Messages that the room's history holds."""

ROOM = "lobby"


@dataclass
class Hub:
    """One room, and at most one connection.

    Attributes:
        epoch: Which history it is.
        said: What was said in it.
        first: How many of those are not kept any more.
        member: Whether the client is one.
        way: What is on its way to the client.
    """

    epoch: int = 0
    said: list[int] = field(default_factory=list)
    first: int = 0
    member: bool = False
    way: deque[list[Frame]] = field(default_factory=deque)

    def say(self, what: int) -> None:
        self.said.append(what)
        self.first = max(self.first, len(self.said) - KEPT)
        if self.member:
            self.way.append([self.frame(len(self.said))])

    def frame(self, offset: int) -> Frame:
        return message(self.said[offset - 1], f"{self.epoch}:{offset}")

    def join(self, frame: Frame, *, live: list[int]) -> None:
        """Missed ones first, then those said while it joins, then `joined`."""
        self.member = True
        position, recovered = f"{self.epoch}:{len(self.said)}", None
        missed: list[Frame] = []
        if "since" in frame:
            epoch, offset = map(int, frame["since"].split(":"))
            recovered = epoch == self.epoch and offset >= self.first
            missed = [self.frame(one) for one in range(offset + 1, len(self.said) + 1)] if recovered else []
        self.way.extend([one] for one in missed)
        for one in live:
            self.say(one)
        told = {} if recovered is None else {"recovered": recovered}
        self.way.append([{"type": "joined", "id": frame["id"], "room": ROOM, "position": position, **told}])


@dataclass
class Gap:
    """Where the client was told last that some may be missing.

    Attributes:
        delivered: How many had been delivered.
        epoch: Of the position that was told.
        offset: Of the position that was told.
    """

    delivered: int = 0
    epoch: int = -1
    offset: int = 0


class StoryOfARoom(RuleBasedStateMachine):
    """Says things, breaks connections, loses histories; at any time all that was delivered is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk(queue=100)
        self.hub = Hub()
        self.number = 0
        self.delivered: list[int] = []
        self.gap = Gap()
        self.asked: set[int] = set()
        self.taken: list[int] = []
        self.settled: dict[int, Any] = {}
        self.membership = self.talk.conversation.join(ROOM, None)

    def next(self) -> int:
        self.number += 1
        return self.number

    @precondition(lambda self: self.talk.conversation.line is Line.DOWN)
    @rule(live=st.integers(0, 2))
    def connect(self, live: int) -> None:
        self.listen(self.talk.open(), live=live)

    @rule(live=st.integers(0, 2))
    def client_speaks(self, live: int) -> None:
        self.listen(self.talk.said(), live=live)

    def listen(self, frames: list[Frame], *, live: int) -> None:
        for frame in frames:
            match frame["type"]:
                case "connect":
                    told = {"connection": "c", "user": None, "heartbeat": None}
                    self.hub.way.append([{"type": "connected", "id": frame["id"], **told}])
                case "join":
                    self.hub.join(frame, live=[self.next() for _ in range(live)])
                case "leave":
                    self.hub.member = False
                    self.hub.way.append([{"type": "left", "id": frame["id"], "room": ROOM}])
                case "send":
                    self.taken.append(frame["id"])
                    self.hub.way.append([{"type": "reply", "id": frame["id"], "data": frame["id"]}])

    @rule(together=st.integers(1, 5))
    def server_is_heard(self, together: int) -> None:
        """Several messages share one."""
        frames = [frame for _ in range(min(together, len(self.hub.way))) for frame in self.hub.way.popleft()]
        if frames:
            self.talk.hear(*frames)
        self.look()

    @rule(times=st.integers(1, KEPT - 1))
    def somebody_says_something(self, times: int) -> None:
        for _ in range(times):
            self.hub.say(self.next())

    @rule()
    def client_asks(self) -> None:
        self.asked.add(ask(self.talk, membership=self.membership))

    @precondition(lambda self: self.talk.conversation.line is not Line.DOWN)
    @rule()
    def connection_breaks(self) -> None:
        self.hub.member = False
        self.hub.way.clear()
        self.talk.break_off()
        self.look()

    @precondition(lambda self: len(self.hub.said) > 2 * KEPT)
    @rule()
    def history_is_lost(self) -> None:
        """The hub's process is another one, and the connection is gone with it."""
        self.hub = Hub(epoch=self.hub.epoch + 1)
        self.talk.break_off()
        self.look()

    @rule()
    def client_leaves_and_joins(self) -> None:
        self.talk.conversation.leave(self.membership)
        self.membership = self.talk.conversation.join(ROOM, self.membership.position)
        self.look()

    def look(self) -> None:
        for one in self.talk.happened():
            match one:
                case Entered(membership, joined, _):
                    assert membership is self.membership
                    if joined.recovered is not True:
                        epoch, offset = map(int, str(joined.position).split(":"))
                        self.gap = Gap(delivered=len(self.delivered), epoch=epoch, offset=offset)
                case Said(membership, said):
                    assert membership is self.membership
                    assert self.membership.phase is Phase.IN
                    self.delivered.append(said.data)
                case Answered(request_id, data) if request_id in self.asked:
                    assert request_id not in self.settled
                    self.settled[request_id] = data
                case Failed(request_id, error):
                    assert request_id not in self.settled
                    self.settled[request_id] = error.code

    @invariant()
    def nothing_comes_twice_or_out_of_order(self) -> None:
        assert self.delivered == sorted(set(self.delivered))

    @invariant()
    def nothing_is_missing_since_the_last_gap_that_was_told(self) -> None:
        if self.gap.epoch == self.hub.epoch:
            since = self.delivered[self.gap.delivered :]
            assert since == self.hub.said[self.gap.offset :][: len(since)]

    @invariant()
    def requests_are_sent_once_and_in_order(self) -> None:
        assert self.taken == sorted(set(self.taken))
        for request_id, outcome in self.settled.items():
            assert outcome in (request_id, "lost", "not_joined")

    @precondition(lambda self: self.talk.conversation.line is not Line.DOWN)
    @rule()
    def everything_arrives(self) -> None:
        while True:
            self.client_speaks(live=0)
            if not self.hub.way:
                break
            self.server_is_heard(together=1)

    def teardown(self) -> None:
        """Once the connection holds, everything arrives."""
        if self.talk.conversation.line is Line.DOWN:
            self.connect(live=0)
        self.everything_arrives()
        assert self.membership.phase is Phase.IN
        assert self.gap.epoch == self.hub.epoch
        assert self.delivered[self.gap.delivered :] == self.hub.said[self.gap.offset :]
        assert self.asked == set(self.settled)


TestStoryOfARoom = StoryOfARoom.TestCase
TestStoryOfARoom.settings = settings(max_examples=examples(400), stateful_step_count=40, deadline=None)
