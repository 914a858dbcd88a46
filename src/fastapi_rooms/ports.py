"""What a transport, a set of hooks and an authenticator must be, for the layers above and beside us."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fastapi_rooms.payload import Payload

SUBPROTOCOL_SCOPE_KEY: Final = "fastapi_rooms.subprotocol"
"""Where a dependency leaves, in the ASGI scope, the subprotocol that accept must echo."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What `Transport.receive` returns once the peer, or the server, has ended the connection."""

    code: int
    text: str = ""


DirectSend = Callable[[MutableMapping[str, Any]], Coroutine[Any, Any, None]]
"""A server's `send` that may be stepped by hand (see `fastapi_rooms.transports.stepping`)."""


class Transport(Protocol):
    """How bytes reach one client. Adapters live in `fastapi_rooms.transports`."""

    @property
    def direct(self) -> DirectSend | None:
        """What `write` steps with `Payload.event`; broadcasts do that themselves. `None`: use `write`."""
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

    def discard_unsent_after(self, delay: float | None) -> None:
        """After `delay` seconds abort, if the server still holds bytes that the peer has not taken."""
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
