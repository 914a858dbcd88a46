"""What is written at the end of this turn of the event loop, and nothing before: one write for each client."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from fastapi_rooms.batch import Batch
from fastapi_rooms.payload import Payload

MANY: Final = 32
"""Clients from which a write to each of them takes much longer than a turn of the loop that brings nothing."""

MORE_TURNS: Final = 3
"""Turns that writing to many clients is put off for. A message that has reached the socket by then is read in the
first, handled in the second or third, and goes out in the same writes: with several messages on their way that
makes few large writes of many small ones. It costs a message some microseconds."""


class WriteFrames(Protocol):
    """Passes what `Batch.joined` made for a client on to its server, without waiting."""

    def __call__(self, data: Any, /) -> None:
        """Write."""
        ...


class Send(Protocol):
    """Passes bytes to the kernel, as `os.write` does."""

    def __call__(self, descriptor: int, data: bytes, /) -> int:
        """Write what there is space for.

        Returns:
            How many bytes that was.

        Raises:
            OSError: None at all.
        """
        ...


class Gathers(Protocol):
    """A client whose messages are gathered.

    Attributes:
        batch: What was gathered and not yet written.
        window_bits: What the client negotiated for compression; 0: none. Or another form of `Batch.joined`.
        write_frames: Where that goes.
        descriptor: Where they may go instead, as long as `Send` takes all of them: nothing waits before them.
            Negative: nowhere.
        written: Messages written so far; see `tally`.
    """

    batch: Batch | None
    window_bits: int
    write_frames: WriteFrames
    descriptor: int
    written: int

    def write_failed(self, error: Exception) -> None:
        """`write_frames` raised. Must not raise itself."""
        ...


class Gatherer:
    """Collects the clients that got something in this turn, and writes at its end. Schedules nothing else.

    Args:
        loop: Whose turns.
        window: Seconds to gather for, instead of a turn: fewer and larger writes, each message later by up to
            so much.
        find_send: Asked at each end of a turn for what writes to descriptors; `None`: nothing does now.

    Attributes:
        waiting: Clients with a batch, in the order in which they got it. Who gives a client its first batch
            appends it here, unless `begin` did.
    """

    __slots__ = ("_empty", "_find_send", "_loop", "_window", "waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        window: float | None = None,
        find_send: Callable[[], Send | None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._find_send = find_send
        self._window = window
        self.waiting: list[Gathers] = []
        self._empty = Batch([], size=0)

    def begin(self, client: Gathers, payload: Payload) -> Batch:
        """The first message for a client that has no batch; the batch, which is the client's to keep."""
        if not self.waiting:
            if self._window is None:
                self._loop.call_soon(self._end_turn, 0)
            else:
                self._loop.call_later(self._window, self._write_all)
        self.waiting.append(client)
        return self._empty.then(payload)

    def _end_turn(self, turns: int) -> None:
        if turns < MORE_TURNS and len(self.waiting) >= MANY:
            self._loop.call_soon(self._end_turn, turns + 1)
        else:
            self._write_all()

    def _write_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        self._empty = Batch([], size=0)
        batch_before: Batch | None = None
        bits_before = 0
        data: Any = b""
        send = self._find_send()
        for client in waiting:
            # `write_batch`, spelt out: this, and the loop of `fan_out`, is what a message costs beside the kernel.
            batch = client.batch
            if batch is None:
                continue
            client.batch = None
            client.written += batch.tally
            try:
                if batch is not batch_before or client.window_bits != bits_before:
                    batch.holders = None
                    data = batch.joined(client.window_bits)
                    batch_before, bits_before = batch, client.window_bits
                if send is None or client.descriptor < 0:
                    client.write_frames(data)
                    continue
                try:
                    sent = send(client.descriptor, data)
                except OSError:
                    sent = 0  # no space, or nobody there: the event loop's transport deals with both
                if sent != len(data):
                    client.write_frames(data[sent:])
            except Exception as error:  # noqa: BLE001 - event loops raise what they like for a peer that is gone
                client.write_failed(error)


def write_batch(client: Gathers) -> None:
    """Write what one client has gathered, now."""
    batch = client.batch
    if batch is not None:
        batch.holders = None
        client.batch = None
        client.written += batch.tally
        try:
            client.write_frames(batch.joined(client.window_bits))
        except Exception as error:  # noqa: BLE001 - event loops raise what they like for a peer that is gone
            client.write_failed(error)
