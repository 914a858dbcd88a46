"""`Connection`: one client, as endpoints and hooks see it."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, overload

from starlette.datastructures import State
from starlette.requests import HTTPConnection
from typing_extensions import TypeVar

from fastapi_rooms.closing import check_close_code
from fastapi_rooms.errors import (
    CloseCode,
    ConfigurationError,
    ConnectionClosed,
    Disconnect,
    DisconnectReason,
    InvalidMessage,
    NotConnected,
    RoomsError,
    UnencodableMessage,
    WrongEventLoop,
)
from fastapi_rooms.identity import expires_at_of, user_id_of
from fastapi_rooms.link import Link, Status
from fastapi_rooms.payload import Payload
from fastapi_rooms.recipient import Recipient
from fastapi_rooms.send_queue import Offer, check_size
from fastapi_rooms.statistics import ConnectionStatistics, Drops
from fastapi_rooms.validation import parse_json

UserT = TypeVar("UserT", default=Any)
ModelT = TypeVar("ModelT")
MessageT = TypeVar("MessageT")


class Connection(Recipient, Generic[UserT]):
    """One client. Managers make connections; see `ConnectionManager.connect`.

    The client receives messages in the order in which they were enqueued; `send`, `send_nowait` and
    broadcasts share one bounded queue. One task at a time may receive. All methods belong to the event loop
    that the connection lives on.

    Attributes:
        id: Random, unique, safe to show.
        user: What was given to `connect(user=...)`, or what authentication returned.
        user_id: The user's id as `send_to_user` takes it, or `None`.
        http: The request that opened the connection: headers, cookies, query, path, `app`.
        link: The machine underneath, for managers.
        memberships: What the registry keeps behind `rooms`.
    """

    __slots__ = (
        "__weakref__",
        "_on_invalid",
        "_state",
        "http",
        "id",
        "link",
        "memberships",
        "user",
        "user_id",
    )

    def __init__(
        self,
        http: HTTPConnection,
        link: Link,
        *,
        user: UserT,
        user_id: str | None,
        on_invalid: Callable[["Connection[UserT]", InvalidMessage], Coroutine[Any, Any, None]],
    ) -> None:
        super().__init__()
        self.id = secrets.token_urlsafe(12)
        self.http = http
        self.link = link
        link.writer.serve(self)
        self.user = user
        self.user_id = user_id
        self.memberships: dict[str, object] | None = None
        self._state: State | None = None
        self._on_invalid = on_invalid

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.status} user_id={self.user_id!r}>"

    @property
    def status(self) -> Status:
        """`connecting` until accepted, `connected`, then `disconnected`, from the moment that it ends."""
        return self.link.status

    @property
    def state(self) -> State:
        """Your own bag of attributes, as `request.state` in Starlette."""
        if self._state is None:
            self._state = State()
        return self._state

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms that this connection is in; empty once it has ended."""
        return frozenset(self.memberships or ())

    @property
    def disconnect(self) -> Disconnect | None:
        """How the connection ended; `None` while it has not."""
        return self.link.disconnect

    def statistics(self) -> ConnectionStatistics:
        """The figures of this connection so far."""
        writer, reader = self.link.writer, self.link.reader
        queue = writer.queue
        return ConnectionStatistics(
            queued=len(queue),
            queued_bytes=queue.size,
            high_water=queue.high_water,
            high_water_bytes=queue.high_water_bytes,
            oldest_queued_age=queue.oldest_age(self.link.time()),
            sent=writer.sent,
            sent_bytes=writer.sent_bytes,
            received=reader.received,
            received_bytes=reader.received_bytes,
            inbox=len(reader.inbox),
            dropped=Drops(
                oldest=queue.dropped_oldest,
                newest=queue.dropped_newest,
                conflated=queue.conflated,
                discarded=queue.discarded,
            ),
        )

    async def send(self, message: object) -> None:
        """Enqueue one message, waiting for space in the send queue while there is none.

        `str` goes out as text and bytes-like as binary, as they are; a Pydantic model, or anything JSON-able,
        as compact JSON text. Waits `QueueLimits.send_timeout` seconds at most, then closes the connection
        with 4008. Returning means enqueued, not received by the client. Overflow policies never evict it.

        Raises:
            ConnectionClosed: The connection has ended, or did while waiting.
            NotConnected: It was not accepted yet.
            MessageTooLarge: The message is larger than `QueueLimits.bytes`.
            UnencodableMessage: The message cannot be encoded.
        """
        await self._send(Payload.of(message))

    async def send_text(self, text: str) -> None:
        """`send` for text."""
        if not isinstance(text, str):
            raise UnencodableMessage(message_type=type(text), detail="send_text takes str")
        await self._send(Payload(text))

    async def send_bytes(self, data: bytes) -> None:
        """`send` for a binary message."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise UnencodableMessage(message_type=type(data), detail="send_bytes takes bytes")
        await self._send(Payload(bytes(data)))

    async def send_json(self, value: object) -> None:
        """`send` for a value as JSON text; unlike `send` it encodes a `str` too."""
        await self._send(Payload.json(value))

    def send_nowait(self, message: object, *, key: str | None = None) -> bool:
        """Enqueue one message now, or let the manager's overflow policy decide. Never waits.

        Args:
            message: As for `send`.
            key: With `Overflow.CONFLATE`: which queued message this one replaces.

        Returns:
            Whether it was accepted; False where it was dropped, or the connection has ended.

        Raises:
            MessageTooLarge: The message is larger than `QueueLimits.bytes`.
            UnencodableMessage: The message cannot be encoded.
            WrongEventLoop: Called outside the connection's event loop; `broadcast_from_thread` is for that.
        """
        payload = Payload.of(message)
        check_size(payload, self.link.queue_limits)
        if not self.link.is_current_loop():
            raise WrongEventLoop(
                "send_nowait was called outside the connection's event loop: from a thread, use "
                "manager.broadcast_from_thread(...)"
            )
        return self.link.deliver(payload, self.link.overflow, None, key) is Offer.ACCEPTED

    async def receive(self) -> str | bytes:
        """The next message: `str` for text, `bytes` for binary. In order.

        What the client sent before it left is still received.

        Raises:
            ConnectionClosed: There will be no more.
            RoomsError: Another task is receiving already.
        """
        message = await self.link.reader.get()
        if message is None:
            raise self._closed_error()
        return message

    async def receive_text(self) -> str:
        """The next message, which must be text; binary closes the connection with 1003.

        Raises:
            ConnectionClosed: There will be no more, or binary came.
        """
        message = await self.receive()
        if isinstance(message, bytes):
            raise self._unsupported("text expected, binary received")
        return message

    async def receive_bytes(self) -> bytes:
        """The next message, which must be binary; text closes the connection with 1003.

        Raises:
            ConnectionClosed: There will be no more, or text came.
        """
        message = await self.receive()
        if isinstance(message, str):
            raise self._unsupported("binary expected, text received")
        return message

    @overload
    async def receive_json(self) -> Any: ...
    @overload
    async def receive_json(self, model: type[ModelT]) -> ModelT: ...
    @overload
    async def receive_json(self, model: Any) -> Any: ...
    async def receive_json(self, model: Any = None) -> Any:
        """The next JSON message, validated where a model is given.

        What is not JSON, or not the model, goes to the manager's `on_invalid_message`, which by default closes
        with 1007 (1003 for binary). Where it leaves the connection open, the next message is waited for.

        Args:
            model: Anything a Pydantic `TypeAdapter` takes; `None`: plain JSON.

        Raises:
            ConnectionClosed: There will be no more.
        """
        while True:
            message = await self.receive()
            try:
                return parse_json(message, model)
            except InvalidMessage as error:
                await self._on_invalid(self, error)
            if self.link.disconnect is not None:
                raise self._closed_error()

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages as they come; ends quietly when the connection does."""
        return _Messages(self.receive)

    def iter_text(self) -> AsyncIterator[str]:
        """Text messages as they come; ends quietly when the connection does. Binary closes with 1003."""
        return _Messages(self.receive_text)

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Binary messages as they come; ends quietly when the connection does. Text closes with 1003."""
        return _Messages(self.receive_bytes)

    @overload
    def iter_json(self) -> AsyncIterator[Any]: ...
    @overload
    def iter_json(self, model: type[ModelT]) -> AsyncIterator[ModelT]: ...
    @overload
    def iter_json(self, model: Any) -> AsyncIterator[Any]: ...
    def iter_json(self, model: Any = None) -> AsyncIterator[Any]:
        """JSON messages as `receive_json` returns them; ends quietly when the connection does."""

        async def receive() -> Any:
            return await self.receive_json(model)

        return _Messages(receive)

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Write what is queued, then close. Harmless where the connection has ended already.

        The connection is unregistered at once. Waits `QueueLimits.close_timeout` seconds at most; then the
        transport is aborted where the server allows it.

        Args:
            code: 1000 to 1014 as RFC 6455 §7.4 allows, or 3000 to 4999.
            reason: For the client; cut to 123 bytes (RFC 6455 §5.5).

        Raises:
            ConfigurationError: The code may not be sent.
        """
        check_close_code(code)
        self.link.shut(DisconnectReason.CLOSED, code, reason, flush=True)
        await self.link.closed()

    def refresh(self, identity: UserT, *, expires_at: float | None = None) -> None:
        """Replace the user, and with it the time at which the connection ends with 4001.

        Args:
            identity: The same user with a fresh token; its `expires_at` counts where it has one.
            expires_at: Seconds since the epoch; overrides the identity's.

        Raises:
            ConfigurationError: It is another user. Let the client connect again instead.
        """
        fresh, known = user_id_of(identity), user_id_of(self.user)
        if fresh != known:
            raise ConfigurationError(f"refresh() got user {fresh!r} for a connection of {known!r}")
        self.user = identity
        self.expire(expires_at_of(identity) if expires_at is None else expires_at)

    def expire(self, expires_at: float | None) -> None:
        """End with 4001 at `expires_at` (seconds since the epoch); `None`: never."""
        self.link.expire_in(None if expires_at is None else expires_at - time.time())

    async def _send(self, payload: Payload) -> None:
        check_size(payload, self.link.queue_limits)
        if not await self.link.send(payload):
            raise self._closed_error()

    def _unsupported(self, text: str) -> RoomsError:
        self.link.shut(DisconnectReason.UNSUPPORTED_DATA, CloseCode.UNSUPPORTED_DATA, text)
        return self._closed_error()

    def _closed_error(self) -> RoomsError:
        if self.status == "connecting":
            return NotConnected(f"connection {self.id} is not connected yet: its handshake is still going on")
        disconnect = self.link.disconnect or Disconnect(DisconnectReason.CLIENT, 1006)
        return ConnectionClosed(connection_id=self.id, disconnect=disconnect)


class _Messages(AsyncIterator[MessageT]):
    """Messages until the connection ends. A class, not a generator: nothing to close when a loop breaks."""

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[], Coroutine[Any, Any, MessageT]]) -> None:
        self._receive = receive

    async def __anext__(self) -> MessageT:
        try:
            return await self._receive()
        except ConnectionClosed:
            raise StopAsyncIteration from None
