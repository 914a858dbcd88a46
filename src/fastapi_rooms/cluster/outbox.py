"""What this process publishes: in one order, several messages to a request, and never for longer than it may."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Final

from fastapi_rooms.brokers.interface import BrokerConnection
from fastapi_rooms.brokers.streams import Append, Appended, StreamConnection
from fastapi_rooms.cluster.failures import raise_if_cancelled
from fastapi_rooms.errors import BrokerUnavailable, ConfigurationError

BATCH: Final = 256
"""Messages in one request to the engine."""

MOST_WAITING: Final = 10_000
"""Messages that may wait for the engine; one more is refused at once."""


class _Letter:
    __slots__ = ("append", "done", "due", "message", "sending")

    def __init__(
        self,
        message: tuple[str, bytes],
        append: Append | None,
        done: "asyncio.Future[Appended | None]",
        due: float,
    ) -> None:
        self.message = message
        self.append = append
        self.done = done
        self.due = due
        self.sending = False


class Outbox:
    """Messages on their way to the engine.

    One timer looks after all of them, so that a message which is taken at once costs none.

    Args:
        timeout: Seconds until the engine must have taken a message.
    """

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._waiting: deque[_Letter] = deque()
        self._sending: list[_Letter] = []
        self._sent_at = 0.0
        self._deadline: asyncio.Timeout | None = None
        self._idle: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed: str | None = "the broker is not connected yet"

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand over a message; returns when the engine has taken it.

        Raises:
            BrokerUnavailable: It did not, in time, or it is out of reach.
        """
        await self._post((channel, data), None)

    async def append(self, message: Append) -> Appended:
        """Hand over a message for a stream; where it went.

        Raises:
            BrokerUnavailable: See `publish`.
            ConfigurationError: The engine keeps no streams.
        """
        try:
            appended = await self._post((message.channel, message.data), message)
        except BrokerUnavailable:
            await asyncio.sleep(0)  # who tries again at once must not hold up the loop that brings the broker back
            raise
        if appended is None:
            raise ConfigurationError("this broker keeps no history")
        return appended

    async def _post(self, message: tuple[str, bytes], append: Append | None) -> Appended | None:
        if self._closed is not None:
            raise BrokerUnavailable(self._closed)
        if len(self._waiting) >= MOST_WAITING:
            raise BrokerUnavailable(f"{MOST_WAITING} messages wait for the broker already")
        loop = asyncio.get_running_loop()
        letter = _Letter(message, append, loop.create_future(), loop.time() + self._timeout)
        self._waiting.append(letter)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if self._timer is None:
            self._timer = loop.call_at(letter.due, self._look)
        try:
            return await letter.done
        except TimeoutError:
            text = f"the broker has not taken a message in {self._timeout:g} s"
            raise BrokerUnavailable(text, maybe_published=letter.sending) from None

    def open(self) -> None:
        """Take messages: there is a connection."""
        self._closed = None

    async def run(self, connection: BrokerConnection) -> None:
        """Send what comes, until the connection fails.

        Raises:
            TimeoutError: It has not taken a request in time.
            Exception: What it raises.
        """
        try:
            async with asyncio.timeout(None) as self._deadline:
                await self._send(connection, connection if isinstance(connection, StreamConnection) else None)
        finally:
            self._deadline = None

    def close(self, why: str) -> None:
        """Take no messages, and give back those that wait: the connection is gone."""
        self._closed = why
        for letter in chain(self._sending, self._waiting):
            if not letter.done.done():
                letter.done.set_exception(BrokerUnavailable(why, maybe_published=letter.sending))
        self._sending = []
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _send(self, connection: BrokerConnection, streams: StreamConnection | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self._take():
                self._sent_at = loop.time()
                appended: Sequence[Appended | None] = ()
                if self._sending[0].append is not None:
                    appended = await self._append(streams)
                else:
                    await connection.publish([letter.message for letter in self._sending])
                for letter, where in zip_longest(self._sending, appended):
                    if not letter.done.done():
                        letter.done.set_result(where)
                raise_if_cancelled()
            self._idle = loop.create_future()
            await self._idle

    async def _append(self, streams: StreamConnection | None) -> Sequence[Appended | None]:
        if streams is None:
            return ()
        try:
            return await streams.append([letter.append for letter in self._sending if letter.append is not None])
        except ConfigurationError as error:  # the connection is good for all else
            for letter in self._sending:
                if not letter.done.done():
                    letter.done.set_exception(error)
            return ()

    def _take(self) -> bool:
        """Take those that come next: plain ones, or those for streams."""
        self._sending = []
        while self._waiting and len(self._sending) < BATCH:
            if self._sending and (self._waiting[0].append is None) is not (self._sending[0].append is None):
                break
            letter = self._waiting.popleft()
            if not letter.done.done():  # else who published it does not wait any more: it is not sent
                letter.sending = True
                self._sending.append(letter)
        return bool(self._sending)

    def _look(self) -> None:
        """Give up what is late: messages, and the request on its way; look again when the next may be."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        dues = []
        for letter in chain(self._sending, self._waiting):  # in the order in which they are due
            if letter.due > now:
                dues.append(letter.due)
                break
            if not letter.done.done():
                letter.done.set_exception(TimeoutError())
        if self._sending and self._deadline is not None:
            due = self._sent_at + self._timeout
            if due > now:
                dues.append(due)
            else:
                self._deadline.reschedule(now)
                self._deadline = None
        self._timer = loop.call_at(min(dues), self._look) if dues else None
