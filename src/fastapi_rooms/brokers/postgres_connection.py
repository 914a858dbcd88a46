"""A connection of a `PostgresBroker`: what comes in is kept in order, what goes out takes one request."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID, uuid4

from fastapi_rooms.brokers.arrivals import Arrivals
from fastapi_rooms.brokers.postgres_table import PayloadTable, Querying
from fastapi_rooms.brokers.postgres_wire import short_channel, unwrap, wrap, wrap_row
from fastapi_rooms.errors import BrokerUnavailable

LONGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of a message, and of the messages in one request."""

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
        self._arrivals: Arrivals[tuple[str, bytes | UUID]] = Arrivals()
        self._next: tuple[str, UUID] | None = None
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
        for batch in (messages,) if len(messages) == 1 else _batches(messages):
            await self._publish(batch)

    async def receive(self) -> tuple[str, bytes]:
        """See `BrokerConnection.receive`."""
        if self._next is None:
            channel, data = await self._arrivals.get()
            if isinstance(data, bytes):
                return channel, data
            self._next = channel, data  # until its row is here, it is still the next one
        channel, row = self._next
        async with self._listening:
            message = await self._table.fetch(self._listener, row)
        self._next = None
        return channel, message

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
        if channel is None:
            return
        self._arrivals.put((channel, unwrap(payload)))
        if self._arrivals.error is not None:  # there are too many
            self._listener.terminate()

    def _lost(self, _connection: object) -> None:
        self._arrivals.end(BrokerUnavailable("the connection to PostgreSQL is gone"))


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
