"""Processes that share a room, and wires that lose and delay: the test plays the broker and the clock."""

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastapi_rooms.attendance import Attendance
from fastapi_rooms.options import Presence
from fastapi_rooms.presence_wire import Change, read, write
from fastapi_rooms.roster import Metadata

POLICY = Presence(grace=4.0, ttl=10.0, refresh=4.0)
ASK_AGAIN = 1.0

Place = tuple[str, str]
"""Process and connection."""


@dataclass(frozen=True)
class Message:
    """On its way.

    Attributes:
        kind: "change", "ask", "all" or "bye".
        body: Of a change, or of an answer's part.
    """

    kind: str
    body: bytes = b""


@dataclass
class Process:
    """One process.

    Attributes:
        attendance: What it knows of the room.
        live: Its connections: user and metadata.
        watched: Whether it listens to the room.
        down: Whether it hears nothing.
        quiet_until: Until when nobody leaves here for not being heard of.
        heard: When each other process was heard last.
    """

    name: str
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    live: dict[str, tuple[str, Metadata]] = field(default_factory=dict)
    watched: bool = False
    down: bool = False
    quiet_until: float = 0.0
    heard: dict[str, float] = field(default_factory=dict)
    attendance: Attendance = field(init=False)

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """It forgets the room."""
        self.attendance = Attendance(POLICY, self.name, self.numbers)
        self.heard.clear()

    def seen(self, processes: Iterable[str]) -> dict[Place, tuple[str, Metadata, float | None]]:
        """Everybody who is present here, by connection."""
        return {
            (process, one.connection): (one.user, one.metadata, one.due)
            for process in processes
            for one in self.attendance.roster.stays(process)
        }


