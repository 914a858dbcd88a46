"""Members of rooms with a history who are not live: who has just joined, or fell behind, gets what was said."""

import logging
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import BrokerUnavailable, ConnectionClosed
from fastapi_rooms.fanout import Missed
from fastapi_rooms.history_ports import Local, Reason, Resumed
from fastapi_rooms.history_room import HistoryRoom, Stay
from fastapi_rooms.line import Line, Past, latest
from fastapi_rooms.position import Position
from fastapi_rooms.tasks import TaskOwner

logger = logging.getLogger("fastapi_rooms")


class Lines(Protocol):
    """Reads what of a room's line is not here. All of it raises `BrokerUnavailable` where it cannot."""

    async def settled(self, room: HistoryRoom, /) -> Line:
        """The line, once it is known where the room is."""
        ...

    async def caught_up(self, room: HistoryRoom, line: Line, /) -> Line:
        """The line, with all that there is now."""
        ...

    async def look_back(self, room: HistoryRoom, line: Line, /) -> None:
        """See to it that what the engine has of the time before is in the line; or it is of another epoch then."""
        ...


class Replays:
    """Brings members to where their room is, and then lets them go live: without a gap, and nothing twice.

    While a member is in `HistoryRoom.replaying`, it gets nothing live. It is taken out in the very step in which
    it is found to have all.

    Args:
        lines: Reads on.
        local: The manager.
        tasks: Owns the tasks of those who fell behind.
    """

    def __init__(self, lines: Lines, local: Local, tasks: TaskOwner) -> None:
        self._lines = lines
        self._local = local
        self._tasks = tasks

    async def resume(self, connection: Connection[Any], room: HistoryRoom, since: object) -> Resumed | None:
        """See `Histories.resume`."""
        stay = room.replaying.get(connection)
        if stay is None:
            return None
        try:
            line = await self._lines.settled(room)
            found = await self._since(connection, stay, room, line, since)
            if found.recovered or found.position is None or not room.history.on_join:
                return found
            return await self._latest(connection, stay, room, line, found)
        except BrokerUnavailable as error:
            logger.debug("nobody knows where %r is: %s", room.name[:80], error)
            room.unplaced = room.unplaced or room.line is None
            return Resumed(recovered=None if since is None else False, reason="unavailable")
        finally:
            if room.replaying.get(connection) is stay:  # else it has left, and may be back already
                del room.replaying[connection]

    def missed(self, room: HistoryRoom, line: Line) -> Missed:
        """For the message that comes next: who does not get it falls behind, and is brought back."""
        return partial(self._fall_behind, room, line, Position(room.name, line.epoch, line.last))

    def _fall_behind(self, room: HistoryRoom, line: Line, position: Position, connection: Connection[Any]) -> None:
        stay = room.replaying[connection] = Stay()
        stay.task = self._tasks.spawn(self._bring_back(connection, stay, room, line, position), name="replay")

    async def _bring_back(
        self, connection: Connection[Any], stay: Stay, room: HistoryRoom, line: Line, position: Position
    ) -> None:
        """Wait until the client has read half of what is queued, and send what it has missed meanwhile."""
        told = False
        try:
            await connection.link.until_half_empty()
            told = (await self._replay(connection, stay, room, line, position)).recovered is True
        except BrokerUnavailable as error:
            logger.debug("what a slow consumer in %r has missed could not be read: %s", room.name[:80], error)
        except ConnectionClosed:
            told = True
        finally:
            if room.replaying.get(connection) is stay:  # else it has left, and may be back already
                del room.replaying[connection]
                if not told:
                    self._local.position_lost(connection)

    async def _since(
        self, connection: Connection[Any], stay: Stay, room: HistoryRoom, line: Line, since: object
    ) -> Resumed:
        """Send all since this position."""
        if since is None:
            return Resumed(position=_end(room, line))
        position = since if isinstance(since, Position) else Position.parse(since, room=room.name)
        if position is None or position.room != room.name:
            return _lost(room, line, "epoch_changed")
        return await self._replay(connection, stay, room, line, position)

    async def _latest(
        self, connection: Connection[Any], stay: Stay, room: HistoryRoom, line: Line, found: Resumed
    ) -> Resumed:
        """Send what everybody gets who joins; and what is said meanwhile."""
        most = room.history.on_join
        is_for = partial(_is_for, connection)
        messages = latest(filter(is_for, line.newest_first()), most)
        while len(messages) != most and not line.complete:
            await self._lines.look_back(room, line)
            messages = latest(filter(is_for, line.newest_first()), most)
        end = _end(room, line)
        for past in messages:
            if room.replaying.get(connection) is not stay:
                return Resumed()
            await connection.send(past.payload)
        followed = await self._replay(connection, stay, room, line, end)
        return replace(found, position=followed.position) if followed.recovered else followed

    async def _replay(
        self, connection: Connection[Any], stay: Stay, room: HistoryRoom, line: Line, since: Position
    ) -> Resumed:
        if since.epoch == line.epoch and since.offset > line.last:  # it was at a process that is ahead of this one
            line = await self._lines.caught_up(room, line)
        at = since.offset
        while since.epoch == line.epoch:
            missed = line.after(at)
            if missed is None and at < line.start and not line.looked:
                await self._lines.look_back(room, line)
                missed = line.after(at)
            if missed is None:
                break
            if not missed:
                return Resumed(position=Position(room.name, line.epoch, at), recovered=True)
            for past in missed:
                if room.replaying.get(connection) is not stay:
                    return Resumed()
                if _is_for(connection, past):
                    await connection.send(past.payload)
                at = past.offset
        if since.epoch != line.epoch or since.offset > line.last:
            return _lost(room, line, "epoch_changed")
        too_many = line.last - since.offset > room.history.messages
        return _lost(room, line, "too_many" if too_many else "expired")


def _is_for(connection: Connection[Any], past: Past) -> bool:
    spared = connection.id in past.exclude or connection.user_id in past.exclude_users
    return past.payload is not None and not spared


def _end(room: HistoryRoom, line: Line) -> Position:
    return Position(room.name, line.epoch, line.last)


def _lost(room: HistoryRoom, line: Line, reason: Reason) -> Resumed:
    return Resumed(position=_end(room, line), recovered=False, reason=reason)
