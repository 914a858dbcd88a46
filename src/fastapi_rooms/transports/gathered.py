"""Shared frames: the way to a client of a server that takes WebSocket frames as they are."""

from collections.abc import Sequence

from fastapi_rooms.gather import Gatherer
from fastapi_rooms.ports import FrameServer
from fastapi_rooms.transports.direct import NONE, find_descriptor
from fastapi_rooms.transports.gathering import GatheringTransport
from fastapi_rooms.transports.websocket import WebSocketTransport


class GatheredTransport(GatheringTransport):
    """A `Transport` that writes messages around the server, and a `Pipe`; all else goes through the server.

    The frames of a batch were built once, and joined once, for all clients that got the same. When the server's
    buffer is full, nothing is gathered until it has space.

    Args:
        websocket: The standard way, for everything but messages.
        server: Where frames go.
        gatherer: Who writes the batch at the end of the turn.
        queue_bytes: The bound of the send queue, which the server's buffer counts towards; `None`: none.
    """

    __slots__ = ("_descriptor", "_server", "pings", "pipe")

    def __init__(
        self,
        websocket: WebSocketTransport,
        server: FrameServer,
        gatherer: Gatherer,
        *,
        queue_bytes: int | None,
    ) -> None:
        super().__init__(websocket, gatherer, queue_bytes=queue_bytes)
        self._server = server
        self._descriptor = NONE
        self.pings = True
        self.pipe = self

    def unsent(self) -> int:
        """Bytes gathered, and bytes in the server's buffer; see `Pipe.unsent`."""
        if not self._open or self._server.transport.is_closing():
            return 0
        gathered = 0 if self.batch is None else self.batch.size
        return gathered + self._server.transport.get_write_buffer_size()

    def take_over_pings(self) -> None:
        """Send no pings but those of `ping`."""
        self._server.stop_keepalive()

    def ping(self) -> None:
        """Send a ping; see `Pipe.ping`."""
        self._server.ping()

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

    async def close(self, *, code: int, reason: str) -> None:
        """Send what was gathered and the close frame; see `Transport.close`."""
        await self._websocket.close(code=code, reason=reason)

    def paused(self) -> None:
        """The server's buffer is full."""
        self._set_ready(ready=False)

    def resumed(self) -> None:
        """The server's buffer has space again."""
        self._set_ready(ready=self._open)

    def pong(self) -> None:
        """The client has answered a ping."""
        if self._owner is not None:
            self._owner.peer_lives()

    def stopping(self) -> bool:
        """The server stops; see `FrameClient.stopping`."""
        return self._owner is not None and self._owner.server_stops()

    async def _progress(self) -> None:
        await self._server.writable.wait()

    def _set_ready(self, *, ready: bool) -> None:
        self.descriptor = self._descriptor if ready else NONE
        super()._set_ready(ready=ready)
