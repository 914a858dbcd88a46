"""Which channels this process wants, and which it hears: brought together by one task, so that nothing races."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from fastapi_rooms.brokers.interface import BrokerConnection
from fastapi_rooms.cluster.failures import raise_if_cancelled

BATCH: Final = 500
"""Channels in one request to the engine."""


class Subscriptions:
    """Wanted and heard channels.

    Whoever needs a channel says so (`hold`) and waits until it is heard; `release` says that nobody needs it now.
    Only `keep` talks to the engine: it looks at what is wanted whenever that has changed, subscribes to what is
    missing and leaves what is not wanted any more. A hold that comes while the last one is being left is no race:
    it is one more look.

    Args:
        wanted: Whether a channel is needed now; asked when its time to linger is over. If not, it is left.
        linger: Seconds for which a channel that was released is listened to.
        timeout: Seconds for one request to the engine.
    """

    def __init__(self, *, wanted: Callable[[str], bool], linger: float, timeout: float) -> None:
        self._is_wanted = wanted
        self._linger = linger
        self._timeout = timeout
        self._wanted: dict[str, None] = {}
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._heard: set[str] = set()
        self._to_leave: dict[str, None] = {}
        self._to_hear: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._progress: asyncio.Future[None] | None = None
        self._connected = False

    def __len__(self) -> int:
        """Channels that are heard now."""
        return len(self._heard)

    def hears(self, channel: str) -> bool:
        """Whether what is published there reaches this process."""
        return channel in self._heard and channel not in self._to_leave

    @property
    def wanted(self) -> Sequence[str]:
        """A snapshot of the wanted channels."""
        return tuple(self._wanted)

    async def hold(self, *channels: str) -> bool:
        """Want channels, and wait until all are heard; False where the engine is out of reach, or gets there."""
        for channel in channels:
            self._want(channel)
        while self._connected and any(one in self._wanted and not self.hears(one) for one in channels):
            if self._progress is None:
                self._progress = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._progress)
        return all(map(self.hears, channels))

    def release(self, channel: str) -> None:
        """Nobody may need the channel now; it is left if that is so after a while."""
        if channel in self._wanted and channel not in self._lingering:
            loop = asyncio.get_running_loop()
            self._lingering[channel] = loop.call_later(self._linger, self._forget, channel)

    async def listen_again(self, connection: BrokerConnection) -> None:
        """Hear everything that is wanted, on a new connection."""
        self._heard.clear()
        self._to_leave.clear()
        self._to_hear = dict.fromkeys(self._wanted)
        self._connected = True
        await self._catch_up(connection)

    async def keep(self, connection: BrokerConnection) -> None:
        """Follow what is wanted, until the connection fails."""
        while True:
            await self._changed.wait()
            await self._catch_up(connection)
            raise_if_cancelled()

    def lost(self) -> None:
        """The connection is gone: nothing is heard. Whoever waits goes on without."""
        self._connected = False
        self._heard.clear()
        self._tell()

    def stop(self) -> None:
        """Want nothing any more."""
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()
        self._wanted.clear()
        self.lost()

    async def _catch_up(self, connection: BrokerConnection) -> None:
        self._changed.clear()
        while self._to_hear:
            batch = tuple(self._to_hear)[:BATCH]
            async with asyncio.timeout(self._timeout):
                await connection.subscribe(batch)
            for channel in batch:
                self._to_hear.pop(channel, None)
                self._heard.add(channel)
                if channel not in self._wanted:
                    self._to_leave[channel] = None
            self._tell()
        while self._to_leave:
            batch = tuple(self._to_leave)[:BATCH]
            self._heard.difference_update(batch)
            async with asyncio.timeout(self._timeout):
                await connection.unsubscribe(batch)
            for channel in batch:
                self._to_leave.pop(channel, None)
                if channel in self._wanted:  # somebody came back while we left
                    self._look(channel)
            self._tell()

    def _want(self, channel: str) -> None:
        if channel not in self._wanted:
            self._wanted[channel] = None
            self._look(channel)
            self.release(channel)  # unless whoever holds it is there by then
        elif channel in self._lingering:
            self._lingering.pop(channel).cancel()
            self.release(channel)

    def _forget(self, channel: str) -> None:
        self._lingering.pop(channel, None)
        if self._is_wanted(channel):
            return
        self._wanted.pop(channel, None)
        self._look(channel)

    def _look(self, channel: str) -> None:
        if channel in self._wanted:
            if channel in self._heard:
                self._to_leave.pop(channel, None)
            elif channel not in self._to_leave:  # else it is being left, and `_catch_up` looks again
                self._to_hear[channel] = None
        else:
            self._to_hear.pop(channel, None)
            if channel in self._heard:
                self._to_leave[channel] = None
        self._changed.set()

    def _tell(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None and not progress.done():
            progress.set_result(None)
