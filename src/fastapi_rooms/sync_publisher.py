"""`Publisher` for code that has no event loop."""

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import CancelledError
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from fastapi_rooms.brokers.interface import Broker
from fastapi_rooms.brokers.memory import MemoryBroker
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.errors import BrokerUnavailable, CloseCode, ConfigurationError, WrongEventLoop
from fastapi_rooms.history_policy import PolicyOf
from fastapi_rooms.options import History
from fastapi_rooms.payload import Payload
from fastapi_rooms.publisher import Publisher

_THREAD_ENDS: Final = 5.0
"""Seconds for which `SyncPublisher.close` waits for its thread, which a lookup of a name may hold up."""


class SyncPublisher:
    """`Publisher` for code that has no event loop: Celery tasks, cron jobs, Django views. Its methods block.

    Use it as `with SyncPublisher(url) as publisher`, or keep one for the whole process. Threads may share it. It
    owns a daemon thread with an event loop and the connection, both made at the first message; a process that is
    forked makes its own, so one that was made before a fork (Celery's default pool, gunicorn with `--preload`)
    works after it. Not for processes whose threads gevent or eventlet have replaced.

    The methods take the time, and raise the errors, of `Publisher`; and `WrongEventLoop` in a coroutine, where
    they would keep its event loop waiting.

    Args:
        broker: A URL for `broker_from_url`, or a function that makes a broker: `partial(broker_from_url, url,
            prefix="chat")`. It is called once here, so that what cannot work is said here, and once in each
            process.
        history: See `Publisher`.

    Raises:
        ConfigurationError: The broker cannot work, or is a `MemoryBroker`: managers live on other event loops. In
            their own process `broadcast_from_thread` reaches them.
    """

    def __init__(self, broker: str | Callable[[], Broker], *, history: History | PolicyOf | None = None) -> None:
        self._history = history
        self._make = partial(broker_from_url, broker) if isinstance(broker, str) else broker
        if isinstance(self._make(), MemoryBroker):
            raise ConfigurationError("a MemoryBroker is for one event loop: use RoomManager.broadcast_from_thread")
        self._threads: dict[int, _PublisherThread] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def publish(
        self,
        room: str,
        message: object,
        *,
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> None:
        """See `Publisher.publish`."""
        payload = Payload.of(message)  # here, since an object may belong to this thread
        self._do(
            lambda one: one.publish(
                room,
                payload,
                exclude_users=exclude_users,
                key=key,
                idempotency_key=idempotency_key,
                version=version,
            )
        )

    def send_to_user(self, user_id: str, message: object, *, key: str | None = None) -> None:
        """See `Publisher.send_to_user`."""
        payload = Payload.of(message)
        self._do(lambda one: one.send_to_user(user_id, payload, key=key))

    def disconnect_user(
        self, user_id: str, *, code: int = CloseCode.FORBIDDEN, reason: str = "signed out"
    ) -> None:
        """See `Publisher.disconnect_user`."""
        self._do(lambda one: one.disconnect_user(user_id, code=code, reason=reason))

    def close_room(self, room: str, *, code: int | None = None, reason: str = "") -> None:
        """See `Publisher.close_room`."""
        self._do(lambda one: one.close_room(room, code=code, reason=reason))

    def close(self) -> None:
        """End the thread and the connection of this process; harmless where it is done already.

        What other threads have under way fails, as in `Publisher.close`.
        """
        self._thread().close()

    def _do(self, work: "Callable[[Publisher], Coroutine[Any, Any, None]]") -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._thread().do(work)
        else:
            raise WrongEventLoop("a SyncPublisher would keep this event loop waiting: use Publisher")

    def _publisher(self) -> Publisher:
        return Publisher(self._make(), history=self._history)

    def _thread(self) -> "_PublisherThread":
        # The parent's stays where it is: to close its event loop here would take sockets from the parent's.
        return self._threads.setdefault(os.getpid(), _PublisherThread(self._publisher))


class _PublisherThread:
    """A `Publisher`, on an event loop in a thread of its own."""

    def __init__(self, make: Callable[[], Publisher]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._running: tuple[Publisher, asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._stop = asyncio.Event()
        self._closed = False

    def do(self, work: Callable[[Publisher], Coroutine[Any, Any, None]]) -> None:
        with self._lock:
            if self._closed:
                raise ConfigurationError("this publisher is closed: make a new one")
            if self._running is None:
                self._running = self._start()
            publisher, loop, _ = self._running
            future = asyncio.run_coroutine_threadsafe(work(publisher), loop)
        try:
            future.result()
        except CancelledError:
            raise BrokerUnavailable("the publisher was closed meanwhile", maybe_published=True) from None
        finally:
            future.cancel()  # where waiting was interrupted, as by Ctrl+C or a task's time limit

    def close(self) -> None:
        with self._lock:
            self._closed = True
        if self._running is not None:
            _, loop, thread = self._running
            if thread.is_alive():
                loop.call_soon_threadsafe(self._stop.set)
            thread.join(_THREAD_ENDS)

    def _start(self) -> tuple[Publisher, asyncio.AbstractEventLoop, threading.Thread]:
        publisher = self._make()
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        loop = runner.get_loop()
        thread = threading.Thread(
            target=self._run, args=(runner, publisher), name="fastapi_rooms publisher", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            runner.close()
            raise
        return publisher, loop, thread

    def _run(self, runner: asyncio.Runner, publisher: Publisher) -> None:
        with runner:
            runner.run(self._serve(publisher))

    async def _serve(self, publisher: Publisher) -> None:
        async with publisher:
            await self._stop.wait()
