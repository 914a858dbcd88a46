"""The machine under a `Connection`: writer, reader, timers, and the one way in which all of them end."""

import asyncio
import logging
import math
import random
from typing import Final, Literal, Protocol

from fastapi_rooms.closing import cut_reason
from fastapi_rooms.errors import CloseCode, Disconnect, DisconnectReason
from fastapi_rooms.liveness import Liveness, Verdict
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone, Transport
from fastapi_rooms.reader import Reader
from fastapi_rooms.send_queue import Dropped, Offer, Scope
from fastapi_rooms.writer import Writer

logger = logging.getLogger("fastapi_rooms")

Status = Literal["connecting", "connected", "disconnected"]

BROKEN_GRACE: Final = 1.0
"""Seconds that the reader has to say why, after a write failed."""

_STALLED_AFTER: Final = 0.25
"""Seconds in flight after which a message is not expected to be taken in the next turn either."""

_NEARLY_FULL: Final = 0.75
_LONGER: Final = 5
"""A queue fuller than that, which still moves, wants so many turns: its client is healthy, the server is late."""

_KEEP_INBOX: Final = frozenset({DisconnectReason.CLIENT, DisconnectReason.SHUTDOWN})
_DEAF: Final = frozenset(
    {DisconnectReason.SLOW_CONSUMER, DisconnectReason.SEND_TIMEOUT, DisconnectReason.HEARTBEAT_TIMEOUT}
)
"""Ends of peers that may be there no more: the close frame may never be read."""


class Owner(Protocol):
    """What a link tells the one who made it. None of it may block or raise."""

    def link_down(self) -> None:
        """The link has just ended. Called once, before anything is awaited: unregister."""
        ...

    def link_dropped(self, dropped: Dropped) -> None:
        """An overflow episode has ended."""
        ...


