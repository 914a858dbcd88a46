"""The connection to the engine: kept, watched, and made anew for as long as the process runs."""

import asyncio
import logging
import random
from typing import Protocol

from fastapi_rooms.brokers.interface import Broker, BrokerConnection
from fastapi_rooms.cluster.failures import described, first_error, raise_if_cancelled
from fastapi_rooms.cluster.outbox import Outbox
from fastapi_rooms.cluster.subscriptions import Subscriptions
from fastapi_rooms.errors import BrokerUnavailable

logger = logging.getLogger("fastapi_rooms")


class Watcher(Protocol):
    """Whom a supervisor tells. None of it may raise."""

    async def received(self, channel: str, data: bytes) -> None:
        """A message has come."""
        ...

    async def probe(self) -> None:
        """Publish something that comes back; returns when it has."""
        ...

    def restored(self) -> None:
        """Everything that is wanted is heard again, or for the first time."""
        ...

    async def unheard(self) -> None:
        """What was told and has not come back will not: the connection is gone."""
        ...

    def lost(self, error: Exception) -> None:
        """There is no connection any more, or there was none to be had at the first attempt. Once per outage."""
        ...


class Supervisor:
    """Connects, listens, publishes and probes; when any of it fails, starts over after a pause with jitter.

    Attributes:
        connection: The one that there is; messages may not be heard on it yet.
        connected: Whether what is published reaches others, and theirs reaches us.
        error: Why it is not connected; `None` while it is.
        outages: How often the connection was lost.
    """

    def __init__(self, broker: Broker, subscriptions: Subscriptions, outbox: Outbox, watcher: Watcher) -> None:
        self._broker = broker
        self._subscriptions = subscriptions
        self._outbox = outbox
        self._watcher = watcher
        self._down = False
        self.connection: BrokerConnection | None = None
        self.connected = False
        self.error: Exception | None = None
        self.outages = 0
        self.settled = asyncio.Event()
        """Set once the first attempt has succeeded or failed."""

    async def run(self) -> None:
        """Runs until it is cancelled."""
        timings = self._broker.timings
        delay = timings.first_delay
        while True:
            error = await self._live()
            if self.connected:
                delay = timings.first_delay
            self._went_down(error)
            await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 - it spreads processes, and guards no secret
            delay = min(2 * delay, timings.longest_delay)

    async def _live(self) -> Exception:
        """One connection, from its beginning to its end; why it ended."""
        connection: BrokerConnection | None = None
        error: Exception = BrokerUnavailable("the broker is out of reach")
        try:
            async with asyncio.timeout(self._broker.timings.connect):
                connection = await self._broker.connect()
            self.connection = connection
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(connection), name="fastapi_rooms broker receiver")
                await self._subscriptions.listen_again(connection)
                self._outbox.open()
                tasks.create_task(self._outbox.run(connection), name="fastapi_rooms broker publisher")
                await self._watcher.probe()
                self._came_up()
                tasks.create_task(self._subscriptions.keep(connection), name="fastapi_rooms broker subscriber")
                tasks.create_task(self._probe(), name="fastapi_rooms broker probe")
        except* Exception as errors:  # noqa: BLE001 - drivers raise what they like
            error = first_error(errors)
        finally:
            self.connection = None
            self._outbox.close(f"{self._broker} is out of reach")
            self._subscriptions.lost()
            await self._watcher.unheard()
            if connection is not None:
                await connection.close()
        return error

    async def _receive(self, connection: BrokerConnection) -> None:
        while True:
            channel, data = await connection.receive()
            raise_if_cancelled()
            await self._watcher.received(channel, data)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(self._broker.timings.probe_interval)
            await self._watcher.probe()

    def _came_up(self) -> None:
        self.connected = True
        self.error = None
        self.settled.set()
        if self._down:
            logger.warning("%s is back", self._broker)
        self._down = False
        self._watcher.restored()

    def _went_down(self, error: Exception) -> None:
        self.error = error
        self.connected = False
        self.settled.set()
        if not self._down:
            self._down = True
            self.outages += 1
            logger.warning("%s is out of reach, rooms are local meanwhile: %s", self._broker, described(error))
            self._watcher.lost(error)
