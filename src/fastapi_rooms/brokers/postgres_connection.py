"""A connection of a `PostgresBroker`: what comes in is kept in order, what goes out takes one request."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID, uuid4

from fastapi_rooms.brokers.postgres_table import PayloadTable, Querying
from fastapi_rooms.brokers.postgres_wire import short_channel, unwrap, wrap, wrap_row
from fastapi_rooms.errors import BrokerError, BrokerOverflow, BrokerUnavailable

LONGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of a message, and of the messages in one request."""

_MOST_WAITING: Final = 10_000
"""Notifications that may wait for one manager; one more ends its connection."""

_SWEEPS_PER_LIFE: Final = 4
"""Within the time for which a row is kept, a process looks that often for old ones."""

Notified = Callable[[object, int, str, str], None]
"""Takes the driver's connection, the process that notifies, channel and payload."""


class Publishing(Querying, Protocol):
    """What is asked of the driver's connection that publishes."""

    def add_termination_listener(self, callback: Callable[[object], None]) -> None:
        """Call it when the connection is gone."""
        ...

    def terminate(self) -> None:
        """Let go of it at once."""
        ...


class Listening(Publishing, Protocol):
    """What is asked of the one that listens."""

    async def listen(self, channels: Sequence[str], callback: Notified) -> None:
        """Listen to these too; returns when the server has confirmed it."""
        ...

    async def unlisten(self, channels: Sequence[str], callback: Notified) -> None:
        """Listen to these no more."""
        ...


class PostgresConnection:
    """One connection that listens and fetches, and one that publishes.

    Args:
        listener: The one.
        publisher: The other.
        table: Where long messages are.
        utf8: Whether the database holds any text.
    """

    def __init__(self, listener: Listening, publisher: Publishing, table: PayloadTable, *, utf8: bool) -> None:
        self._listener = listener
        self._publisher = publisher
        self._table = table
        self._utf8 = utf8
        self._listening = asyncio.Lock()
        self._channels: dict[str, str] = {}
        self._inbox: asyncio.Queue[tuple[str, bytes | UUID] | None] = asyncio.Queue(_MOST_WAITING)
        self._next: tuple[str, bytes | UUID] | None = None
        self._error: BrokerError | None = None
        self._sweep_at = 0.0
        for connection in (listener, publisher):
            connection.add_termination_listener(self._lost)

    async def subscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.subscribe`."""
        named = {short_channel(channel): channel for channel in channels}
        async with self._listening:
            self._channels.update(named)
            await self._listener.listen(tuple(named), self._notified)

    async def unsubscribe(self, channels: Sequence[str]) -> None:
        """See `BrokerConnection.unsubscribe`."""
        names = [short_channel(channel) for channel in channels]
        async with self._listening:
            await self._listener.unlisten(names, self._notified)
            for name in names:
                self._channels.pop(name, None)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See `BrokerConnection.publish`."""
        for batch in _batches(messages):
            await self._publish(batch)

    async def receive(self) -> tuple[str, bytes]:
        """See `BrokerConnection.receive`."""
        while self._error is None:
            if self._next is None:
                self._next = await self._inbox.get()
                continue
            channel, data = self._next
            if isinstance(data, UUID):  # until it is here, it is still the next one
                async with self._listening:
                    data = await self._table.fetch(self._listener, data)
            self._next = None
            return channel, data
        raise self._error

    async def close(self) -> None:
        """See `BrokerConnection.close`."""
        self._listener.terminate()
        self._publisher.terminate()

    async def _publish(self, batch: Sequence[tuple[str, bytes]]) -> None:
        channels = [short_channel(channel) for channel, _ in batch]
        payloads: list[str] = []
        long: dict[UUID, bytes] = {}
        for number, (_, data) in enumerate(batch):
            payload = wrap(data, number=number, utf8=self._utf8)
            if payload is None:
                row = uuid4()
                long[row] = data
                payload = wrap_row(row, number=number)
            payloads.append(payload)
        if not long:
            await self._table.notify(self._publisher, channels, payloads)
            return
        await self._sweep_if_due()
        await self._table.keep_and_notify(
            self._publisher, channels, payloads, rows=list(long), messages=list(long.values())
        )

    async def _sweep_if_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._sweep_at:
            return
        more = await self._table.sweep(self._publisher)
        self._sweep_at = now if more else now + self._table.kept_for / _SWEEPS_PER_LIFE

    def _notified(self, _connection: object, _process: int, name: str, payload: str) -> None:
        channel = self._channels.get(name)
        if channel is None or self._error is not None:
            return
        try:
            self._inbox.put_nowait((channel, unwrap(payload)))
        except asyncio.QueueFull:
            self._end(BrokerOverflow(waiting=_MOST_WAITING))
            self._listener.terminate()

    def _lost(self, _connection: object) -> None:
        self._end(BrokerUnavailable("the connection to PostgreSQL is gone"))

    def _end(self, error: BrokerError) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._inbox.empty():  # else nobody waits
            self._inbox.put_nowait(None)


def _batches(messages: Sequence[tuple[str, bytes]]) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Parts that PostgreSQL takes in one request."""
    start = size = 0
    for index, (_, data) in enumerate(messages):
        if index > start and size + len(data) > LONGEST_MESSAGE:
            yield messages[start:index]
            start, size = index, 0
        size += len(data)
    if start < len(messages):
        yield messages[start:]
