"""Sending to rooms from where no manager is: a task queue, a cron job, another framework."""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Final, Self

from fastapi_rooms.brokers.interface import Broker, BrokerConnection
from fastapi_rooms.brokers.streams import OVERHEAD, Append
from fastapi_rooms.channels import Channels
from fastapi_rooms.closing import check_close_code
from fastapi_rooms.cluster.failures import described, first_error
from fastapi_rooms.cluster.outbox import Outbox
from fastapi_rooms.envelope import Header, Kind, body_of, seal
from fastapi_rooms.errors import (
    BrokerUnavailable,
    CloseCode,
    ConfigurationError,
    MessageTooLarge,
    RoomsError,
)
from fastapi_rooms.history_policy import PolicyOf, check_history, policy_of
from fastapi_rooms.options import History
from fastapi_rooms.payload import Payload
from fastapi_rooms.tasks import TaskOwner

_LAST_WORDS: Final = 2.0
"""Seconds that connections have to end in `Publisher.close`."""


class Publisher:
    """Sends to the rooms and users of all managers that share a broker, without being one.

    Use it as `async with Publisher(broker) as publisher`, on one event loop. It connects at the first message,
    stays connected, and connects again at the next message after a failure. Several messages may be under way at
    once.

    A method returns when the engine has taken what it sends, which is not yet delivered then: at most once, to who
    is connected at that moment, in the order of the calls. It takes `BrokerTimings.connect` and
    `BrokerTimings.publish` seconds together at most, and raises:

    - `BrokerUnavailable`: The broker is out of reach, or did not take it in time. Nothing is sent a second time;
      `maybe_published` says whether it may have been taken all the same.
    - `ConfigurationError`: The publisher is closed, or the close code may not be sent.

    Args:
        broker: The engine and the prefix of the managers to be reached. A `MemoryBroker` reaches those of this
            process that were given the same one.
        history: What is kept of rooms' messages: the same as the managers say. `None`: nothing.
    """

    def __init__(self, broker: Broker, *, history: History | PolicyOf | None = None) -> None:
        self._broker = broker
        self._history_of = None if history is None else policy_of(history)
        self._channels = Channels(broker.prefix)
        self._process = secrets.token_urlsafe(9)
        self._numbers = itertools.count(1)
        self._tasks = TaskOwner()
        self._connecting = asyncio.Lock()
        self._deadlines: set[asyncio.Timeout] = set()
        self._line: _Line | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def publish(
        self,
        room: str,
        message: object,
        *,
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
    ) -> None:
        """Send one message to the members of a room, in every process.

        Args:
            room: To whom.
            message: As for `RoomManager.broadcast`. A manager drops one that is larger than its
                `QueueLimits.bytes`.
            exclude_users: A user id, or several, whose connections do not get it.
            key: With `Overflow.CONFLATE`: which queued message this one replaces.
            idempotency_key: See `RoomManager.broadcast`.
            version: See there.

        Raises:
            MessageTooLarge: It is larger than the engine takes; nobody got it.
            UnencodableMessage: It cannot be encoded; nobody got it.
            NoHistory: It has an idempotency key or a version, and the room has no history.
            TypeError: `room` is not a `str`.
        """
        users = (exclude_users,) if isinstance(exclude_users, str) else tuple(map(str, exclude_users))
        channel = self._channels.room(_name(room))
        history = None if self._history_of is None else self._history_of(room)
        check_history(history, room, idempotency_key, version)
        beside = 0 if history is None else OVERHEAD
        sealed = self._seal(message, room=room, exclude_users=users, key=key, beside=beside)
        if history is None:
            await self._tell(channel, sealed)
            return
        append = Append(
            channel=channel,
            data=sealed,
            messages=history.messages,
            seconds=history.seconds,
            idempotency_key=idempotency_key,
            version=version,
        )
        await self._do(lambda outbox: outbox.append(append))

    async def send_to_user(self, user_id: str, message: object, *, key: str | None = None) -> None:
        """Send one message to all connections of a user, in every process.

        Raises:
            MessageTooLarge: See `publish`.
            UnencodableMessage: See there.
        """
        await self._tell(self._channels.user(str(user_id)), self._seal(message, user=str(user_id), key=key))

    async def disconnect_user(
        self, user_id: str, *, code: int = CloseCode.FORBIDDEN, reason: str = "signed out"
    ) -> None:
        """Close all connections of a user, in every process; see `RoomManager.disconnect_user`."""
        check_close_code(code)
        process, number = self._stamp()
        header = Header(
            kind=Kind.DISCONNECT_USER, process=process, number=number, user=str(user_id), code=code, reason=reason
        )
        await self._tell(self._channels.user(str(user_id)), seal(header))

    async def close_room(self, room: str, *, code: int | None = None, reason: str = "") -> None:
        """End all memberships of a room, in every process; see `RoomManager.close_room`.

        Raises:
            TypeError: `room` is not a `str`.
        """
        if code is not None:
            check_close_code(code)
        channel = self._channels.room(_name(room))
        process, number = self._stamp()
        header = Header(kind=Kind.CLOSE_ROOM, process=process, number=number, room=room, code=code, reason=reason)
        await self._tell(channel, seal(header))

    async def close(self) -> None:
        """Let go of the broker; harmless where it is done already.

        What is under way fails at once: with `ConfigurationError` what waits for a connection, none of which was
        sent, and with `BrokerUnavailable` what the engine has not taken yet.
        """
        self._closed = True
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(0)
        if self._connecting.locked():
            self._tasks.spawn(self._attempts_have_ended(), name="publisher's last attempt")
        if self._line is not None:
            self._line.end()
        await self._tasks.join(_LAST_WORDS)

    def _seal(
        self,
        message: object,
        *,
        room: str | None = None,
        user: str | None = None,
        exclude_users: tuple[str, ...] = (),
        key: str | None = None,
        beside: int = 0,
    ) -> bytes:
        payload = Payload.of(message)
        process, number = self._stamp()
        header = Header(
            kind=Kind.MESSAGE,
            process=process,
            number=number,
            room=room,
            user=user,
            text=isinstance(payload.data, str),
            exclude_users=exclude_users,
            key=key,
        )
        sealed = seal(header, body_of(payload))
        most = self._broker.message_bytes
        if most is not None and len(sealed) > most - beside:
            limit = most - beside - (len(sealed) - payload.size)
            raise MessageTooLarge(size=payload.size, limit=limit, broker=str(self._broker))
        return sealed

    def _stamp(self) -> tuple[str, int]:
        """What names a message: the sender, and its count."""
        return self._process, next(self._numbers)

    async def _tell(self, channel: str, data: bytes) -> None:
        await self._do(lambda outbox: outbox.publish(channel, data))

    async def _do(self, work: Callable[[Outbox], Awaitable[object]]) -> None:
        line = await self._connected()
        try:
            await work(line.outbox)
        except BrokerUnavailable as error:
            if error.maybe_published:  # a request is stuck: what is said next needs another connection
                line.end()
            raise

    async def _connected(self) -> "_Line":
        timeout = self._broker.timings.connect
        deadline = asyncio.timeout(timeout)
        self._deadlines.add(deadline)
        try:
            async with deadline, self._connecting:
                return await self._connect()
        except TimeoutError:
            if self._closed:  # which has moved the deadline
                raise _closed() from None
            raise BrokerUnavailable(f"{self._broker} was not reached in {timeout:g} s") from None
        except RoomsError:
            raise
        except Exception as error:  # drivers raise what they like
            raise BrokerUnavailable(f"{self._broker} is out of reach: {described(error)}") from error
        finally:
            self._deadlines.discard(deadline)

    async def _attempts_have_ended(self) -> None:
        async with self._connecting:  # which is given in turn
            return

    async def _connect(self) -> "_Line":
        self._check_open()
        if self._line is None or self._line.over:
            connection = await self._broker.connect()
            self._line = _Line(self._broker, connection)
            self._tasks.spawn(self._line.run(), name="publisher")
            if self._closed:  # meanwhile
                self._line.end()
                self._check_open()
        return self._line

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()


