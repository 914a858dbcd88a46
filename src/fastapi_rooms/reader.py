"""The one reader of a connection: always pending, so that the server sees pongs, closes and lost peers.

Between it and the handler stands the bounded inbox. Only a full inbox pauses reading: that is TCP's
backpressure, and it also suspends liveness, since a server that does not read sees no pong.
"""

import asyncio
from collections.abc import Callable

from fastapi_rooms.errors import CloseCode, DisconnectReason, RoomsError
from fastapi_rooms.inbox import Inbox
from fastapi_rooms.options import Limits, RateLimit
from fastapi_rooms.ports import Gone, Transport
from fastapi_rooms.rate import RateGate


class Reader:
    """Reads until the peer is gone, and keeps what the handler has not taken.

    Args:
        transport: Where from.
        limits: Message and inbox bounds.
        rate_limit: How fast the client may send; `None`: as fast as the handler takes it.
        on_life: Called with the loop's time at every message.
        on_gone: Called once when the peer, or the server, ended the connection.
        on_violation: Called with reason, code and text when the client broke a limit.

    Attributes:
        inbox: What the handler has not taken.
        intercept: Asked for each message within the limits; what it takes never reaches the handler.
        received: Messages so far.
        received_bytes: Their size.
    """

    __slots__ = (
        "_arrival",
        "_discarding",
        "_ended",
        "_gate",
        "_gone",
        "_limits",
        "_on_gone",
        "_on_life",
        "_on_violation",
        "_space",
        "_task",
        "_transport",
        "inbox",
        "intercept",
        "received",
        "received_bytes",
    )

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        rate_limit: RateLimit | None,
        *,
        on_life: Callable[[float], None] | None,
        on_gone: Callable[[Gone], None],
        on_violation: Callable[[DisconnectReason, CloseCode, str], None],
    ) -> None:
        self.inbox = Inbox(limits)
        self.intercept: Callable[[str | bytes], bool] | None = None
        self.received = 0
        self.received_bytes = 0
        self._transport = transport
        self._limits = limits
        self._on_life = on_life
        self._on_gone = on_gone
        self._on_violation = on_violation
        self._gate = None
        if rate_limit is not None:
            self._gate = RateGate(rate_limit, now=asyncio.get_running_loop().time())
        self._space: asyncio.Future[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._discarding = False
        self._ended = False
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    @property
    def paused(self) -> bool:
        """Whether the inbox is full and the socket is not read."""
        return self._space is not None

    @property
    def started(self) -> bool:
        """Whether the handshake was complete, so that there is something to read and to close."""
        return self._task is not None

    def start(self) -> None:
        """Start reading; once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="fastapi_rooms reader")

    async def get(self) -> str | bytes | None:
        """The next message, waiting for it; `None` once there will be no more.

        Raises:
            RoomsError: Another task is waiting for this connection's messages already.
        """
        while (message := self.inbox.get()) is None:
            if self._ended:
                return None
            if self._arrival is not None:
                raise RoomsError("two tasks receive from one connection: let one receive and pass messages on")
            self._arrival = asyncio.get_running_loop().create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        if self._space is not None and not self.inbox.full:
            _wake(self._space)
        return message

    def charge(self, more: int) -> bool:
        """A message has brought `more` than one: each counts towards the rate.

        Returns:
            Whether that may be; if not, the violation was told.
        """
        now = asyncio.get_running_loop().time()
        if self._gate is not None and not all(self._gate.admit(0, now=now) for _ in range(more)):
            self._on_violation(DisconnectReason.RATE_LIMITED, CloseCode.RATE_LIMITED, "too many messages")
            return False
        return True

    def end(self, *, keep_inbox: bool) -> None:
        """No message will come any more; what is in the inbox can still be taken where it is kept.

        Reading goes on, and forgets what it reads: the server needs it for the closing handshake.
        """
        self._ended = self._discarding = True
        if not keep_inbox:
            self.inbox.clear()
        _wake(self._arrival)
        _wake(self._space)

    async def stop(self) -> None:
        """Read nothing for now. Granian sends no close frame while a `receive` is pending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def linger(self, timeout: float | None) -> None:
        """Read on, and forget it, until the closing handshake is over; `timeout` seconds at most.

        A server that closes a socket with unread data resets it, and the client may lose the close frame.
        """
        await self.stop()
        if self._gone or self._task is None:
            return
        try:
            async with asyncio.timeout(timeout):
                gone = False
                while not gone:
                    gone = isinstance(await self._transport.receive(), Gone)
        except TimeoutError:
            return

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await self._transport.receive()
            if isinstance(message, Gone):
                self._gone = True
                self._on_gone(message)
                return
            now = loop.time()
            if self._on_life is not None:
                self._on_life(now)
            if self._discarding or not self._admit(message, now):
                continue
            if self.inbox.full:
                await self._wait_for_space(loop)

    def _admit(self, message: str | bytes, now: float) -> bool:
        size = len(message) if isinstance(message, bytes) or message.isascii() else _utf8_size(message)
        self.received += 1
        self.received_bytes += size
        limit = self._limits.message_bytes
        if limit is not None and size > limit:
            text = f"a message of {size} bytes; at most {limit} are taken"
            self._on_violation(DisconnectReason.MESSAGE_TOO_BIG, CloseCode.MESSAGE_TOO_BIG, text)
            return False
        if self._gate is not None and not self._gate.admit(size, now=now):
            self._on_violation(DisconnectReason.RATE_LIMITED, CloseCode.RATE_LIMITED, "too many messages")
            return False
        if self.intercept is not None and self.intercept(message):
            return True
        self.inbox.put(message, size)
        _wake(self._arrival)
        return True

    async def _wait_for_space(self, loop: asyncio.AbstractEventLoop) -> None:
        self._space = loop.create_future()
        try:
            await self._space
        finally:
            self._space = None


def _utf8_size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _wake(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)