class Story:
    """Some processes.

    Attributes:
        now: The time.
        processes: Those that run.
        names: All that ever ran.
        ended: When each connection that is no more has ended.
        wires: What is on its way from one to another: to the room, and to the process.
    """

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.names: list[str] = []
        self.ended: dict[Place, float] = {}
        self.wires: dict[tuple[str, str, str], deque[Message]] = {}
        self.processes = [self._new() for _ in range(count)]
        self._connections = itertools.count(1)

    # Connections.

    def enter(self, process: Process, user: str, metadata: Metadata) -> None:
        if not process.watched:
            process.watched = True
            self._send(process, "own", [Message("ask")])
        connection = f"{next(self._connections)}"
        process.live[connection] = user, metadata
        process.attendance.enter(connection, user, metadata)

    def update(self, process: Process, connection: str, metadata: Metadata) -> None:
        user, _ = process.live[connection]
        process.live[connection] = user, metadata
        process.attendance.enter(connection, user, metadata)

    def leave(self, process: Process, connection: str, *, on_purpose: bool) -> None:
        del process.live[connection]
        self.ended[process.name, connection] = self.now
        process.attendance.leave(connection, on_purpose=on_purpose, now=self.now)

    # Processes.

    def say(self, process: Process, *, lost: Sequence[str] = ()) -> None:
        """What has changed; not to those whom it does not reach."""
        changes = list(iter(process.attendance.change, None))
        self._send(process, "room", [Message("change", write(one)) for one in changes], lost=lost)

    def refresh(self, process: Process) -> None:
        change = process.attendance.refresh()
        if change is not None and (process.watched or process.attendance.here):
            self._send(process, "room", [Message("change", write(change))])

    def hello(self, process: Process) -> None:
        if process.watched:
            self._send(process, "room", [Message("change", write(process.attendance.hello()))])
        else:
            self.refresh(process)

    def forget(self, process: Process) -> None:
        """Nobody was in the room here for a while."""
        process.watched = False
        process.attendance.forget_others()
        process.heard.clear()
        self._keep_or_forget(process)

    def go_down(self, process: Process) -> None:
        """It hears nothing, and nobody hears it."""
        process.down = True
        for (source, target, _), wire in self.wires.items():
            if process.name in (source, target):
                wire.clear()

    def come_back(self, process: Process) -> None:
        process.down = False
        process.quiet_until = self.now + POLICY.ttl
        process.attendance.believe(self.now)
        process.heard = dict.fromkeys(process.heard, self.now)
        self.hello(process)

    def end(self, process: Process, *, goodbye: bool) -> None:
        """The process ends, and another begins."""
        for connection in tuple(process.live):
            self.leave(process, connection, on_purpose=False)
        if goodbye:
            self.say(process)
            self._send(process, "own", [Message("bye")])
        self.processes[self.processes.index(process)] = self._new()

    # Wires and time.

    def deliver(self, source: str, target: Process, which: str) -> None:
        """The next message comes."""
        wire = self.wires.get((source, target.name, which))
        if wire and not target.down:
            self._come(source, target, wire.popleft())

    def lose(self, source: str, target: Process, which: str) -> None:
        """The next message does not come."""
        wire = self.wires.get((source, target.name, which))
        if wire and not target.down:
            wire.popleft()

    def deliver_all(self, *, lost: Iterable[bool] = (), first: str = "room") -> None:
        """All messages come, and those that answer them; but not the first ones, where `lost` says so."""
        order = (first, "own" if first == "room" else "room")
        losses = iter(lost)
        while any(wire and self._has(target) for (_, target, _), wire in self.wires.items()):
            for which in order:
                for source in tuple(self.names):
                    for target in self.processes:
                        wire = self.wires.get((source, target.name, which))
                        for _ in range(len(wire) if wire else 0):
                            (self.lose if next(losses, False) else self.deliver)(source, target, which)

    def pass_time(self, by: float) -> None:
        self.now += by
        for process in self.processes:
            if not process.down and self.now >= process.quiet_until:
                process.attendance.expire(self.now)
                self._keep_or_forget(process)

    @property
    def truth(self) -> dict[Place, tuple[str, Metadata]]:
        """The union of all live connections."""
        return {
            (process.name, connection): its
            for process in self.processes
            for connection, its in process.live.items()
        }

    def may_expire(self, process: Process, source: str) -> bool:
        """Whether nothing was heard of another one for too long."""
        if process.down or self.now < process.quiet_until:
            return False
        return process.heard.get(source, -POLICY.ttl) + POLICY.ttl <= self.now

    def _new(self) -> Process:
        process = Process(f"p{len(self.names)}")
        self.names.append(process.name)
        return process

    def _has(self, name: str) -> bool:
        return any(process.name == name and not process.down for process in self.processes)

    def _send(self, source: Process, which: str, messages: Sequence[Message], *, lost: Sequence[str] = ()) -> None:
        for target in self.processes:
            if target is not source and not source.down and not target.down and target.name not in lost:
                self.wires.setdefault((source.name, target.name, which), deque()).extend(messages)

    def _tell(self, source: Process, target: str, messages: Sequence[Message]) -> None:
        if self._has(target) and not source.down:
            self.wires.setdefault((source.name, target, "own"), deque()).extend(messages)

    def _come(self, source: str, target: Process, message: Message) -> None:
        if message.kind == "ask":
            self._answer(target, source)
        elif message.kind == "bye":
            target.attendance.goodbye(source, self.now)
            target.heard.pop(source, None)
        elif target.watched:
            target.heard[source] = self.now
            change = read(message.body)
            if message.kind == "all":
                target.attendance.came_all(source, change, self.now)
            else:
                target.attendance.came(source, change, self.now)
                if change.known is not None and target.attendance.is_news(change.known):
                    self._answer(target, source)
            if target.attendance.asks(source, self.now, again_after=ASK_AGAIN):
                self._tell(target, source, [Message("ask")])

    def _answer(self, process: Process, target: str) -> None:
        known = process.watched or process.attendance.here
        parts = process.attendance.everything(self.now) if known else [Change(0, next(process.numbers))]
        self._tell(process, target, [Message("all", write(part)) for part in parts])

    def _keep_or_forget(self, process: Process) -> None:
        if not process.watched and not process.attendance.here:
            process.begin_anew()