class _Line:
    """One connection, and what is sent on it until it ends.

    Attributes:
        outbox: What is to be sent.
        over: Whether it has ended, and another one is needed.
    """

    def __init__(self, broker: Broker, connection: BrokerConnection) -> None:
        self._broker = broker
        self._connection = connection
        self._ending = asyncio.Event()
        self.over = False
        self.outbox = Outbox(timeout=broker.timings.publish)
        self.outbox.open()

    def end(self) -> None:
        """Let go of it, soon; what is under way fails."""
        self.over = True
        self._ending.set()

    async def run(self) -> None:
        """Send what comes, until the connection fails or `end` is called."""
        error: Exception = BrokerUnavailable("the connection was given up")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(), name="fastapi_rooms publisher's receiver")
                tasks.create_task(self.outbox.run(self._connection), name="fastapi_rooms publisher's outbox")
                await self._ending.wait()
                raise error  # noqa: TRY301 - it ends the two tasks
        except* Exception as errors:  # noqa: BLE001 - drivers raise what they like
            error = first_error(errors)
        finally:
            self.over = True
            self.outbox.close(f"{self._broker} is out of reach: {described(error)}")
            await self._connection.close()

    async def _receive(self) -> None:
        """Nothing is listened to: this is how a connection that breaks while nothing is sent is noticed."""
        while True:
            await self._connection.receive()


def _closed() -> ConfigurationError:
    return ConfigurationError("this publisher is closed: make a new one")


def _name(room: str) -> str:
    if not isinstance(room, str):
        raise TypeError(f"a room's name is a str, not {room!r}")
    return room