class Link:
    """One client's transport with everything that is bounded about it.

    `shut` is the only way to its end. It is synchronous, so nobody ever sees a link half down: the owner has
    unregistered it when `shut` returns, and a task of the link's own says goodbye to the peer.

    Attributes:
        status: "connecting" until `open`, "connected" until `shut`, then "disconnected".
        disconnect: How it ended, or `None`.
        limits: What the client may use.
        queue_limits: The bounds of its send queue.
        overflow: The manager's policy, for messages to this client alone.
    """

    __slots__ = (
        "_beat",
        "_broken",
        "_closer",
        "_departure",
        "_expiry",
        "_liveness",
        "_loop",
        "_owner",
        "_pings",
        "_timer",
        "disconnect",
        "limits",
        "overflow",
        "queue_limits",
        "reader",
        "status",
        "transport",
        "writer",
    )

    def __init__(
        self,
        transport: Transport,
        owner: Owner,
        *,
        queue: QueueLimits,
        overflow: Overflow,
        limits: Limits,
        rate_limit: RateLimit | None,
        heartbeat: Heartbeat | None,
        beat: Payload | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._closer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._broken: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None
        self._beat = beat
        self._pings = heartbeat is not None and beat is None
        self._liveness: Liveness | None = None
        if heartbeat is not None or limits.idle_timeout is not None:
            self._liveness = Liveness(idle_timeout=limits.idle_timeout, heartbeat=heartbeat, now=self._loop.time())
        self.transport = transport
        self.status: Status = "connecting"
        self.disconnect: Disconnect | None = None
        self.limits = limits
        self.queue_limits = queue
        self.overflow = overflow
        self.writer = Writer(
            transport,
            queue,
            on_failure=self._write_failed,
            on_stuck=self._write_stuck,
            on_episode=owner.link_dropped,
        )
        self.reader = Reader(
            transport,
            limits,
            rate_limit,
            on_life=None if self._liveness is None else self._liveness.saw,
            on_gone=self._peer_gone,
            on_violation=self.shut,
        )
        if transport.pipe is not None:
            transport.pipe.watch(self)

    def start(self) -> None:
        """The handshake is complete: read, and watch the client's life."""
        self.reader.start()
        pipe = self.transport.pipe
        if pipe is not None and self._pings:
            pipe.take_over_pings()
        if self._liveness is not None:
            self._liveness.saw(self._loop.time())
            self._watch(self._liveness)

    def open(self) -> None:
        """Take messages from now on; nothing happens where the link has ended already."""
        if self.disconnect is None:
            self.status = "connected"
            self.writer.admit()

    def deliver(
        self, payload: Payload, overflow: Overflow, scope: Scope = None, key: str | None = None
    ) -> Offer | None:
        """One recipient's part of a broadcast; never waits. `None` where no messages are taken (any more)."""
        if not self.writer.accepting:
            return None
        offer = self.writer.offer(payload, overflow=overflow, scope=scope, key=key)
        if offer is Offer.OVERFLOWED:
            self.shut(DisconnectReason.SLOW_CONSUMER, CloseCode.SLOW_CONSUMER, "the send queue is full")
        return offer

    def pause_wanted(self) -> float | None:
        """Seconds for which a busy producer should let this link's writer run; `None`: it need not.

        Only a queue more than half full wants it, and only while it moves: a stalled client slows nobody.
        """
        writer = self.writer
        if not writer.queue.over_half or self._loop.time() - writer.blocked_since > _STALLED_AFTER:
            return None
        return self.transport.turn * (_LONGER if writer.queue.fullness > _NEARLY_FULL else 1)

    async def send(self, payload: Payload) -> bool:
        """Enqueue, waiting for space; False where the link takes no messages (any more)."""
        return self.writer.accepting and await self.writer.send(payload)

    def control(self, payload: Payload) -> bool:
        """Say what no policy may drop, with the space reserved for it; never waits.

        A client for whom even that is full is closed with 4008.

        Returns:
            Whether it is said.
        """
        if not self.writer.accepting:
            return False
        if self.writer.offer_control(payload):
            return True
        self.shut(DisconnectReason.SLOW_CONSUMER, CloseCode.SLOW_CONSUMER, "the send queue is full")
        return False

    async def until_half_empty(self) -> None:
        """Wait for the end of the overflow episode, if one is on, or of the link: by `send_timeout` it comes."""
        await self.writer.until_half_empty()

    def time(self) -> float:
        """Seconds on the link's clock; from any thread."""
        return self._loop.time()

    def is_current_loop(self) -> bool:
        """Whether the caller runs on the link's event loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def expire_in(self, delay: float | None) -> None:
        """End with 4001 in `delay` seconds, instead of whatever was set before; `None`: never."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if delay is not None and not math.isinf(delay) and self.disconnect is None:
            text = "the token has expired"
            self._expiry = self._loop.call_later(
                max(0.0, delay), self.shut, DisconnectReason.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED, text
            )

    def shut(self, reason: DisconnectReason, code: int, text: str = "", *, flush: bool = False) -> None:
        """End the link: unregister, stop, and let a task send the close frame. Once; later calls do nothing.

        Args:
            reason: Why, for the application.
            code: The close code for the client.
            text: The close frame's reason, cut to 123 bytes.
            flush: Write what is queued first, within `close_timeout`.
        """
        if self.disconnect is not None:
            return
        accepted = self.status == "connected" or self.reader.started
        self._end(Disconnect(reason, int(code), cut_reason(text)))
        if accepted:
            self._closer = self._loop.create_task(self._say_goodbye(flush=flush), name="fastapi_rooms closer")
        else:
            self.writer.stop()

    async def closed(self) -> None:
        """Wait until the close frame was sent, or given up. Cancelling it cancels nothing else."""
        if self._closer is not None:
            await asyncio.wait((self._closer,))

    async def finish(self) -> None:
        """Wait for every task of the link: at most `close_timeout` for the goodbye and again for the reply."""
        await self.closed()
        await self.reader.linger(self.queue_limits.close_timeout)
        await self.writer.join()

    def pipe_changed(self) -> None:
        """Shared frames: the server's buffer is full, or has space again; see `PipeOwner`."""
        self.writer.refresh()

    def pipe_failed(self, error: Exception) -> None:
        """Shared frames: what was gathered could not be written; see `PipeOwner`."""
        self.writer.fail_gathered(error)

    def pipe_stuck(self) -> None:
        """What was gathered has been on its way for longer than `send_timeout`; see `PipeOwner`."""
        self._write_stuck(DisconnectReason.SEND_TIMEOUT)

    def peer_lives(self) -> None:
        """Shared frames: a pong has come; see `PipeOwner`."""
        # A heartbeat that is a message asks the page: that the browser answers the server's pings says nothing.
        if self._pings and self._liveness is not None:
            self._liveness.heard(self._loop.time())

    def server_stops(self) -> bool:
        """Shared frames: the server stops; see `PipeOwner`."""
        spread = self.limits.shutdown_spread
        if spread is None or self.disconnect is not None:
            return False
        self.send_away_within(spread)
        return True

    def send_away_within(self, seconds: float) -> None:
        """Send the client away at a random moment; what was set before stays."""
        if self.disconnect is None and self._departure is None:
            delay = random.uniform(0, seconds)  # noqa: S311 - it spreads clients, and guards no secret
            self._departure = self._loop.call_later(delay, self.send_away)

    def send_away(self) -> None:
        """Close with 1012, with what is queued before it: the client may come back, to another process."""
        text = "the server is restarting"
        self.shut(DisconnectReason.SHUTDOWN, CloseCode.SERVICE_RESTART, text, flush=True)

    def _end(self, disconnect: Disconnect) -> None:
        self.disconnect = disconnect
        self.status = "disconnected"
        self.writer.refuse()
        for timer in (self._timer, self._expiry, self._broken, self._departure):
            if timer is not None:
                timer.cancel()
        self._timer = self._expiry = self._broken = self._departure = None
        self._owner.link_down()
        if self.reader.started:
            self.transport.retire()
        self.reader.end(keep_inbox=disconnect.reason in _KEEP_INBOX)

    async def _say_goodbye(self, *, flush: bool) -> None:
        disconnect = self.disconnect or Disconnect(DisconnectReason.CLOSED, CloseCode.NORMAL)
        timeout = self.queue_limits.close_timeout
        try:
            async with asyncio.timeout(timeout):
                if flush:
                    await self.writer.join()
                self.writer.stop()
                await self.writer.join()
                await self.reader.stop()
                await self.transport.close(code=disconnect.code, reason=disconnect.text)
        except TimeoutError:
            self.transport.abort()
        except Exception as error:  # noqa: BLE001 - servers raise what they like for a peer that is gone
            logger.debug("the close frame was not sent: %r", error)
            self.transport.abort()
        finally:
            self.writer.stop()
        self.transport.discard_unsent_after(timeout, unanswered=disconnect.reason in _DEAF)

    def _peer_gone(self, gone: Gone) -> None:
        if self.disconnect is None:
            shutdown = gone.code == CloseCode.SERVICE_RESTART
            reason = DisconnectReason.SHUTDOWN if shutdown else DisconnectReason.CLIENT
            self._end(Disconnect(reason, gone.code, gone.text))
            self.writer.stop()
            self.transport.discard_unsent_after(self.queue_limits.close_timeout)

    def _write_failed(self, error: BaseException) -> None:
        expected = isinstance(error, (OSError, RuntimeError))  # what servers raise for a peer that is gone
        logger.log(logging.DEBUG if expected else logging.WARNING, "a write failed: %r", error)
        text = "a message could not be written"
        self._broken = self._loop.call_later(
            BROKEN_GRACE, self.shut, DisconnectReason.CLIENT, CloseCode.INTERNAL_ERROR, text
        )

    def _write_stuck(self, reason: DisconnectReason) -> None:
        self.shut(reason, CloseCode.SLOW_CONSUMER, "messages were not read in time")

    def _watch(self, liveness: Liveness) -> None:
        due = liveness.due(self._loop.time())
        if due is not None and self.disconnect is None:
            self._timer = self._loop.call_at(due, self._check_life, liveness)

    def _check_life(self, liveness: Liveness) -> None:
        now = self._loop.time()
        if self.reader.paused:
            liveness.saw(now)  # we do not read, so the client cannot show life
        verdict = liveness.judge(now)
        if verdict is Verdict.BEAT:
            self._send_heartbeat(liveness, now)
        elif verdict is Verdict.DEAD:
            self.shut(DisconnectReason.HEARTBEAT_TIMEOUT, CloseCode.HEARTBEAT_TIMEOUT, "no sign of life")
        elif verdict is Verdict.IDLE:
            self.shut(DisconnectReason.IDLE_TIMEOUT, CloseCode.HEARTBEAT_TIMEOUT, "idle for too long")
        self._watch(liveness)

    def _send_heartbeat(self, liveness: Liveness, now: float) -> None:
        pipe = self.transport.pipe
        if not self.writer.accepting:
            liveness.saw(now)  # nothing is asked, so no answer is due
        elif self._beat is None:
            if pipe is not None:
                pipe.ping()
        elif not self.writer.offer_control(self._beat):
            self.shut(DisconnectReason.SLOW_CONSUMER, CloseCode.SLOW_CONSUMER, "the send queue is full")
