"""The one writer of a connection: nothing else writes messages to its transport.

While the server takes every message at once, there is no queue and no task. The first write that has to wait
puts its message in flight and starts a task; what comes meanwhile waits in the `SendQueue`, and the task ends
when the queue is empty.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi_rooms.errors import DisconnectReason
from fastapi_rooms.options import Overflow, QueueLimits
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Transport
from fastapi_rooms.recipient import Recipient
from fastapi_rooms.send_queue import Dropped, Offer, Scope, SendQueue
from fastapi_rooms.tally import bytes_in, messages_in

_WRITES_PER_TURN: Final = 64
"""Queued messages that one writer passes to the server before it lets others run."""


class Writer:
    """Writes in the order in which messages were enqueued.

    After `stop` its owner calls nothing but `stop` and `join`.

    Args:
        transport: Where to.
        limits: The queue's bounds and the deadline of one write.
        on_failure: Called once when a write raised: the peer is gone, or the server says so.
        on_stuck: Called with `SEND_TIMEOUT` when one write took longer than `limits.send_timeout`, and with
            `SLOW_CONSUMER` when a waiting sender did.
        on_episode: Called with what was dropped when an overflow episode ends.

    Attributes:
        queue: What waits.
        accepting: Whether messages are taken: from `admit` to `refuse` or `stop`.
        recipient: What broadcasts look at, kept up to date here.
        blocked_since: When the last write that had to wait began to, on the loop's clock.
    """

    __slots__ = (
        "_limits",
        "_on_episode",
        "_on_failure",
        "_on_stuck",
        "_open",
        "_relief",
        "_task",
        "_transport",
        "_waiting",
        "accepting",
        "blocked_since",
        "queue",
        "recipient",
    )

    def __init__(
        self,
        transport: Transport,
        limits: QueueLimits,
        *,
        on_failure: Callable[[BaseException], None],
        on_stuck: Callable[[DisconnectReason], None],
        on_episode: Callable[[Dropped], None],
    ) -> None:
        self._transport = transport
        self.queue = SendQueue(limits, held=None if transport.pipe is None else transport.pipe.unsent)
        self.accepting = False
        self.recipient = Recipient()
        self._limits = limits
        self._on_failure = on_failure
        self._on_stuck = on_stuck
        self._on_episode = on_episode
        self._open = True
        self._task: asyncio.Task[None] | None = None
        self.blocked_since = 0.0
        self._waiting: deque[tuple[asyncio.Future[bool], Payload]] | None = None
        self._relief: asyncio.Event | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return self._task is None

    @property
    def sent(self) -> int:
        """Messages that the server took."""
        pipe = self._transport.pipe
        return messages_in(self.recipient.written) + self.queue.sent if pipe is None else pipe.sent

    @property
    def sent_bytes(self) -> int:
        """Their size."""
        pipe = self._transport.pipe
        return bytes_in(self.recipient.written) + self.queue.sent_bytes if pipe is None else pipe.sent_bytes

    def serve(self, recipient: Recipient) -> None:
        """Keep this one up to date from now on; before messages are taken, once."""
        self.recipient = recipient

    def admit(self) -> None:
        """Take messages from now on."""
        self.accepting = self._open
        self.refresh()

    def refuse(self) -> None:
        """Take no more messages; what waits is still written."""
        self.accepting = False
        self.refresh()

    def offer(self, payload: Payload, *, overflow: Overflow, scope: Scope = None, key: str | None = None) -> Offer:
        """Write at once, or queue, or do what the policy says; never waits."""
        if self._task is None:
            return Offer.ACCEPTED if self._write(payload) else Offer.DROPPED
        now = asyncio.get_running_loop().time()
        return self.queue.offer(payload, overflow=overflow, now=now, scope=scope, key=key)

    def offer_control(self, payload: Payload) -> bool:
        """Write at once or queue, with the space reserved for control; False where even that is full."""
        if self._task is None:
            return self._write(payload)
        if not self.queue.fits(payload.size, control=True):
            return False
        self.queue.push(payload, now=asyncio.get_running_loop().time())
        return True

    async def send(self, payload: Payload) -> bool:
        """Write at once or queue; wait for space where there is none, first come first served.

        Returns:
            Whether the message was enqueued; False where the writer was stopped meanwhile.

        A cancelled call may have enqueued its message already.
        """
        loop = asyncio.get_running_loop()
        if self._task is None:
            return self._write(payload)
        if not self._waiting and self.queue.fits(payload.size):
            self.queue.push(payload, now=loop.time())
            return True
        if self._waiting is None:
            self._waiting = deque()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((place, payload))
        timeout = self._limits.send_timeout
        timer = None
        if timeout is not None:
            timer = loop.call_later(timeout, self._on_stuck, DisconnectReason.SLOW_CONSUMER)
        try:
            return await place
        finally:
            if timer is not None:
                timer.cancel()

    async def until_half_empty(self) -> None:
        """Wait for the end of the overflow episode, if one is on, or of the writer."""
        if self._open and self.queue.overflowing:
            if self._relief is None:
                self._relief = asyncio.Event()
            await self._relief.wait()

    def stop(self) -> None:
        """Write nothing more, forget what waits, and send waiting callers away. May be called twice."""
        self._open = False
        self.refuse()
        if self._task is not None:
            self._task.cancel()
        waiting, self._waiting = self._waiting, None
        for place, _ in waiting or ():
            if not place.done():
                place.set_result(False)
        self.queue.discard()
        self._relieve()

    async def join(self) -> None:
        """Wait until everything queued was written, or the writer was stopped. Cancelling it stops nothing."""
        task = self._task
        if task is not None:
            await asyncio.wait((task,))

    def begin(self, payload: Payload, pending: Awaitable[None]) -> None:
        """A message was written that has to wait: put it in flight, and start the task that waits for it."""
        loop = asyncio.get_running_loop()
        self.blocked_since = loop.time()
        self.queue.begin(payload, now=self.blocked_since)
        task = loop.create_task(self._run(pending), name="fastapi_rooms writer")
        self._task = None if task.done() else task  # an eager one may be (asyncio.eager_task_factory)
        self.refresh()

    def refresh(self) -> None:
        """Look again what a broadcast may do by itself: after each change here, and of `Pipe.ready`."""
        idle = self.accepting and self._task is None
        pipe = self._transport.pipe
        self.recipient.direct = self._transport.direct if idle else None
        if pipe is not None:
            taking = idle and pipe.ready
            self.recipient.pipe = pipe if taking else None
            if not taking:
                pipe.part()

    def fail(self, error: Exception) -> None:
        """A message could not be written: the peer is gone, or the server says so."""
        self.queue.discarded += 1
        self._give_up(error)

    def fail_gathered(self, error: Exception) -> None:
        """What the pipe had gathered could not be written; it was counted when it was taken."""
        if self._open:
            self.stop()
            self._on_failure(error)

    def _write(self, payload: Payload) -> bool:
        try:
            pending = self._transport.write(payload)
        except Exception as error:  # noqa: BLE001 - servers raise what they like for a peer that is gone
            self.fail(error)
            return False
        if pending is None:
            self.recipient.written += payload.tally
        else:
            self.begin(payload, pending)
        return True

    async def _run(self, pending: Awaitable[None]) -> None:
        try:
            await self._wait(pending)
            written = 0
            while (payload := self._next()) is not None:
                again = self._transport.write(payload)
                if again is not None:
                    await self._wait(again)
                elif (written := written + 1) % _WRITES_PER_TURN == 0:
                    await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            self._give_up(error)  # unless `stop` did it, the server cancelled what we awaited
            raise
        except Exception as error:  # noqa: BLE001 - servers raise what they like for a peer that is gone
            self._give_up(error)
        finally:
            self._task = None
            self.refresh()

    async def _wait(self, pending: Awaitable[None]) -> None:
        timeout = self._limits.send_timeout
        timer = None
        self.blocked_since = asyncio.get_running_loop().time()
        if timeout is not None:
            timer = asyncio.get_running_loop().call_later(timeout, self._on_stuck, DisconnectReason.SEND_TIMEOUT)
        try:
            await pending
        finally:
            if timer is not None:
                timer.cancel()

    def _next(self) -> Payload | None:
        episode = self.queue.release()
        if episode is not None:
            self._on_episode(episode)
            self._relieve()
        self._admit_waiting()
        return self.queue.take()

    def _relieve(self) -> None:
        if self._relief is not None:
            self._relief.set()
            self._relief = None

    def _admit_waiting(self) -> None:
        while self._waiting:
            place, payload = self._waiting[0]
            if place.done():
                self._waiting.popleft()
            elif (
                self.queue.fits(payload.size) or not self.queue
            ):  # what only the server holds is no reason to wait
                self._waiting.popleft()
                self.queue.push(payload, now=asyncio.get_running_loop().time())
                place.set_result(True)
            else:
                return

    def _give_up(self, error: BaseException) -> None:
        if self._open:
            self._task = None  # `stop` would cancel it, and it is the caller
            self.stop()
            self._on_failure(error)
