"""Several messages in one event: the way to a client whose protocol takes an array of messages for one."""

import asyncio
from collections.abc import Awaitable, Sequence

from fastapi_rooms.batch import Events
from fastapi_rooms.gather import Gatherer
from fastapi_rooms.tally import bytes_in
from fastapi_rooms.transports.gathering import GatheringTransport
from fastapi_rooms.transports.websocket import WebSocketTransport


class JoinedTransport(GatheringTransport):
    """A `Transport` on the standard way that joins the messages of a turn, and a `Pipe`.

    What was gathered is one ASGI event, or few, made once for all clients that got the same. Where the server's
    `send` suspends, a task of the transport's own finishes it, and nothing is gathered until it has.

    Args:
        websocket: The standard way.
        gatherer: Who writes the batch at the end of the turn.
        form: `JOINED_TEXT` or `SSE`; see `Batch.joined`.
        queue_bytes: The bound of the send queue, which what is gathered and what is on its way count towards;
            `None`: none.
        send_timeout: Seconds that one event may take, then the owner is told; `None`: any time.
    """

    __slots__ = ("_flushing", "_passed", "_send_timeout", "pings", "pipe")

    def __init__(
        self,
        websocket: WebSocketTransport,
        gatherer: Gatherer,
        *,
        form: int,
        queue_bytes: int | None,
        send_timeout: float | None,
    ) -> None:
        super().__init__(websocket, gatherer, queue_bytes=queue_bytes)
        self.window_bits = form
        self.turn = websocket.turn
        self._passed = 0  # what the server took, as `written` counts
        self._send_timeout = send_timeout
        self._flushing: asyncio.Task[None] | None = None
        self.pings = False
        self.pipe = self

    def unsent(self) -> int:
        """Bytes gathered, and bytes that the server has not taken; see `Pipe.unsent`."""
        return bytes_in(self._taken - self._passed) if self._open else 0

    def take_over_pings(self) -> None:
        """There are none, but the server's own."""

    def ping(self) -> None:
        """There are none, but the server's own."""

    async def accept(self, *, subprotocol: str | None, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Complete the handshake; from then on messages are gathered."""
        await self._websocket.accept(subprotocol=subprotocol, headers=headers)
        self.write_frames = self._write
        self._open = True
        self._set_ready(ready=True)

    async def close(self, *, code: int, reason: str) -> None:
        """Send what was gathered and the close frame; see `Transport.close`."""
        while self._flushing is not None or self.batch is not None:
            if self._flushing is None:
                self.flush()
            else:
                await asyncio.wait((self._flushing,))
        self.ended()
        await self._websocket.close(code=code, reason=reason)

    def abort(self) -> bool:
        """Drop the peer at once; see `Transport.abort`."""
        self.ended()
        return super().abort()

    def discard_unsent_after(self, delay: float | None, *, unanswered: bool = False) -> None:
        """Nothing else is passed to the server; see `Transport.discard_unsent_after`."""
        self.ended()
        super().discard_unsent_after(delay, unanswered=unanswered)

    def ended(self) -> None:
        """No messages can be written any more, and what is on its way is given up."""
        super().ended()
        task, self._flushing = self._flushing, None
        if task is not None:
            task.cancel()

    def write_failed(self, error: Exception) -> None:
        """What was gathered could not be written."""
        self.ended()
        super().write_failed(error)

    async def _progress(self) -> None:
        if self._flushing is not None:
            await asyncio.wait((self._flushing,))

    def _write(self, events: Events, /) -> None:
        for number, event in enumerate(events, start=1):
            pending = self._websocket.pass_on(event)
            if pending is not None:
                self._set_ready(ready=False)
                finishing = self._finish(pending, events[number:])
                task = asyncio.get_running_loop().create_task(finishing, name="fastapi_rooms flush")
                self._flushing = None if task.done() else task  # an eager one may be (asyncio.eager_task_factory)
                return
        self._passed = self.written

    async def _finish(self, pending: Awaitable[None], events: Events) -> None:
        failure: Exception | None = None
        try:
            await self._wait(pending)
            for event in events:
                again = self._websocket.pass_on(event)
                if again is not None:
                    await self._wait(again)
        except asyncio.CancelledError:
            failure = ConnectionAbortedError("a send was cancelled")  # by the server, unless we have ended
            raise
        except Exception as error:  # noqa: BLE001 - servers raise what they like for a peer that is gone
            failure = error
        finally:
            self._flushing = None
            if failure is None:
                self._passed = self.written
                self._set_ready(ready=self._open)
            elif self._open:
                self.write_failed(failure)

    async def _wait(self, pending: Awaitable[None]) -> None:
        timer = None
        if self._send_timeout is not None and self._owner is not None:
            timer = asyncio.get_running_loop().call_later(self._send_timeout, self._owner.pipe_stuck)
        try:
            await pending
        finally:
            if timer is not None:
                timer.cancel()
