"""Joining and leaving rooms, with the hooks that belong to it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from starlette.exceptions import HTTPException, WebSocketException

from fastapi_rooms.activity import Activity
from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import CloseCode, ConfigurationError, ConnectionClosed, DisconnectReason, JoinRefused
from fastapi_rooms.history_ports import Reason, Resumed
from fastapi_rooms.hooks import expected_end, inside_hook_of
from fastapi_rooms.host import ManagerHost
from fastapi_rooms.position import Position
from fastapi_rooms.room_hooks import RoomHooks
from fastapi_rooms.session import Session, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What `join` returns.

    Attributes:
        room: The room's name.
        new: False where the connection was a member already.
        position: In a room with a history: the place after which live messages come. `None`: the room has none,
            or the broker is out of reach.
        recovered: Whether all messages since the position that the client brought were sent to it, in order,
            before any live one. `None`: it brought none, and got what `History.on_join` says.
        reason: Why not. "epoch_changed": the history was lost, or the position is none of this room's. "expired",
            "too_many": some messages are not kept any more. "unavailable": the broker is out of reach.
    """

    room: str
    new: bool
    position: Position | None = None
    recovered: bool | None = None
    reason: Reason | None = None


class Reach(Protocol):
    """What more it takes to be reached from other processes: a `Clustered` manager's channels."""

    async def hold(self, *, user_id: str | None = None, room: str | None = None) -> None:
        """The user is about to have a connection here, the room a member.

        Returns when what is sent to them is heard, or the broker is out of reach.
        """
        ...

    def release_user(self, user_id: str) -> None:
        """The user may have no connection here any more."""
        ...

    def release_room(self, room: str) -> None:
        """The room may have no member here any more."""
        ...

    def enter(self, connection: Connection[Any], room: str) -> None:
        """The connection becomes a member now; nothing is awaited."""
        ...

    async def resume(self, connection: Connection[Any], room: str, since: object) -> Resumed | None:
        """Send a member what it has missed since a position; `None`: the room has no history."""
        ...

    def show(self, connection: Connection[Any], room: str) -> None:
        """The member is present, where the room has presence."""
        ...

    def left(self, connection: Connection[Any], room: str, *, on_purpose: bool) -> None:
        """The connection is no member any more.

        Args:
            connection: Which.
            room: The room.
            on_purpose: Whether it left by a call of ours; else its connection has ended.
        """
        ...


class _Stay:
    """The note of a membership whose `on_join` has not ended yet; a settled one needs none.

    Attributes:
        began: Whether `on_join` was called, so that `on_leave` must be.
        ended: Set when it has ended, or will never begin.
        joined: Where the member begins, in a room with a history.
    """

    __slots__ = ("began", "ended", "joined")

    def __init__(self) -> None:
        self.began = False
        self.ended = asyncio.Event()
        self.joined: Joined | None = None


