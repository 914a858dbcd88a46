"""Who is present in the rooms of this process: says it, hears it, and tells the manager what changes."""

import asyncio
import itertools
import random
from collections.abc import Mapping
from typing import Any, Final

from fastapi_rooms.attendance import Attendance
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import Header, Kind
from fastapi_rooms.errors import NoPresence, UnencodableMessage
from fastapi_rooms.options import Presence
from fastapi_rooms.presence import PresenceView
from fastapi_rooms.presence_ports import PresenceLocal, PresenceOf, Wire
from fastapi_rooms.presence_wire import Change, is_sayable, plain, read, write
from fastapi_rooms.tasks import TaskOwner

_AT_ONCE: Final = 100
"""Rooms of which something is said at the same time, when all are gone through."""


class _Room:
    """One room.

    Attributes:
        attendance: Who is there.
        watched: Whether it has a member here; if not, it is kept for those who linger.
        looks: Who reads it meanwhile though it has no member here.
        answered: Set when all others have said who is there, or had the time to.
        awaited: Who has not yet, or not in time.
        timer: For what is due next.
        asking: Asks all others.
        saying: Says what has changed here.
        telling: Tells the manager.
    """

    def __init__(self, name: str, policy: Presence, attendance: Attendance) -> None:
        self.name = name
        self.policy = policy
        self.attendance = attendance
        self.watched = False
        self.looks = 0
        self.answered = asyncio.Event()
        self.awaited: set[str] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.asking: asyncio.Task[None] | None = None
        self.saying: asyncio.Task[None] | None = None
        self.telling: asyncio.Task[None] | None = None


