"""What a transport, a set of hooks and an authenticator must be, for the layers above and beside us."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from starlette.requests import HTTPConnection

from fastapi_rooms.gather import Gatherer, Gathers
from fastapi_rooms.payload import Payload

SUBPROTOCOL_SCOPE_KEY: Final = "fastapi_rooms.subprotocol"
"""Where a dependency leaves, in the ASGI scope, the subprotocol that accept must echo."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What `Transport.receive` returns once the peer, or the server, has ended the connection."""

    code: int
    text: str = ""


SHARED_FRAMES_EXTENSION: Final = "fastapi_rooms.shared_frames"
"""Where, in `scope["extensions"]`, a server that takes frames offers itself: `{"server": FrameServer}`."""

SSE_EXTENSION: Final = "fastapi_rooms.sse"
"""Where, in `scope["extensions"]`, an event stream that poses as a WebSocket says so: `{"stream": SSEStream}`."""


DirectSend = Callable[[MutableMapping[str, Any]], Coroutine[Any, Any, None]]
"""A server's `send` that may be stepped by hand (see `fastapi_rooms.transports.stepping`)."""


class Transport(Protocol):
    """How bytes reach one client. Adapters live in `fastapi_rooms.transports`."""

    @property
    def direct(self) -> DirectSend | None:
        """What `write` steps with `Payload.event`; broadcasts do that themselves. `None`: use `write`."""
        ...

    @property
    def pipe(self) -> "Pipe | None":
        """Where the transport gathers messages; `None` where it does not. The same object for its whole life."""
        ...

    @property
    def turn(self) -> float:
        """Seconds in which a write that had to wait may progress; 0: one turn of the event loop is enough."""
        ...

    def write(self, payload: Payload) -> Awaitable[None] | None:
        """Write one message without waiting.

        Returns:
            `None` where the server took it; else what must be awaited (by one owner, exactly once) until it
            did. At most one write is outstanding at a time: the caller waits before it writes the next.

        Raises:
            Exception: Whatever the server raises for a peer that is gone. The caller treats every exception
                alike and learns the disconnect from `receive`.
        """
        ...

    async def receive(self) -> str | bytes | Gone:
        """The next message from the client; after `Gone` it is not called again.

        Cancelling it loses nothing.
        """
        ...

    async def accept(self, *, subprotocol: str | None, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Complete the handshake."""
        ...

    def retire(self) -> None:
        """The connection has ended: only `close` and `abort` reach the peer now, and no other holder of it."""
        ...

    async def close(self, *, code: int, reason: str) -> None:
        """Send the close frame. May block for as long as the peer does not read."""
        ...

    def abort(self) -> bool:
        """Drop the peer at once, with what the server still buffers for it; False where the server cannot."""
        ...

    def discard_unsent_after(self, delay: float | None, *, unanswered: bool = False) -> None:
        """After `delay` seconds abort, if the server still holds bytes that the peer has not taken.

        With `unanswered`, for a peer that did not read, abort too if it has not answered the close frame by then.
        """
        ...


class Pipe(Gathers, Protocol):
    """What a transport can do more if it gathers: all messages of a turn of the loop in one write.

    Attributes:
        ready: Whether messages are taken now: the handshake is complete, nothing has ended the connection, and the
            server's buffer has space. While it is false, `Transport.write` is what takes them.
        batch: What was gathered and not yet written. A broadcast may put in its place what `add` made of an equal
            one for another client, while the pipe is ready; and it grows in place by `add_for_all` of any of its
            `holders`, which whoever takes it away makes `None`.
        gatherer: Who writes the batch at the end of the turn.
        pings: Whether there are protocol pings that it can send.
    """

    ready: bool
    gatherer: Gatherer
    pings: bool

    def add(self, payload: Payload) -> None:
        """Gather one message; it goes out at the end of the turn, or now if that is much. Only while `ready`."""
        ...

    def add_for_all(self, payload: Payload) -> bool:
        """Gather one message for all `holders` of the batch; False where `add` might have to write it now."""
        ...

    def part(self) -> None:
        """From now on it gets nothing by `add_for_all` of others: it takes no messages any more."""
        ...

    def flush(self) -> None:
        """Write what was gathered now. Never raises: a failure is told to the owner."""
        ...

    @property
    def sent(self) -> int:
        """Messages taken so far."""
        ...

    @property
    def sent_bytes(self) -> int:
        """Their size."""
        ...

    def unsent(self) -> int:
        """Bytes taken and not yet passed to the kernel: gathered, or in the server's buffer. 0 once it closes."""
        ...

    def watch(self, owner: "PipeOwner") -> None:
        """Tell `owner` from now on; before accept, once."""
        ...

    def take_over_pings(self) -> None:
        """The owner sends the pings from now on, not the server."""
        ...

    def ping(self) -> None:
        """Send a ping (RFC 6455 §5.5.2); the pong is told to the owner. Nothing without `pings`."""
        ...


class PipeOwner(Protocol):
    """Whom a pipe tells what happens to it. None of it may block or raise."""

    def pipe_changed(self) -> None:
        """`Pipe.ready` has changed."""
        ...

    def pipe_failed(self, error: Exception) -> None:
        """What was gathered could not be written."""
        ...

    def pipe_stuck(self) -> None:
        """What was gathered has been on its way for longer than a write may take."""
        ...

    def peer_lives(self) -> None:
        """A pong has come."""
        ...

    def server_stops(self) -> bool:
        """The server wants to close the connection for its shutdown; True: the owner does it in its own time."""
        ...


class FrameServer(Protocol):
    """One connection of a server that takes frames as they are, written around its own state machine."""

    @property
    def writable(self) -> asyncio.Event:
        """Set while the server's buffer has space, and once the connection is lost."""
        ...

    @property
    def transport(self) -> asyncio.Transport:
        """Where frames are written."""
        ...

    @property
    def window_bits(self) -> int:
        """The window that compressed messages may use, as negotiated; 0: none."""
        ...

    def attach(self, client: "FrameClient") -> bool:
        """Tell `client` from now on.

        Returns:
            False, and nothing is told, where no frames can be written any more, or another client is attached.
        """
        ...

    def stop_keepalive(self) -> None:
        """Send no pings any more."""
        ...

    def ping(self) -> None:
        """Send a ping, if the connection is open; the pong is told to the client."""
        ...


class FrameClient(Protocol):
    """Whom a `FrameServer` tells what happens to its connection. None of it may block or raise."""

    def flush(self) -> None:
        """The server is about to write by itself: what was gathered goes first."""
        ...

    def paused(self) -> None:
        """The server's buffer is full."""
        ...

    def resumed(self) -> None:
        """The server's buffer has space again."""
        ...

    def ended(self) -> None:
        """No frames can be written any more."""
        ...

    def pong(self) -> None:
        """The client has answered a ping."""
        ...

    def stopping(self) -> bool:
        """The server stops; True where the client closes the connection in its own time."""
        ...


@runtime_checkable
class Greeter(Protocol):
    """What more an authenticator can do: have the first exchange with the client by itself.

    Attributes:
        knows: Whether the user is known already, and nothing will be received: the client only listens.
    """

    knows: bool

    async def greet(self, connection: Any) -> object:
        """The user, from the first messages, which it receives. Within `Limits.authentication_timeout`.

        Raises:
            AuthenticationError: With the close code of the refusal.
        """
        ...

    def welcome(self, connection: Any) -> None:
        """Messages to the client are taken now: what is said here comes first. Must not raise."""
        ...


@runtime_checkable
class Identifier(Protocol):
    """What more an authenticator can do: look for a token in the handshake."""

    async def identify(self, connection: HTTPConnection) -> object | None:
        """The user; `None` where the handshake holds no token.

        Raises:
            AuthenticationError: It holds one that is refused.
        """
        ...


class Authenticator(Protocol):
    """Turns a token into a user: what `connect(websocket, authenticate=...)` takes.

    `TokenAuth`, `JWTAuth` and `Tickets` are authenticators.
    """

    async def authenticate(self, token: str) -> object:
        """The user that the token speaks for: usually an `Identity`.

        Raises:
            AuthenticationError: With the status and the close code of the refusal.
        """
        ...
