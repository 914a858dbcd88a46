"""What the transports that gather have in common: messages wait for the end of the turn, all else does not."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Final

from fastapi_rooms.batch import FULL, Batch
from fastapi_rooms.frames import HEADER_BYTES, PLAIN
from fastapi_rooms.gather import Gatherer, WriteFrames, write_batch
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone, PipeOwner
from fastapi_rooms.tally import bytes_in, messages_in
from fastapi_rooms.transports.direct import NONE
from fastapi_rooms.transports.stepping import step
from fastapi_rooms.transports.websocket import WebSocketTransport

_BUFFER_SHARE: Final = 4
"""The part of the send queue's bytes, one in so many, that are gathered at most, or the server's buffer may hold
before it pauses us."""


class GatheringTransport(ABC):
    """The shared part of a `Transport` that is a `Pipe`.

    A message is put into the batch of this turn of the loop, and the batch goes out in one write at the turn's
    end: it was joined once, for all clients that got the same. While it is not `ready` nothing is gathered, and
    the writer's queue takes over.

    Args:
        websocket: The standard way, for everything but messages.
        gatherer: Who writes the batch at the end of the turn.
        queue_bytes: The bound of the send queue, which what is gathered counts towards; `None`: none.
    """

    __slots__ = (
        "_buffer_bytes",
        "_open",
        "_owner",
        "_websocket",
        "batch",
        "descriptor",
        "direct",
        "gatherer",
        "ready",
        "turn",
        "window_bits",
        "write_frames",
        "written",
    )

    def __init__(self, websocket: WebSocketTransport, gatherer: Gatherer, *, queue_bytes: int | None) -> None:
        self._websocket = websocket
        self.gatherer = gatherer
        self._buffer_bytes = FULL if queue_bytes is None else max(1, min(FULL, queue_bytes // _BUFFER_SHARE))
        self._owner: PipeOwner | None = None
        self._open = False
        self.window_bits = PLAIN
        self.write_frames: WriteFrames = _not_yet
        self.descriptor = NONE
        self.written = 0
        self.batch: Batch | None = None
        self.ready = False
        self.direct = None
        self.turn = 0.0

    def write(self, payload: Payload) -> Awaitable[None] | None:
        """Gather one message; see `Transport.write`."""
        if self.ready:
            self.add(payload)
            return None
        return step(self._write_when_ready(payload))  # in line from now on

    def add(self, payload: Payload) -> None:
        """Gather one message; see `Pipe.add`."""
        batch = self.batch
        batch = self.gatherer.begin(self, payload) if batch is None else batch.then(payload)
        self.batch = batch
        if batch.full or batch.size >= self._buffer_bytes:
            self.flush()

    def add_for_all(self, payload: Payload) -> bool:
        """Gather one message for all who hold the same batch; see `Pipe.add_for_all`."""
        batch = self.batch
        if batch is None or batch.size + payload.size + (batch.count + 1) * HEADER_BYTES >= self._buffer_bytes:
            return False
        batch.add(payload)
        return True

    def flush(self) -> None:
        """Write what was gathered; see `Pipe.flush`."""
        write_batch(self)

    @property
    def sent(self) -> int:
        """Messages taken so far."""
        return messages_in(self._taken)

    @property
    def sent_bytes(self) -> int:
        """Their size."""
        return bytes_in(self._taken)

    def watch(self, owner: PipeOwner) -> None:
        """Tell `owner`; see `Pipe.watch`."""
        self._owner = owner

    async def receive(self) -> str | bytes | Gone:
        """The next message; see `Transport.receive`."""
        return await self._websocket.receive()

    def retire(self) -> None:
        """The connection has ended; see `Transport.retire`."""
        self._websocket.retire()

    def abort(self) -> bool:
        """Drop the peer at once; see `Transport.abort`."""
        return self._websocket.abort()

    def discard_unsent_after(self, delay: float | None, *, unanswered: bool = False) -> None:
        """Abort later what is stuck then; see `Transport.discard_unsent_after`."""
        self._websocket.discard_unsent_after(delay, unanswered=unanswered)

    def ended(self) -> None:
        """No messages can be written any more; what was gathered was taken, as the server's buffer would have."""
        self.written = self._taken
        self._open = False
        self.part()
        self.batch = None
        self._set_ready(ready=False)

    def part(self) -> None:
        """It gets nothing that others get; see `Pipe.part`."""
        if self.batch is not None:
            self.batch.holders = None

    def write_failed(self, error: Exception) -> None:
        """What was gathered could not be written."""
        if self._owner is not None:
            self._owner.pipe_failed(error)

    async def _write_when_ready(self, payload: Payload) -> None:
        while self._open and not self.ready:
            await self._progress()
        if not self._open:
            raise ConnectionResetError("the connection takes no messages any more")
        self.add(payload)

    @abstractmethod
    async def _progress(self) -> None:
        """Wait until it may be ready, or ended; it is neither."""
        ...

    @property
    def _taken(self) -> int:
        return self.written if self.batch is None else self.written + self.batch.tally

    def _set_ready(self, *, ready: bool) -> None:
        self.ready = ready
        if self._owner is not None:
            self._owner.pipe_changed()


def _not_yet(_data: object, /) -> None:
    raise ConnectionError("messages can be written from accept on")
