"""Rooms with a history in this process: live messages in order, and gaps repaired."""

import asyncio
import logging
from typing import Any, Final

from fastapi_rooms.brokers.streams import Entry, Page, Place
from fastapi_rooms.connection import Connection
from fastapi_rooms.envelope import ForeignMessage, Header, payload_of, unseal
from fastapi_rooms.errors import BrokerUnavailable
from fastapi_rooms.history_ports import DeliverHere, Local, ReadHistory, Resumed
from fastapi_rooms.history_room import HistoryRoom, Stay
from fastapi_rooms.line import Line, Past, Verdict
from fastapi_rooms.options import History
from fastapi_rooms.position import Position
from fastapi_rooms.replays import Replays
from fastapi_rooms.tasks import TaskOwner

logger = logging.getLogger("fastapi_rooms")

_TRIES: Final = 3
"""Times that a gap is read for, before what follows it is taken as a new beginning."""

_PAUSE: Final = 1.0
"""Seconds until a history that could not be read is read again, unless somebody asks before."""

_READS: Final = 32
"""Histories that are read at the same time."""

_WAITING: Final = 100
"""Messages, at least, that may wait in a room while its history is read."""


class Histories:
    """The rooms with a history that have, or had a moment ago, a member here.

    Args:
        read: How a history is read.
        deliver_here: How a message is delivered.
        local: The manager.
    """

    def __init__(self, read: ReadHistory, deliver_here: DeliverHere, local: Local) -> None:
        self._read_one = read
        self._reads = asyncio.Semaphore(_READS)
        self._deliver_here = deliver_here
        self._local = local
        self._rooms: dict[str, HistoryRoom] = {}
        self._tasks = TaskOwner()
        self._replays = Replays(self, local, self._tasks)

    def __contains__(self, room: str) -> bool:
        """Whether it is one of them."""
        return room in self._rooms

    def enter(self, connection: Connection[Any], room: str, history: History) -> None:
        """The connection becomes a member now: `resume` will say, and send, where it begins."""
        state = self._rooms.get(room)
        if state is None:
            state = self._rooms[room] = HistoryRoom(room, history, waiting=max(history.messages, _WAITING))
        state.replaying[connection] = Stay()

    def left(self, connection: Connection[Any], room: str) -> None:
        """It is none any more, or will not be."""
        state = self._rooms.get(room)
        if state is not None:
            state.left(connection)

    def forget(self, room: str) -> None:
        """Nobody here has needed the room for a while, and it is not listened to any more."""
        state = self._rooms.pop(room, None)
        if state is not None:
            state.forget()

    async def stop(self, timeout: float) -> None:
        """Forget all rooms."""
        for room in tuple(self._rooms):
            self.forget(room)
        await self._tasks.join(timeout)
        self._reads = asyncio.Semaphore(_READS)  # of the next event loop

    def restored(self) -> None:
        """Messages are heard again: see for each room, once, whether some were missed."""
        for state in tuple(self._rooms.values()):
            if state.settling is not None:
                self._read_anew(state)

    async def came(self, place: Place, header: Header, body: bytes) -> None:
        """A message has come live."""
        state = self._rooms.get(header.room or "")
        if state is None or state.settling is None:
            return  # the last member has left; or the first one may not be listening yet, and will read
        if not state.behind and state.line is not None:
            verdict = state.line.verdict(place)
            if verdict is Verdict.NEXT:
                past = self._past(state, place, header, body)
                await self._deliver(state, state.line, past)
                if past.payload is None:
                    raise ForeignMessage
            if verdict is not Verdict.GAP:
                return
        state.behind = True
        state.waiting.append((place, header, body))
        self._settle(state)

    async def resume(self, connection: Connection[Any], room: str, since: object) -> Resumed | None:
        """Send a member what it has missed, then let it go live; without a gap, and nothing twice.

        Args:
            connection: Who has entered.
            room: Which.
            since: The position that it brought, as text. `None`: it begins here, with `History.on_join`.

        Returns:
            Where it begins; nothing of note where it leaves meanwhile. `None`: it has not entered.

        Raises:
            ConnectionClosed: It has ended.
            ConfigurationError: The broker keeps no history.
        """
        state = self._rooms.get(room)
        return None if state is None else await self._replays.resume(connection, state, since)

    async def settled(self, state: HistoryRoom) -> Line:
        """See `Lines`."""
        if state.line is None:
            await self._ended(self._settle(state))
        if state.line is None:
            raise BrokerUnavailable("the history of a room could not be read")
        return state.line

    async def caught_up(self, state: HistoryRoom, line: Line) -> Line:
        """See `Lines`."""
        await self._ended(self._read_anew(state))
        if state.again is not None:
            raise BrokerUnavailable("the history of a room could not be read on")
        return state.line or line

    async def _ended(self, settling: "asyncio.Task[None]") -> None:
        """Wait for it; where somebody else cancels it, that is no reason to be cancelled."""
        await asyncio.wait((settling,))
        if not settling.cancelled() and (error := settling.exception()) is not None:
            raise error

    async def _read(self, room: str, *, after: int, most: int) -> Page:
        async with self._reads:
            return await self._read_one(room, after=after, most=most)

    async def look_back(self, state: HistoryRoom, line: Line) -> None:
        """See `Lines`: all that the engine has is read once, whoever asks."""
        if state.looking is None or state.looking.done():
            state.looking = self._tasks.spawn(self._look(state, line), name="history")
        epoch = line.epoch
        await self._ended(state.looking)
        if not line.looked and line.epoch == epoch:
            raise BrokerUnavailable("what was before in a room could not be read")

    async def _look(self, state: HistoryRoom, line: Line) -> None:
        try:
            page = await self._read(state.name, after=0, most=state.history.messages)
        except BrokerUnavailable as error:
            logger.debug("what %r was before could not be read: %s", state.name[:80], error)
        else:
            self._keep_older(state, line, page)
            if not line.looked:  # it is of another epoch
                await self._ended(self._read_anew(state))

    def _read_anew(self, state: HistoryRoom) -> "asyncio.Task[None]":
        """Read what there is now, even where something is being read already."""
        state.behind = state.reread = True
        return self._settle(state)

    def _settle(self, state: HistoryRoom) -> "asyncio.Task[None]":
        if state.again is not None:
            state.again.cancel()
            state.again = None
        if state.settling is None or state.settling.done():
            state.settling = self._tasks.spawn(self._catch_up(state), name="history")
        return state.settling

    async def _catch_up(self, state: HistoryRoom) -> None:
        """Read what is missing, and deliver it, and then what has come meanwhile."""
        try:
            for _ in range(_TRIES):
                state.reread = False
                await self._read_on(state)
                if await self._drain(state):
                    return
            if state.line is not None and state.waiting:
                place = state.waiting[0][0]
                self._begin(state, state.line, place.epoch, place.previous)
                if await self._drain(state):
                    return
        except BrokerUnavailable as error:
            logger.debug("the history of %r could not be read: %s", state.name[:80], error)
        state.again = asyncio.get_running_loop().call_later(_PAUSE, self._settle, state)

    def _begin(self, state: HistoryRoom, line: Line, epoch: str, last: int) -> None:
        line.begin(epoch, last)
        self._local.continuity_lost(state.name, told=state.joining)

    async def _read_on(self, state: HistoryRoom) -> None:
        line = state.line
        newest = state.waiting[-1] if state.waiting else None
        older = line is not None or state.history.on_join  # else it is read when somebody needs it
        most = state.history.messages if older else 0
        page = await self._read(state.name, after=0 if line is None else line.last, most=most)
        if line is None:
            state.line = Line(page.epoch, page.last, most=state.history.messages)
            if older:
                self._keep_older(state, state.line, page)
            if state.unplaced:  # what was said before this place never reached them
                state.unplaced = False
                self._local.continuity_lost(state.name, told=tuple(state.replaying))
        elif page.epoch == line.epoch and page.has_all_after(line.last):
            for entry in page.entries:
                await self._deliver(state, line, self._kept(state, page.epoch, entry))
        elif page.epoch == line.epoch and any(line.verdict(one[0]) is Verdict.NEXT for one in state.waiting):
            return  # what the engine does not keep any more has come live
        else:
            self._begin(state, line, page.epoch, page.last)
        if newest is not None and newest in state.waiting:
            # What came before the read, of another epoch, is of one that is over.
            known = [state.waiting.popleft() for _ in range(state.waiting.index(newest) + 1)]
            state.waiting.extendleft(one for one in reversed(known) if one[0].epoch == page.epoch)

    async def _drain(self, state: HistoryRoom) -> bool:
        """Deliver what waits; whether all of it followed."""
        line = state.line
        while line is not None and state.waiting:
            place, header, body = state.waiting[0]
            verdict = line.verdict(place)
            if verdict is Verdict.GAP:
                return False
            state.waiting.popleft()
            if verdict is Verdict.NEXT:
                await self._deliver(state, line, self._past(state, place, header, body))
        state.behind = state.reread
        return not state.reread

    async def _deliver(self, state: HistoryRoom, line: Line, past: Past) -> None:
        # Members who are being replayed to find it in the line, and get it from there.
        found = [self._local.find(one) for one in past.exclude]
        exclude = [*state.replaying, *(one for one in found if one is not None)]
        missed = self._replays.missed(state, line)
        line.add(past)
        if past.payload is None:
            return
        try:
            await self._deliver_here(
                past.payload,
                room=state.name,
                user=None,
                exclude=exclude,
                exclude_users=past.exclude_users,
                key=past.key,
                missed=missed,
            )
        except Exception:  # `room_policy` and the function that is the history are the user's
            logger.exception("a message of %r was not delivered: its members are told", state.name[:80])
            self._local.continuity_lost(state.name, told=tuple(state.replaying))

    def _keep_older(self, state: HistoryRoom, line: Line, page: Page) -> None:
        line.look_back(page, [self._kept(state, page.epoch, entry) for entry in page.entries])

    def _kept(self, state: HistoryRoom, epoch: str, entry: Entry) -> Past:
        place = Place(epoch, entry.offset, entry.previous)
        try:
            return self._past(state, place, *unseal(entry.data))
        except ForeignMessage as error:
            logger.warning("in the history of %r: %s", state.name[:80], error)
            return Past(entry.offset, entry.previous, None)

    def _past(self, state: HistoryRoom, place: Place, header: Header, body: bytes) -> Past:
        position = Position(state.name, place.epoch, place.offset)
        try:
            payload = self._local.encode(payload_of(header, body), position)
        except ForeignMessage as error:
            logger.debug("nobody in %r gets a message: %s", state.name[:80], error)
            payload = None
        return Past(place.offset, place.previous, payload, header.exclude, header.exclude_users, header.key)
