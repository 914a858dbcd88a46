"""What this process publishes: in one order, several messages to a request, and never for longer than it may."""

import asyncio
from collections import deque
from typing import Final

from fastapi_rooms.brokers.interface import BrokerConnection
from fastapi_rooms.cluster.failures import raise_if_cancelled
from fastapi_rooms.errors import BrokerUnavailable

BATCH: Final = 256
"""Messages in one request to the engine."""

MOST_WAITING: Final = 10_000
"""Messages that may wait for the engine; one more is refused at once."""


class _Letter:
    __slots__ = ("channel", "data", "done", "sending")

    def __init__(self, channel: str, data: bytes, done: "asyncio.Future[None]") -> None:
        self.channel = channel
        self.data = data
        self.done = done
        self.sending = False


class Outbox:
    """Messages on their way to the engine.

    Args:
        timeout: Seconds until the engine must have taken a message.
    """

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._waiting: deque[_Letter] = deque()
        self._sending: list[_Letter] = []
        self._filled = asyncio.Event()
        self._closed: str | None = "the broker is not connected yet"

    async def publish(self, channel: str, data: bytes) -> None:
        """Hand over a message; returns when the engine has taken it.

        Raises:
            BrokerUnavailable: It did not, in time, or it is out of reach.
        """
        if self._closed is not None:
            raise BrokerUnavailable(self._closed)
        if len(self._waiting) >= MOST_WAITING:
            raise BrokerUnavailable(f"{MOST_WAITING} messages wait for the broker already")
        loop = asyncio.get_running_loop()
        letter = _Letter(channel, data, loop.create_future())
        self._waiting.append(letter)
        self._filled.set()
        timer = loop.call_later(self._timeout, _expire, letter.done)
        try:
            await letter.done
        except TimeoutError:
            text = f"the broker has not taken a message in {self._timeout:g} s"
            raise BrokerUnavailable(text, maybe_published=letter.sending) from None
        finally:
            timer.cancel()

    def open(self) -> None:
        """Take messages: there is a connection."""
        self._closed = None

    async def run(self, connection: BrokerConnection) -> None:
        """Send what comes, until the connection fails."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._take():
                async with asyncio.timeout(self._timeout):
                    await connection.publish([(letter.channel, letter.data) for letter in self._sending])
                for letter in self._sending:
                    if not letter.done.done():
                        letter.done.set_result(None)
                raise_if_cancelled()

    def close(self, why: str) -> None:
        """Take no messages, and give back those that wait: the connection is gone."""
        self._closed = why
        for letter in (*self._sending, *self._waiting):
            if not letter.done.done():
                letter.done.set_exception(BrokerUnavailable(why, maybe_published=letter.sending))
        self._sending = []
        self._waiting.clear()

    def _take(self) -> bool:
        self._sending = []
        while self._waiting and len(self._sending) < BATCH:
            letter = self._waiting.popleft()
            if not letter.done.done():  # else who published it does not wait any more: it is not sent
                letter.sending = True
                self._sending.append(letter)
        return bool(self._sending)


def _expire(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_exception(TimeoutError())
