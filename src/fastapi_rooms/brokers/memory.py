"""The broker of one process: managers that share it hear each other."""

import time
from collections.abc import Sequence

from fastapi_rooms.brokers.arrivals import Arrivals
from fastapi_rooms.brokers.interface import BrokerTimings
from fastapi_rooms.brokers.memory_streams import MemoryStreams
from fastapi_rooms.brokers.streams import Append, Appended, Page, placed
from fastapi_rooms.channels import Channels


class MemoryBroker:
    """Carries messages between the managers of one process that were given the same one.

    One order for everyone: a message is in every inbox before the next one is published.

    Args:
        prefix: See `Broker`.
        timings: See `BrokerTimings`.
        per_process: Where several workers serve one app, each has a broker of its own, and its rooms for itself.
            `False` (default): that is refused with an error; `True`: it is what you want.
    """

    def __init__(
        self, *, prefix: str = "rooms", timings: BrokerTimings | None = None, per_process: bool = False
    ) -> None:
        Channels(prefix)
        self.prefix = prefix
        self.timings = timings or BrokerTimings()
        self.shared = per_process
        self.message_bytes: int | None = None
        self._listeners: dict[str, dict[_MemoryConnection, None]] = {}
        self._streams = MemoryStreams(time.monotonic)

    def __str__(self) -> str:
        return "memory"

    async def connect(self) -> "_MemoryConnection":
        """Always succeeds."""
        return _MemoryConnection(self._listeners, self._streams)


class _MemoryConnection:
    def __init__(self, listeners: "dict[str, dict[_MemoryConnection, None]]", streams: MemoryStreams) -> None:
        self._listeners = listeners
        self._streams = streams
        self._arrivals: Arrivals[tuple[str, bytes]] = Arrivals()
        self._channels: set[str] = set()

    async def subscribe(self, channels: Sequence[str]) -> None:
        for channel in channels:
            self._channels.add(channel)
            self._listeners.setdefault(channel, {})[self] = None

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        for channel in channels:
            self._channels.discard(channel)
            listeners = self._listeners.get(channel, {})
            listeners.pop(self, None)
            if not listeners:
                self._listeners.pop(channel, None)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for channel, data in messages:
            for listener in tuple(self._listeners.get(channel, ())):
                listener._arrivals.put((channel, data))

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        appended = []
        for message in messages:
            where, place = self._streams.append(message)
            appended.append(where)
            if place is not None:
                await self.publish([(message.channel, placed(place, message.data))])
        return appended

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        return self._streams.read(channel, after=after, most=most)

    async def receive(self) -> tuple[str, bytes]:
        return await self._arrivals.get()

    async def close(self) -> None:
        await self.unsubscribe(tuple(self._channels))
