"""Where what has happened reaches those who wait for it: requests, rooms, callbacks."""

import asyncio
import logging
from typing import Any, Final, Protocol

from fastapi_rooms.client.composing import Raw
from fastapi_rooms.client.conversation import Conversation
from fastapi_rooms.client.failures import ClientClosed, RequestTimeout
from fastapi_rooms.client.feed import Feed, Watched
from fastapi_rooms.client.happenings import (
    Answered,
    Complained,
    Entered,
    Failed,
    Happening,
    Missed,
    Out,
    PresenceTold,
    Said,
    Welcomed,
)
from fastapi_rooms.client.listeners import Listeners
from fastapi_rooms.client.membership import Membership
from fastapi_rooms.client.room import ClientRoom
from fastapi_rooms.client.values import State

logger = logging.getLogger("fastapi_rooms")

_LEAVING: Final = 10.0
"""Seconds for the hub to say `left`; the client is no member either way."""


class Pump(Protocol):
    """Carries on what was told the conversation."""

    def __call__(self) -> None:
        """See `Driver.pump`."""
        ...


class Desk:
    """The `Audience` of one client, and its rooms' `Desk`.

    Args:
        conversation: What is said.
        buffer: Messages that wait to be read, of each room and of none.

    Attributes:
        pump: Set by the client, before anything else.
        state: The client's.
        messages: Those of no room.
        listeners: The client's.
        closed: Why it is over; `None`: it is not.
        connection: The id of the connection, the last there was; `None`: there was none.
        user: Whose it is.
    """

    pump: Pump

    def __init__(self, conversation: Conversation, *, buffer: int) -> None:
        self.state: Watched[State] = Watched("connecting")
        self.messages = Feed(buffer)
        self.listeners = Listeners()
        self.closed: ClientClosed | None = None
        self.connection: str | None = None
        self.user: str | None = None
        self._conversation = conversation
        self._buffer = buffer
        self._rooms: dict[Membership, ClientRoom] = {}
        self._answers: dict[int, asyncio.Future[Answered | Failed]] = {}

    # For the client and its rooms.

    def join(self, name: str, since: str | None) -> ClientRoom:
        """The handle on a room."""
        self._check_open()
        membership = self._conversation.join(name, since)
        room = self._rooms.get(membership)
        if room is None:
            room = self._rooms[membership] = ClientRoom(membership, self, buffer=self._buffer)
        self.pump()
        return room

    async def ask(
        self, kind: str, name: str, data: Raw, membership: Membership | None, timeout: float | None
    ) -> Any:
        """Send a request, and wait for its answer."""
        self._check_open()
        return await self._answer(self._conversation.request(kind, name, data, membership), timeout)

    async def tell_presence(self, membership: Membership, metadata: Raw, timeout: float | None) -> None:
        """See `ClientPresence.update`."""
        self._check_open()
        told = self._conversation.tell_presence(membership, metadata)
        if told is not None:
            await self._answer(told, timeout)

    async def leave(self, membership: Membership) -> None:
        """See `ClientRoom.leave`."""
        leaving = self._conversation.leave(membership)
        self.pump()
        if leaving is not None:
            try:
                await self._answer(leaving, _LEAVING)
            except RequestTimeout:
                logger.info("the hub has not answered for %g s that %r is left", _LEAVING, membership.name[:80])

    # What is heard.

    def take(self, happening: Happening) -> None:
        """Something has happened."""
        match happening:
            case Said(None, message):
                self.messages.put(message)
                self.listeners.call(f"message {message.event}", message)
                self.listeners.call("message *", message)
            case Said(membership, message) if membership in self._rooms:
                self._rooms[membership]._hear(message)
            case Entered(membership, joined, waiting) if membership in self._rooms:
                self._rooms[membership]._enter(joined, waiting=waiting)
            case Out(membership, error) if membership in self._rooms:
                self._rooms.pop(membership)._end(error, closed=self.closed)
            case PresenceTold(membership, changes) if membership in self._rooms:
                self._rooms[membership].presence._told(changes)
            case Answered(request_id, _) | Failed(request_id, _):
                self._settle(request_id, happening)
            case Complained(error):
                self.complain(error)
            case Missed(messages, size):
                self.listeners.call("dropped", messages, size)
            case Welcomed(connection, user):
                self.connection, self.user = connection, user

    def enter(self, state: State) -> None:
        """The client is in another state."""
        if state != self.state.value and (self.closed is None or state == "closed"):
            self.state.set(state)
            self.listeners.call("state", state)

    def complain(self, error: Exception) -> None:
        """Something goes wrong that nobody waits for."""
        if not self.listeners.call("error", error):
            logger.warning("a client of a hub: %s", error)

    def finish(self, error: ClientClosed) -> None:
        """It is over. Once."""
        if self.closed is not None:
            return
        self.closed = error
        wanted = error.close_code is None
        self._conversation.close(error, rooms=None if wanted else error)
        self.pump()
        self.messages.end(None if wanted else error)
        self.enter("closed")
        self.state.end()

    def _settle(self, request_id: int, outcome: Answered | Failed) -> None:
        future = self._answers.pop(request_id, None)
        if future is not None and not future.done():
            future.set_result(outcome)

    async def _answer(self, request_id: int, timeout: float | None) -> Any:
        future = self._answers[request_id] = asyncio.get_running_loop().create_future()
        self.pump()
        try:
            async with asyncio.timeout(timeout):
                outcome = await future
        except TimeoutError:
            raise RequestTimeout(sent=self._forget(request_id)) from None
        except asyncio.CancelledError:
            self._forget(request_id)  # what nobody waits for any more is not sent either
            raise
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome.data

    def _forget(self, request_id: int) -> bool:
        """Whether it was sent."""
        return self._answers.pop(request_id, None) is None or self._conversation.outbox.forget(request_id)

    def _check_open(self) -> None:
        if self.closed is not None:
            raise self.closed
