"""The protocol `rooms.v1`, as a client speaks it: what it says, and remembers. Pure. What it hears: `hearing`."""

from collections.abc import Callable
from enum import Enum
from typing import Final

from fastapi_rooms.client.composing import Raw, compose
from fastapi_rooms.client.failures import (
    UNAVAILABLE,
    ConnectionLost,
    NotJoined,
    Offline,
    RoomsClientError,
)
from fastapi_rooms.client.happenings import (
    Answered,
    Complained,
    Failed,
    Happening,
    HungUp,
    Out,
    TokenDue,
)
from fastapi_rooms.client.membership import Membership, Phase
from fastapi_rooms.client.outbox import Outbox, Outgoing, Purpose
from fastapi_rooms.client.returning import BROKEN
from fastapi_rooms.client.tokens import Renewal
from fastapi_rooms.liveness import Liveness, Verdict
from fastapi_rooms.options import Heartbeat

PATIENCE: Final = 10.0
"""Seconds that the server has to answer a `ping`."""


class Line(Enum):
    """Where the connection is."""

    DOWN = "down"
    GREETING = "greeting"
    """`connect` is said, or about to be."""
    UP = "up"
    CLOSED = "closed"
    """For good."""


class Conversation:
    """What one client and its hub say to each other, over any number of connections.

    It is told of the connection (`opened`, `ended`, `tick`), of what comes (`hearing.hear`), and of what the
    application wants; it tells what to send (`take`), and what has happened (`happened`).

    Args:
        queue: Requests that may wait for a connection.
        least: Seconds until a room that could not be joined just now is tried again, at most; it doubles.
        most: Up to this.
        random: Gives numbers from 0 to 1.

    Attributes:
        line: See there.
    """

    def __init__(self, *, queue: int, least: float, most: float, random: Callable[[], float]) -> None:
        self.line = Line.DOWN
        self.memberships: dict[str, Membership] = {}
        self.outbox = Outbox()
        self.renewal = Renewal()
        self._queue = queue
        self._least = least
        self._most = most
        self._random = random
        self._happened: list[Happening] = []
        self._liveness: Liveness | None = None
        self._life: float | None = None
        self._connected_by: float | None = None

    # What the edge tells.

    def opened(self, token: str | None, *, life: float | None, until: float) -> None:
        """A connection is open.

        Args:
            token: For the hub; `None`: none.
            life: Seconds that it lives; `None`: nobody knows, or there is no other.
            until: When the hub must have said `connected`.
        """
        self.line = Line.GREETING
        self._life = life
        self._connected_by = until
        frames = [self.outbox.make(Purpose.CONNECT, "connect", token=token)]
        for membership in self.memberships.values():
            frames += self._asking(membership)
        self.outbox.put_first(frames)

    def welcomed(self, heartbeat: float | None, *, now: float) -> None:
        """The hub has said `connected`."""
        self.line = Line.UP
        self._connected_by = None
        if heartbeat:
            beats = Heartbeat(interval=heartbeat, timeout=PATIENCE)
            self._liveness = Liveness(idle_timeout=None, heartbeat=beats, now=now)
        self.renewal.begin(self._life, now=now)

    def heard(self, now: float) -> None:
        """The server lives."""
        if self._liveness is not None:
            self._liveness.heard(now)

    def ended(self) -> None:
        """The connection has ended."""
        if self.line is Line.CLOSED:
            return
        self._put_down()
        for one in self.outbox.lose():
            if one.purpose is Purpose.REQUEST:
                self.tell(Failed(one.id, ConnectionLost()))
            elif one.purpose in (Purpose.LEAVE, Purpose.TELL):
                self.tell(Answered(one.id, None))  # it has left; it will be told again
        for membership in self.memberships.values():
            membership.leave_alone()

    def tick(self, now: float) -> None:
        """Some time has passed."""
        if self._connected_by is not None and now >= self._connected_by:
            self.hang_up(BROKEN, "the hub did not say 'connected' in time")
            return
        if self.line is not Line.UP:
            return
        verdict = Verdict.WAIT if self._liveness is None else self._liveness.judge(now)
        if verdict is Verdict.DEAD:
            self.hang_up(BROKEN, "the server is silent")
            return
        if verdict is Verdict.BEAT:
            self.outbox.push(Purpose.NOTE, "ping")
        if self.renewal.due is not None and now >= self.renewal.due:
            self.renewal.take()
            self.tell(TokenDue())
        for membership in self.memberships.values():
            if membership.retry_at is not None and now >= membership.retry_at:
                self.outbox.put_last(self._asking(membership))

    def due(self, now: float) -> float | None:
        """When `tick` should come next; `None`: never, as it is now."""
        if self.line not in (Line.GREETING, Line.UP):
            return None
        times = [membership.retry_at for membership in self.memberships.values()]
        times += [self._connected_by, self.renewal.due]
        times.append(None if self._liveness is None else self._liveness.due(now))
        return min((time for time in times if time is not None), default=None)

    def take(self) -> str | None:
        """What to send now; `None`: nothing."""
        if self.line not in (Line.GREETING, Line.UP):
            return None
        return self.outbox.take(connected=self.line is Line.UP)

    def happened(self) -> list[Happening]:
        """What has happened since this was asked last."""
        happened, self._happened = self._happened, []
        return happened

    def tell(self, happening: Happening) -> None:
        """Note what has happened."""
        self._happened.append(happening)

    def hang_up(self, code: int, reason: str) -> None:
        """This connection is of no use; what else comes over it is not heard."""
        self._put_down()
        self.tell(HungUp(code, reason))

    def close(self, error: RoomsClientError, *, rooms: RoomsClientError | None) -> None:
        """It is over: nothing is sent any more.

        Args:
            error: What requests that were not sent fail with.
            rooms: What the rooms end with; `None`: nothing went wrong.
        """
        self.ended()
        self.line = Line.CLOSED
        for one in self.outbox.withdraw():
            self.tell(Failed(one.id, error))
        for membership in list(self.memberships.values()):
            self.over(membership, rooms)

    # What the application wants.

    def join(self, name: str, since: str | None) -> Membership:
        """Be in a room from now on; the same membership while it lasts, whatever `since` is.

        Raises:
            UnencodableMessage: The name is not valid Unicode.
        """
        membership = self.memberships.get(name)
        if membership is None:
            compose("join", room=name, since=since)
            membership = self.memberships[name] = Membership(name, since)
            if self.line in (Line.GREETING, Line.UP):
                self.outbox.put_last(self._asking(membership))
        return membership

    def leave(self, membership: Membership) -> int | None:
        """Be there no more; what is answered when the hub knows, `None`: it knows, or will not be told."""
        if membership.phase is Phase.OVER:
            return None
        leave_id: int | None = None
        if membership.phase in (Phase.ASKED, Phase.IN):
            leave_id = self.outbox.push(Purpose.LEAVE, "leave", membership)
        self.over(membership, None, kept=self.line is Line.UP)
        return leave_id

    def request(self, kind: str, name: str, data: Raw, membership: Membership | None) -> int:
        """Ask for something; the id by which it is answered.

        Args:
            kind: "send" or "publish".
            name: Of the command, or the event.
            data: What goes with it.
            membership: In which room; `None`: in none.

        Raises:
            Offline: There is no connection, and enough waits for one.
            NotJoined: The membership is over.
            UnencodableMessage: The name is not valid Unicode.
        """
        if membership is not None and membership.phase is Phase.OVER:
            raise NotJoined
        if self.line is not Line.UP and self.outbox.requests >= self._queue:
            raise Offline(self._queue)
        called = {"command" if kind == "send" else "event": name}
        return self.outbox.push(Purpose.REQUEST, kind, membership, **called, data=data)

    def tell_presence(self, membership: Membership, metadata: Raw) -> int | None:
        """Tell this of the client from now on; what is answered when the hub has it, `None`: it will be told.

        Raises:
            NotJoined: The membership is over.
        """
        if membership.phase is Phase.OVER:
            raise NotJoined
        membership.metadata = metadata
        membership.told = None
        if membership.phase not in (Phase.ASKED, Phase.IN):
            return None
        membership.told = self.outbox.push(Purpose.TELL, "presence", membership, metadata=metadata)
        return membership.told

    def refresh(self, token: str) -> None:
        """Give the hub a fresh token."""
        if self.line is Line.UP:
            self.outbox.push(Purpose.REFRESH, "refresh", token=token)

    # What answers lead to.

    def over(self, membership: Membership, error: RoomsClientError | None, *, kept: bool = False) -> None:
        """A membership is over.

        Args:
            membership: Which.
            error: Why; `None`: the application wants it so.
            kept: Whether requests that wait are sent all the same.
        """
        membership.phase = Phase.OVER
        membership.retry_at = None
        membership.forget_held()
        del self.memberships[membership.name]
        for one in () if kept else self.outbox.withdraw(membership):
            self.tell(Failed(one.id, error or NotJoined()))
        self.tell(Out(membership, error))

    def refused(self, membership: Membership, error: RoomsClientError, *, now: float) -> None:
        """A join was answered with an error."""
        if membership.phase is not Phase.ASKED:
            return
        if error.code != UNAVAILABLE:
            self.over(membership, error)
            return
        membership.retry_in(now, jitter=self._random(), least=self._least, most=self._most)
        self.tell(Complained(error))

    def _asking(self, membership: Membership) -> list[Outgoing]:
        membership.ask()
        frames = [self.outbox.make(Purpose.JOIN, "join", membership, since=membership.position)]
        if membership.metadata is not None:
            tell = self.outbox.make(Purpose.NOTE, "presence", membership, metadata=membership.metadata)
            frames.append(tell)
        return frames

    def _put_down(self) -> None:
        self.line = Line.DOWN
        self._liveness = None
        self._connected_by = None
        self.renewal.begin(None, now=0.0)
