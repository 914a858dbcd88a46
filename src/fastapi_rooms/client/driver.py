"""Runs a conversation over one connection after the other: the one task of a client, and those that it awaits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, Protocol, TypeVar

from fastapi_rooms.client.conversation import Conversation
from fastapi_rooms.client.failures import ClientClosed
from fastapi_rooms.client.happenings import Happening, HungUp, SentAway, TokenDue, Welcomed
from fastapi_rooms.client.hearing import hear
from fastapi_rooms.client.returning import End, Reached, Returning
from fastapi_rooms.client.tokens import life_of
from fastapi_rooms.client.values import State
from fastapi_rooms.client.wire import CannotOpen, Opener, Wire, WireEnded
from fastapi_rooms.errors import RoomsError

T = TypeVar("T")
Token = str | Callable[[], "Awaitable[str | None] | str | None"] | None
"""A token, or what gives one, each time that it is asked."""


class TokenUnavailable(RoomsError):
    """The client's token function failed, or gave no text."""


class Audience(Protocol):
    """Who is told."""

    def take(self, happening: Happening) -> None:
        """Something has happened."""
        ...

    def enter(self, state: State) -> None:
        """The client is in another state."""
        ...

    def complain(self, error: Exception) -> None:
        """Something goes wrong that nobody waits for, and is tried again."""
        ...

    def finish(self, error: ClientClosed) -> None:
        """The hub does not want this client back."""
        ...


class Driver:
    """The life of a client.

    Args:
        conversation: What is said.
        returning: When to come back.
        openers: How to open a WebSocket, and an event stream.
        token: See there.
        timeout: Seconds for all that comes before `connected`.
        audience: Who is told.
    """

    def __init__(
        self,
        conversation: Conversation,
        returning: Returning,
        openers: Callable[[bool], Opener],
        *,
        token: Token,
        timeout: float,
        audience: Audience,
    ) -> None:
        self._conversation = conversation
        self._returning = returning
        self._openers = openers
        self._token = token
        self._timeout = timeout
        self._audience = audience
        self._reached = Reached.NOTHING
        self._started = False
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._sendable = asyncio.Event()
        self._hung_up: asyncio.Future[End] | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Connect, and connect again, until the hub does not want that any more.

        Cancelled, it says goodbye, in a second at most; cancelled again, it ends at once. No task is left.
        """
        loop = asyncio.get_running_loop()
        self._started = True
        self.pump()
        while True:
            self._reached = Reached.NOTHING
            self._audience.enter("connecting")
            end, problem = await self._connect()
            delay = self._returning.ended(end, self._reached, now=loop.time())
            if delay is None:
                self._audience.finish(ClientClosed(f"the hub has {end}", close_code=end.code))
                return
            self._audience.complain(problem)
            self._audience.enter("waiting")
            await asyncio.sleep(delay)

    def pump(self) -> None:
        """Tell what has happened, send what is to be sent, set the timer: after each word to the conversation."""
        if self._pumping:
            return  # a callback speaks: who called it goes on
        self._pumping = True
        try:
            while happened := self._conversation.happened():
                for happening in happened:
                    self._take(happening)
        finally:
            self._pumping = False
        if self._conversation.outbox:
            self._sendable.set()
        if self._started:
            self._set_timer()

    async def _connect(self) -> tuple[End, Exception]:
        """One connection, from the token to its end; and that as an error."""
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(deadline):
                token = await self._fetch()
                self._reached = Reached.REFUSED  # until it is open
                wire = await self._openers(self._returning.streams).open()
        except CannotOpen as error:
            if not error.answered:
                self._reached = Reached.NOTHING
            return error.end, error
        except TokenUnavailable as error:
            return End(reason=str(error)), error
        except TimeoutError:
            late = TimeoutError("no connection came in time")
            return End(reason=str(late)), late
        self._reached = Reached.OPEN
        end = await self._serve(wire, token, deadline)
        return end, WireEnded(end)

    async def _serve(self, wire: Wire, token: str | None, deadline: float) -> End:
        loop = asyncio.get_running_loop()
        self._hung_up = hung_up = loop.create_future()
        life = life_of(token, now=time.time()) if callable(self._token) else None
        self._conversation.opened(token, life=life, until=deadline)
        reading = _start(self._read(wire), "reads")
        writing = _start(self._write(wire), "writes")
        self.pump()
        try:
            await asyncio.wait({reading, writing, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._let_go(wire, {reading, writing}, politely=True)
            raise
        await self._let_go(wire, {reading, writing}, politely=False)
        return _end_of(hung_up, reading, writing)

    async def _let_go(self, wire: Wire, tasks: set["asyncio.Task[End]"], *, politely: bool) -> None:
        self._hung_up = None
        self._conversation.ended()
        self.pump()
        others = tasks if self._renewing is None else {*tasks, self._renewing}
        self._renewing = None
        for task in others:
            task.cancel()
        try:
            await asyncio.wait(others)
        finally:
            await wire.close(politely=politely)

    async def _read(self, wire: Wire) -> End:
        loop = asyncio.get_running_loop()
        try:
            while True:
                message = await wire.receive()
                hear(self._conversation, message, now=loop.time())
                self.pump()
        except WireEnded as error:
            return error.end

    async def _write(self, wire: Wire) -> End:
        try:
            while True:
                await self._sendable.wait()
                self._sendable.clear()
                while (frames := self._conversation.take()) is not None:
                    await wire.send(frames)
        except WireEnded as error:
            return error.end

    async def _renew(self) -> None:
        try:
            token = await self._fetch()
        except TokenUnavailable as error:
            self._audience.complain(error)
            token = None
        if token is None:
            self._conversation.renewal.fail(now=asyncio.get_running_loop().time())
        else:
            self._conversation.refresh(token)
        self.pump()

    async def _fetch(self) -> str | None:
        if not callable(self._token):
            return self._token
        try:
            found = self._token()
            token = await found if isawaitable(found) else found
        except Exception as error:
            raise TokenUnavailable(f"the token function failed: {error!r}") from error
        if token is not None and not isinstance(token, str):
            raise TokenUnavailable(f"the token function gave a {type(token).__name__}, and no text")
        return token

    def _take(self, happening: Happening) -> None:
        match happening:
            case HungUp(code, reason):
                if self._hung_up is not None and not self._hung_up.done():
                    self._hung_up.set_result(End(code, reason))
            case SentAway(delay):
                self._returning.told_to_wait(delay)
            case TokenDue():
                if self._renewing is None or self._renewing.done():
                    self._renewing = _start(self._renew(), "token")
            case Welcomed():
                self._reached = Reached.CONNECTED
                self._returning.connected(asyncio.get_running_loop().time())
                self._audience.take(happening)
                self._audience.enter("connected")
            case _:
                self._audience.take(happening)

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._conversation.due(loop.time())
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return  # it may come too early: then it is set anew, and not for each message
            self._timer.cancel()
        self._timer = None if due is None else loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._conversation.tick(asyncio.get_running_loop().time())
        self.pump()


def _start(work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
    return asyncio.get_running_loop().create_task(work, name=f"fastapi_rooms client {name}")


def _end_of(hung_up: "asyncio.Future[End]", *tasks: "asyncio.Task[End]") -> End:
    """How the connection ended; a task that failed of itself raises here."""
    if hung_up.done():
        return hung_up.result()
    ends = [task.result() for task in tasks if not task.cancelled()]
    return next((end for end in ends if end.code != End().code), ends[0])