class Memberships:
    """Runs `authorize`, `on_join` and `on_leave` around the registry; the `Extension` of a room manager's host.

    Args:
        host: The manager's host.
        hooks: The manager itself.
        watch_rooms: Whether `on_room_active` or `on_room_idle` is overridden; if not, rooms cost nothing.

    Attributes:
        reach: Who sees to it that other processes reach the rooms; `None`: there are none.
    """

    def __init__(self, host: ManagerHost[Any], hooks: RoomHooks[Any], *, watch_rooms: bool) -> None:
        self._host = host
        self._hooks = hooks
        self._watch_rooms = watch_rooms
        self._activities: dict[str, Activity] = {}
        self._leaving: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.reach: Reach | None = None

    async def before_accept(self, session: Session[Any]) -> None:
        """Authorize the room given to `connect`; refuse with 403, or as `authorize` says."""
        if session.room is None:
            await self._hold(session)
            return
        refused = await self._refused(session.connection, session.room)
        if isinstance(refused, HTTPException):
            raise refusal(session.websocket, refused.status_code, refused.detail, headers=refused.headers)
        if refused is not None:
            raise refusal(session.websocket, 403, "not allowed in this room")
        await self._hold(session)

    async def after_authentication(self, session: Session[Any]) -> None:
        """Authorize the room given to `connect`, now that the user is known; refuse with 4507."""
        if session.room is not None:
            refused = await self._refused(session.connection, session.room)
            if refused is not None:
                end = expected_end(refused)
                code = CloseCode.FORBIDDEN if end is None else end.code
                session.link.shut(DisconnectReason.FORBIDDEN, code, "not allowed in this room")
                return
        await self._hold(session)

    def accepted(self, session: Session[Any]) -> None:
        """Make the connection a member of the room given to `connect`, before anything else is awaited."""
        if session.room is None:
            return
        beyond = self._beyond_limits(session.connection, session.room)  # others may have come first
        if beyond is not None:
            session.link.shut(DisconnectReason.FORBIDDEN, CloseCode.FORBIDDEN, beyond.reason)
            return
        self._join(session.connection, session.room, _Stay())

    async def arrived(self, session: Session[Any]) -> None:
        """Run the hooks of joining the room given to `connect`; it was authorized before."""
        if session.room is not None:
            note = self._note(session.connection, session.room)
            if isinstance(note, _Stay):  # else it has left already
                await self._enter(session.connection, session.room, note, session.since)

    async def left(self, session: Session[Any]) -> None:
        """Run `on_leave` for every room that the connection was in when it ended."""
        limit = self._host.limits.hook_timeout
        loop = asyncio.get_running_loop()
        deadline = None if limit is None else loop.time() + limit
        for room, note in session.rooms.items():
            if self.reach is not None:
                self.reach.left(session.connection, room, on_purpose=False)
            within = None if deadline is None else max(0.0, deadline - loop.time())
            await self._after_leave(session.connection, room, note, within)
        if self.reach is not None:
            if session.room is not None:
                self.reach.release_room(session.room)  # it may have ended before it was a member
            if session.connection.user_id is not None:
                self.reach.release_user(session.connection.user_id)

    async def join(self, connection: Connection[Any], room: str, since: object) -> Joined:
        """Authorize and join; see `RoomManager.join`."""
        session = self._session_of(connection)
        self._check_open(connection)
        if session.arriving is not None and inside_hook_of() != connection.id:
            await session.arriving.wait()  # its `on_connect` comes first
            self._check_open(connection)
        if room in (connection.memberships or ()):
            return Joined(room=room, new=False)
        refused = await self._refused(connection, room)
        self._check_open(connection)
        if refused is None and room not in (connection.memberships or ()):
            refused = self._beyond_limits(connection, room)  # other joins may have come first
        if refused is not None:
            raise refused
        stay = _Stay()
        if not self._join(connection, room, stay):
            return Joined(room=room, new=False)  # another task was quicker, while authorize ran
        joined = await self._enter(connection, room, stay, since)
        if joined is None:
            raise _refusal(connection, room, "the connection left the room while it joined")
        return joined

    def joined(self, connection: Connection[Any], room: str) -> Joined | None:
        """See `RoomManager.joined`."""
        if room not in (connection.memberships or ()):
            return None
        note = self._note(connection, room)
        joined = note.joined if isinstance(note, _Stay) else note
        return joined if isinstance(joined, Joined) else Joined(room=room, new=False)

    async def leave(self, connection: Connection[Any], room: str) -> bool:
        """Leave and run `on_leave`; see `RoomManager.leave`."""
        leaving = self.start_leaving(connection, room)
        if leaving is None:
            return False
        if inside_hook_of() is None:  # a hook would wait for itself, or for others' hooks within its own time
            await asyncio.shield(leaving)
        return True

    def start_leaving(self, connection: Connection[Any], room: str) -> "asyncio.Task[None] | None":
        """Leave at once, and run `on_leave` in a task; `None` where the connection was no member."""
        note = self._note(connection, room)
        session = self._host.sessions.get(connection)
        if session is None or not self._host.registry.leave(connection, room):
            return None
        if self.reach is not None:
            self.reach.left(connection, room, on_purpose=True)
        self._hooks._tell_left(connection, room)
        leaving = session.run_beside(self._after_leave(connection, room, note))
        place = (connection.id, room)
        self._leaving[place] = leaving
        leaving.add_done_callback(lambda done: self._left(place, done))
        return leaving

    async def close(self, room: str, *, code: int | None, reason: str) -> int:
        """See `RoomManager.close_room`; here."""
        members = self._host.registry.in_room(room)
        self._host.listeners.close_room(room)
        if code is None:
            await asyncio.gather(*(self.leave(connection, room) for connection in members))
        else:
            for connection in members:
                connection.link.shut(DisconnectReason.CLOSED, code, reason, flush=True)
            await asyncio.gather(*(connection.link.closed() for connection in members))
        return len(members)

    def reset(self) -> None:
        """Forget what belongs to an event loop that is gone."""
        self._activities.clear()
        self._leaving.clear()

    async def _hold(self, session: Session[Any]) -> None:
        if self.reach is not None:
            await self.reach.hold(user_id=session.connection.user_id, room=session.room)

    async def _refused(self, connection: Connection[Any], room: str) -> Exception | None:
        if not isinstance(room, str):
            raise TypeError(f"a room's name is a str, not {type(room).__name__}")
        if (beyond := self._beyond_limits(connection, room)) is not None:
            return beyond
        allowed = False

        async def authorize() -> None:
            nonlocal allowed
            allowed = await self._hooks.authorize(connection, room)

        error = await self._host.runner.attempt(connection, "authorize", authorize)
        if isinstance(error, (HTTPException, WebSocketException, JoinRefused)):
            return error
        return None if allowed else _refusal(connection, room, "not allowed")

    def _beyond_limits(self, connection: Connection[Any], room: str) -> JoinRefused | None:
        longest, most = self._host.limits.room_name_bytes, self._host.limits.rooms_per_connection
        if longest is not None and len(room.encode(errors="surrogatepass")) > longest:
            return _refusal(connection, room, f"a room's name has at most {longest} bytes")
        if most is not None and len(connection.memberships or ()) >= most:
            return _refusal(connection, room, f"a connection may be in {most} rooms")
        policy = self._hooks.room_policy(room)
        room_for = None if policy is None else policy.members
        if room_for is not None and self._host.registry.count_in_room(room) >= room_for:
            return _refusal(connection, room, "the room is full")
        return None

    def _join(self, connection: Connection[Any], room: str, stay: _Stay) -> bool:
        new = self._host.registry.join(connection, room, stay)
        if new and self.reach is not None:
            try:
                self.reach.enter(connection, room)
            except BaseException:  # the function that is the history is the user's
                self._host.registry.leave(connection, room)
                raise
        return new

    async def _enter(self, connection: Connection[Any], room: str, stay: _Stay, since: object) -> Joined | None:
        """Send what was missed, and run the hooks of joining; `None`: the connection is no member after them."""
        joined = Joined(room=room, new=True)
        try:
            if self.reach is not None:
                await self.reach.hold(room=room)
                resumed = None
                if self._note(connection, room) is stay:  # else it has left, and may be joining again
                    resumed = await self.reach.resume(connection, room, since)
                if resumed is not None:
                    joined = replace(
                        joined, position=resumed.position, recovered=resumed.recovered, reason=resumed.reason
                    )
                    stay.joined = joined
                if self._note(connection, room) is stay:
                    self.reach.show(connection, room)
            leaving = self._leaving.get((connection.id, room))
            if leaving is not None and inside_hook_of() != connection.id:
                await asyncio.wait((leaving,))  # its `on_leave` comes before another `on_join`
            await self._make_active(connection, room)
            if self._note(connection, room) is stay:
                stay.began = True
                await self._host.runner.run(connection, "on_join", partial(self._hooks.on_join, connection, room))
        except BaseException:
            await self._undo(connection, room, stay)
            raise
        finally:
            stay.ended.set()
        self._check_open(connection)
        memberships = connection.memberships or {}
        if memberships.get(room) is not stay:
            return None
        memberships[room] = stay.joined  # settled
        return joined

    async def _undo(self, connection: Connection[Any], room: str, stay: _Stay) -> None:
        """The joining task was cancelled: leave again."""
        stay.ended.set()
        if self._note(connection, room) is stay:
            await self.leave(connection, room)

    async def _after_leave(
        self, connection: Connection[Any], room: str, note: object, within: float | None = None
    ) -> None:
        if isinstance(note, _Stay) and note.began:
            await note.ended.wait()
        if not isinstance(note, _Stay) or note.began:
            hook = partial(self._hooks.on_leave, connection, room)
            await self._host.runner.run(connection, "on_leave", hook, within=within)
        if self.reach is not None:
            self.reach.release_room(room)
        activity = self._activities.get(room)
        if activity is not None:
            await activity.leave(self._room_hook(connection, "on_room_idle", room, self._hooks.on_room_idle))
            self._forget_if_settled(room, activity)

    async def _make_active(self, connection: Connection[Any], room: str) -> None:
        if not self._watch_rooms:
            return
        activity = self._activities.get(room)
        session = self._host.sessions.get(connection)
        if session is not None and (activity is None or not activity.active):
            await asyncio.shield(session.run_beside(self._activate(connection, room)))

    async def _activate(self, connection: Connection[Any], room: str) -> None:
        # Looked up in the turn in which it is entered: one that is found settled in between is forgotten.
        activity = self._activities.get(room)
        if activity is None:
            activity = Activity(occupied=lambda: self._host.registry.count_in_room(room) > 0)
            self._activities[room] = activity
        await activity.enter(self._room_hook(connection, "on_room_active", room, self._hooks.on_room_active))
        self._forget_if_settled(room, activity)

    def _forget_if_settled(self, room: str, activity: Activity) -> None:
        if activity.settled:
            self._activities.pop(room, None)

    def _room_hook(
        self,
        connection: Connection[Any],
        name: str,
        room: str,
        hook: Callable[[str], Coroutine[Any, Any, None]],
    ) -> Callable[[], Awaitable[bool]]:
        return partial(self._host.runner.run, connection, name, partial(hook, room))

    def _left(self, place: tuple[str, str], leaving: "asyncio.Task[None]") -> None:
        if self._leaving.get(place) is leaving:
            del self._leaving[place]

    def _session_of(self, connection: Connection[Any]) -> Session[Any]:
        session = self._host.sessions.get(connection)
        if session is not None:
            return session
        self._check_open(connection)
        raise ConfigurationError(f"connection {connection.id} belongs to another manager: join with that one")

    def _note(self, connection: Connection[Any], room: str) -> object:
        return (connection.memberships or {}).get(room)

    def _check_open(self, connection: Connection[Any]) -> None:
        if connection.disconnect is not None:
            raise ConnectionClosed(connection_id=connection.id, disconnect=connection.disconnect)


def _refusal(connection: Connection[Any], room: str, reason: str) -> JoinRefused:
    return JoinRefused(connection_id=connection.id, room=room, reason=reason)