class Presences:
    """The rooms with presence that have a member here, or had one until a moment ago.

    Args:
        wire: The other processes.
        local: The manager.
        policy_of: Which rooms have presence.
    """

    def __init__(self, wire: Wire, local: PresenceLocal, *, policy_of: PresenceOf) -> None:
        self._wire = wire
        self._local = local
        self._policy_of = policy_of
        self._rooms: dict[str, _Room] = {}
        self._tasks = TaskOwner()
        self._numbers = itertools.count(1)
        self._refreshing: asyncio.Task[None] | None = None
        self._pace = 0.0
        self._down = False
        self._quiet_until = 0.0

    async def stop(self, timeout: float) -> None:
        """Forget all rooms."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            self._refreshing = None
        for room in tuple(self._rooms.values()):
            self._delete(room)
        await self._tasks.join(timeout)

    # What happens here.

    def enter(self, connection: Connection[Any], room: str) -> bool:
        """The connection is a member, and the room is listened to; whether the room has presence."""
        policy = self._policy_of(room)
        if policy is None:
            return False
        state = self._watch(room, policy)
        metadata = None if connection.user_id is None else self._local.present(connection, room)
        if metadata is not None and connection.user_id is not None:
            state.attendance.enter(connection.id, connection.user_id, metadata)
            self._changed_here(state)
        return True

    def left(self, connection: Connection[Any], room: str, *, on_purpose: bool) -> None:
        """It is none any more."""
        state = self._rooms.get(room)
        if state is not None:
            state.attendance.leave(connection.id, on_purpose=on_purpose, now=_now())
            self._changed_here(state)
            self._keep_or_forget(state)  # it may be the last for whom a forgotten room was kept

    def update(self, connection: Connection[Any], room: str, metadata: Mapping[str, object]) -> bool:
        """What is told of a connection from now on; whether it was a member.

        Raises:
            MetadataTooLarge: See there.
            NoPresence: The room has none.
            UnencodableMessage: The metadata is no JSON object, or the connection has no user.
        """
        policy = self._policy_of(room)
        if policy is None:
            raise NoPresence(room)
        if connection.user_id is None or not is_sayable(connection.user_id):
            raise UnencodableMessage(message_type=type(metadata), detail="the connection has no user to be named")
        told = plain(metadata, most=policy.metadata_bytes)
        state = self._rooms.get(room)
        if state is None or room not in (connection.memberships or ()) or connection.disconnect is not None:
            return False
        state.attendance.enter(connection.id, connection.user_id, told)
        self._changed_here(state)
        return True

    async def view(self, room: str) -> PresenceView:
        """Who is there; others have the time to answer if nobody here has been in the room yet.

        Raises:
            NoPresence: It has none.
        """
        policy = self._policy_of(room)
        if policy is None:
            raise NoPresence(room)
        state = self._rooms.get(room) or self._make(room, policy)
        state.looks += 1
        try:
            if not state.watched and state.looks == 1:
                self._ask_all(state)
            await state.answered.wait()
            return state.attendance.roster.view(self._wire.others() & state.awaited)
        finally:
            state.looks -= 1
            self._keep_or_forget(state)

    def forget(self, room: str) -> None:
        """Nobody here has needed the room for a while, and it is not listened to any more."""
        state = self._rooms.get(room)
        if state is not None:
            state.watched = False
            self._keep_or_forget(state)

    # What is heard.

    def heard(self, header: Header, body: bytes) -> None:
        """Another process says, tells or asks something.

        Raises:
            ForeignMessage: It makes no sense.
        """
        room, process = header.room or "", header.process
        state = self._rooms.get(room)
        if header.kind is Kind.PRESENCE_ASK:
            self._tasks.spawn(self._answer(room, process), name="presence")
            return
        change = read(body)
        if state is None or not (state.watched or state.looks):
            return
        if header.kind is Kind.PRESENCE:
            state.attendance.came(process, change, _now())
            if change.known is not None and state.attendance.is_news(change.known):
                self._tasks.spawn(self._answer(room, process), name="presence")
        elif state.attendance.came_all(process, change, _now()):
            _await_no_more(state, process)
        if state.attendance.asks(process, _now(), again_after=self._wire.answer_within):
            self._tasks.spawn(self._wire.ask(room, process), name="presence")
        self._changed(state)

    def goodbye(self, process: str) -> None:
        """Another process ends."""
        for state in tuple(self._rooms.values()):
            state.attendance.goodbye(process, _now())
            _await_no_more(state, process)
            self._changed(state)

    def lost(self) -> None:
        """Nothing is heard for now: nobody leaves for that."""
        self._down = True

    def restored(self) -> None:
        """Messages are heard again: say where this process is, and ask where others are."""
        if not self._down:
            return
        self._down = False
        now = _now()
        for state in tuple(self._rooms.values()):
            self._quiet_until = max(self._quiet_until, now + state.policy.ttl)
            state.attendance.believe(now)
            self._schedule(state)
        self._tasks.spawn(self._say_of_all(hello=True), name="presence")

    # Rooms.

    def _watch(self, room: str, policy: Presence) -> _Room:
        state = self._rooms.get(room) or self._make(room, policy)
        if not state.watched:
            state.watched = True
            self._refresh_always(policy.refresh)
            self._ask_all(state)
        return state

    def _make(self, room: str, policy: Presence) -> _Room:
        state = _Room(room, policy, Attendance(policy, self._wire.process, self._numbers))
        self._rooms[room] = state
        return state

    def _keep_or_forget(self, state: _Room) -> None:
        if state.watched or state.looks or self._rooms.get(state.name) is not state:
            return
        if state.attendance.here:
            state.attendance.forget_others()
            self._schedule(state)
        else:
            self._delete(state)

    def _delete(self, state: _Room) -> None:
        del self._rooms[state.name]
        state.watched = False
        if state.timer is not None:
            state.timer.cancel()
        state.answered.set()  # who waits for it waits no more
        for task in (state.asking, state.telling):  # what is being said is heard elsewhere
            if task is not None:
                task.cancel()

    def _ask_all(self, state: _Room) -> None:
        state.answered.clear()
        state.awaited = set(self._wire.others())
        if state.asking is not None:
            state.asking.cancel()
        state.asking = self._tasks.spawn(self._ask(state), name="presence")

    async def _ask(self, state: _Room) -> None:
        try:
            await self._wire.ask(state.name, None)
            if state.awaited:
                async with asyncio.timeout(self._wire.answer_within):
                    await state.answered.wait()
        except TimeoutError:
            pass
        finally:
            if state.asking is asyncio.current_task():
                state.answered.set()
                self._changed(state)

    def _changed_here(self, state: _Room) -> None:
        if state.saying is None or state.saying.done():
            state.saying = self._tasks.spawn(self._say(state), name="presence")
        self._changed(state)

    async def _say(self, state: _Room) -> None:
        while (change := state.attendance.change()) is not None:
            await self._wire.say(state.name, write(change))

    async def _answer(self, room: str, process: str) -> None:
        state = self._rooms.get(room)
        parts = [Change(0, next(self._numbers))] if state is None else state.attendance.everything(_now())
        # All are on their way before anything else is: parts of two answers do not mix.
        await asyncio.gather(*(self._wire.tell(room, process, write(part)) for part in parts))

    # What has changed, and what is due.

    def _changed(self, state: _Room) -> None:
        self._schedule(state)
        if self._may_tell(state) and (state.telling is None or state.telling.done()):
            state.telling = self._tasks.spawn(self._tell(state), name="presence")

    def _may_tell(self, state: _Room) -> bool:
        """While others are asked, those of them who were forgotten seem gone."""
        return state.watched and state.answered.is_set()

    async def _tell(self, state: _Room) -> None:
        while self._may_tell(state) and (diff := state.attendance.roster.diff()) is not None:
            await self._local.on_presence(state.name, diff)
            await asyncio.sleep(state.policy.interval)

    def _schedule(self, state: _Room) -> None:
        if state.timer is not None:
            state.timer.cancel()
            state.timer = None
        due = state.attendance.due()
        if due is not None and not self._down and self._rooms.get(state.name) is state:
            at = max(due, self._quiet_until)
            state.timer = asyncio.get_running_loop().call_at(at, self._expire, state)

    def _expire(self, state: _Room) -> None:
        state.timer = None
        if not self._down:
            state.attendance.expire(_now())
            self._changed(state)
            self._keep_or_forget(state)

    def _refresh_always(self, every: float) -> None:
        if self._refreshing is not None and not self._refreshing.done():
            if every >= self._pace:
                return
            self._refreshing.cancel()
        self._pace = every
        self._refreshing = self._tasks.spawn(self._refresh(), name="presence")

    async def _refresh(self) -> None:
        """Say of all rooms, again and again, where this process is: so a change that was lost is noticed."""
        while self._rooms:
            self._pace = min(state.policy.refresh for state in self._rooms.values())
            await asyncio.sleep(self._pace * random.uniform(0.8, 1.0))  # noqa: S311 - it spreads processes
            await self._say_of_all(hello=False)

    async def _say_of_all(self, *, hello: bool) -> None:
        rooms = iter(tuple(self._rooms.values()))
        while some := tuple(itertools.islice(rooms, _AT_ONCE)):
            changes = [
                (state, state.attendance.hello() if hello and state.watched else state.attendance.refresh())
                for state in some
                if state.watched or state.attendance.here
            ]
            await asyncio.gather(
                *(self._wire.say(state.name, write(change)) for state, change in changes if change is not None)
            )


def _await_no_more(state: _Room, process: str) -> None:
    state.awaited.discard(process)
    if not state.awaited:
        state.answered.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
