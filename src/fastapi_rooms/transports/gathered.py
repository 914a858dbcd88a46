"""Shared frames: the way to a client of a server that takes WebSocket frames as they are."""

from collections.abc import Awaitable, Sequence
from typing import Final

from fastapi_rooms.batch import FULL, Batch
from fastapi_rooms.frames import PLAIN
from fastapi_rooms.gather import Gatherer, WriteFrames, write_batch
from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import FrameServer, Gone, PipeOwner
from fastapi_rooms.tally import bytes_in, messages_in
from fastapi_rooms.transports.direct import NONE, find_descriptor
from fastapi_rooms.transports.stepping import step
from fastapi_rooms.transports.websocket import WebSocketTransport

_BUFFER_SHARE: Final = 4
"""The part of the send queue's bytes, one in so many, that the server's buffer may hold before it pauses us."""


class GatheredTransport:
    """A `Transport` that writes messages around the server, and a `Pipe`; all else goes through the server.

    A message is put into the batch of this turn of the loop. The batch goes out in one write at the turn's end:
    its frames were built once, and joined once, for all clients that got the same. When the server's buffer is
    full, nothing is gathered until it has space, and the writer's queue takes over.

    Args:
        websocket: The standard way, for everything but messages.
        server: Where frames go.
        gatherer: Who writes the batch at the end of the turn.
        queue_bytes: The bound of the send queue, which the server's buffer counts towards; `None`: none.
    """

    __slots__ = (
        "_buffer_bytes",
        "_descriptor",
        "_open",
        "_owner",
        "_server",
        "_websocket",
        "batch",
        "descriptor",
        "direct",
        "gatherer",
        "pipe",
        "ready",
        "turn",
        "window_bits",
        "write_frames",
        "written",
    )

    def __init__(
        self,
        websocket: WebSocketTransport,
        server: FrameServer,
        gatherer: Gatherer,
        *,
        queue_bytes: int | None,
    ) -> None:
        self._websocket = websocket
        self._server = server
        self.gatherer = gatherer
        self._buffer_bytes = FULL if queue_bytes is None else max(1, min(FULL, queue_bytes // _BUFFER_SHARE))
        self._owner: PipeOwner | None = None
        self._open = False
        self.window_bits = PLAIN
        self.write_frames: WriteFrames = _not_yet
        self._descriptor = NONE
        self.descriptor = NONE
        self.written = 0
        self.batch: Batch | None = None
        self.ready = False
        self.direct = None
        self.turn = 0.0
        self.pipe = self

    def write(self, payload: Payload) -> Awaitable[None] | None:
        """Gather one message; see `Transport.write`."""
        if self.ready:
            self.add(payload)
            return None
        return step(self._write_when_ready(payload))  # in line for the buffer's space from now on

    def add(self, payload: Payload) -> None:
        """Gather one message; see `Pipe.add`."""
        batch = self.batch
        batch = self.gatherer.begin(self, payload) if batch is None else batch.then(payload)
        self.batch = batch
        if batch.full or batch.size >= self._buffer_bytes:
            self.flush()

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

    def unsent(self) -> int:
        """Bytes gathered, and bytes in the server's buffer; see `Pipe.unsent`."""
        if not self._open or self._server.transport.is_closing():
            return 0
        gathered = 0 if self.batch is None else self.batch.size
        return gathered + self._server.transport.get_write_buffer_size()

    def watch(self, owner: PipeOwner) -> None:
        """Tell `owner`; see `Pipe.watch`."""
        self._owner = owner

    def take_over_pings(self) -> None:
        """Send no pings but those of `ping`."""
        self._server.stop_keepalive()

    def ping(self) -> None:
        """Send a ping; see `Pipe.ping`."""
        self._server.ping()

    async def receive(self) -> str | bytes | Gone:
        """The next message; see `Transport.receive`."""
        return await self._websocket.receive()

    async def accept(self, *, subprotocol: str | None, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Complete the handshake; from then on frames can be written."""
        await self._websocket.accept(subprotocol=subprotocol, headers=headers)
        self.write_frames = self._server.transport.write
        self.window_bits = self._server.window_bits
        self._open = self._server.attach(self)
        if self._open:
            self._descriptor = find_descriptor(self._server.transport)
            # With no buffer at all we are paused whenever something waits there: what is written to the descriptor
            # while we are not comes after all that the transport took.
            high = self._buffer_bytes if self._descriptor == NONE else 0
            self._server.transport.set_write_buffer_limits(high=high)
        self._set_ready(ready=self._open and self._server.writable.is_set())

    def retire(self) -> None:
        """The connection has ended; see `Transport.retire`."""
        self._websocket.retire()

    async def close(self, *, code: int, reason: str) -> None:
        """Send what was gathered and the close frame; see `Transport.close`."""
        await self._websocket.close(code=code, reason=reason)

    def abort(self) -> bool:
        """Drop the peer at once; see `Transport.abort`."""
        return self._websocket.abort()

    def discard_unsent_after(self, delay: float | None) -> None:
        """Abort later if bytes are still unsent then; see `Transport.discard_unsent_after`."""
        self._websocket.discard_unsent_after(delay)

    def paused(self) -> None:
        """The server's buffer is full."""
        self._set_ready(ready=False)

    def resumed(self) -> None:
        """The server's buffer has space again."""
        self._set_ready(ready=self._open)

    def ended(self) -> None:
        """No frames can be written any more; what was gathered was taken, as the server's buffer would have."""
        self.written = self._taken
        self._open = False
        self.batch = None
        self._set_ready(ready=False)

    def pong(self) -> None:
        """The client has answered a ping."""
        if self._owner is not None:
            self._owner.peer_lives()

    def stopping(self) -> bool:
        """The server stops; see `FrameClient.stopping`."""
        return self._owner is not None and self._owner.server_stops()

    def write_failed(self, error: Exception) -> None:
        """What was gathered could not be written."""
        if self._owner is not None:
            self._owner.pipe_failed(error)

    async def _write_when_ready(self, payload: Payload) -> None:
        while self._open and not self.ready:
            await self._server.writable.wait()
        if not self._open:
            raise ConnectionResetError("the connection takes no messages any more")
        self.add(payload)

    @property
    def _taken(self) -> int:
        return self.written if self.batch is None else self.written + self.batch.tally

    def _set_ready(self, *, ready: bool) -> None:
        self.ready = ready
        self.descriptor = self._descriptor if ready else NONE
        if self._owner is not None:
            self._owner.pipe_changed()


def _not_yet(_data: bytes, /) -> None:
    raise ConnectionError("frames can be written from accept on")
