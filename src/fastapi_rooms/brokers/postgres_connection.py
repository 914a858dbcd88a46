"""A connection of a `PostgresBroker`: what comes in is kept in order, what goes out takes one request."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeVar
from uuid import UUID, uuid4

from fastapi_rooms.brokers.arrivals import Arrivals
from fastapi_rooms.brokers.postgres_streams import StreamReader, StreamTables
from fastapi_rooms.brokers.postgres_table import PayloadTable, Querying, Sweeper
from fastapi_rooms.brokers.postgres_wire import short_channel, unwrap, wrap, wrap_row
from fastapi_rooms.brokers.streams import Append, Appended, Page, Place, placed
from fastapi_rooms.errors import BrokerUnavailable

_T = TypeVar("_T")

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
    """One connection that listens and fetches, one that publishes and appends, and one that reads streams.

    Args:
        listener: The first.
        publisher: The second.
        reader: Has the third, from the first read on. One that is cancelled ends that alone.
        table: Where long messages are.
        streams: Where streams are.
        utf8: Whether the database holds any text.
    """

    def __init__(
        self,
        listener: Listening,
        publisher: Publishing,
        reader: StreamReader,
        *,
        table: PayloadTable,
        streams: StreamTables,
        utf8: bool,
    ) -> None:
        self._listener = listener
        self._publisher = publisher
        self._reader = reader
        self._table = table
        self._streams = streams
        self._utf8 = utf8
        self._listening = asyncio.Lock()
        self._channels: dict[str, str] = {}
        self._arrivals: Arrivals[tuple[str, bytes | UUID | Place]] = Arrivals()
        self._next: tuple[str, UUID | Place] | None = None
        self._sweeper = Sweeper(table.kept_for / _SWEEPS_PER_LIFE)
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
        for batch in _batches(messages, lambda message: len(message[1])):
            await self._publish(batch)

    async def append(self, messages: Sequence[Append]) -> Sequence[Appended]:
        """See `StreamConnection.append`.

        Raises:
            ConfigurationError: The role lacks a right, or the schema a part. The connection is as good as before.
        """
        appended: list[Appended] = []
        for batch in _batches(messages, lambda message: len(message.data)):
            await self._streams.sweep_if_due(self._publisher)
            appended += await self._streams.append(self._publisher, batch, utf8=self._utf8)
        return appended

    async def read(self, channel: str, *, after: int, most: int) -> Page:
        """See `StreamConnection.read`.

        Raises:
            ConfigurationError: As `append`.
        """
        return await self._reader.read(channel, after=after, most=most)

    async def receive(self) -> tuple[str, bytes]:
        """See `BrokerConnection.receive`."""
        if self._next is None:
            channel, data = await self._arrivals.get()
            if isinstance(data, bytes):
                return channel, data
            self._next = channel, data  # until its row is here, it is still the next one
        channel, where = self._next
        async with self._listening:
            message = await self._fetch(channel, where)
        self._next = None
        return channel, message

    async def close(self) -> None:
        """See `BrokerConnection.close`."""
        self._listener.terminate()
        self._publisher.terminate()
        self._reader.close()

    async def _fetch(self, channel: str, where: UUID | Place) -> bytes:
        if isinstance(where, UUID):
            return await self._table.fetch(self._listener, where)
        return placed(where, await self._streams.fetch(self._listener, channel, where))

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
        await self._sweeper.sweep_if_due(lambda: self._table.sweep(self._publisher))
        await self._table.keep_and_notify(
            self._publisher, channels, payloads, rows=list(long), messages=list(long.values())
        )

    def _notified(self, _connection: object, _process: int, name: str, payload: str) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        self._arrivals.put((channel, unwrap(payload)))
        if self._arrivals.error is not None:  # there are too many
            self._listener.terminate()

    def _lost(self, _connection: object) -> None:
        self._arrivals.end(BrokerUnavailable("the connection to PostgreSQL is gone"))


def _batches(messages: Sequence[_T], size_of: Callable[[_T], int]) -> Iterable[Sequence[_T]]:
    """Parts that PostgreSQL takes in one request."""
    if len(messages) == 1:
        return (messages,)
    return _parts(messages, size_of)


def _parts(messages: Sequence[_T], size_of: Callable[[_T], int]) -> Iterator[Sequence[_T]]:
    start = total = 0
    for index, message in enumerate(messages):
        size = size_of(message)
        if index > start and total + size > LONGEST_MESSAGE:
            yield messages[start:index]
            start, total = index, 0
        total += size
    if start < len(messages):
        yield messages[start:] if start else messages
