"""To a listener in this process: messages are handed over one by one, and nothing comes back."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence

from fastapi_rooms.payload import Payload
from fastapi_rooms.ports import Gone


class InProcessTransport:
    """A `Transport` whose peer is a task that awaits `take`. It lives on one event loop.

    A write is outstanding until its message was taken, so that what comes meanwhile waits in the send queue, under
    its bounds; but for the one that somebody waits for.

    Attributes:
        catching_up: While set, messages are kept here instead: as many as the caller writes, and not more than a
            history has. `take` gives them first.
    """

    __slots__ = ("_awaited", "_ended", "_news", "_ready", "_taken", "catching_up", "direct", "pipe", "turn")

    def __init__(self) -> None:
        self.direct = None
        self.pipe = None
        self.turn = 0.0
        self.catching_up = False
        self._ready: deque[Payload] = deque()
        self._taken: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._awaited = False
        self._ended = False

    async def take(self) -> Payload | None:
        """The next message, waiting for it; `None` once there will be no more. Cancelling it loses nothing."""
        while not self._ready:
            if self._ended:
                return None
            self._news.clear()
            self._awaited = True
            try:
                await self._news.wait()
            finally:
                self._awaited = False
        payload = self._ready.popleft()
        if not self._ready:
            self._release()
        return payload

    def write(self, payload: Payload) -> Awaitable[None] | None:
        """Hand over one message; see `Transport.write`."""
        if self._ended:
            return None
        self._ready.append(payload)
        self._news.set()
        if self.catching_up or self._awaited:
            self._awaited = False
            return None
        self._taken = asyncio.get_running_loop().create_future()
        return self._taken

    def abandon(self) -> None:
        """Nobody will take anything any more: forget what is here, and what is written from now on."""
        self._ready.clear()
        self._end()

    async def receive(self) -> str | bytes | Gone:
        """A listener says nothing; see `Transport.receive`."""
        return Gone(1000)

    async def accept(self, *, subprotocol: str | None, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """There is no handshake; see `Transport.accept`."""

    def retire(self) -> None:
        """Nobody else holds it; see `Transport.retire`."""

    async def close(self, *, code: int, reason: str) -> None:
        """What was handed over can still be taken; see `Transport.close`."""
        self._end()

    def abort(self) -> bool:
        """As `close`; see `Transport.abort`."""
        self._end()
        return True

    def discard_unsent_after(self, delay: float | None, *, unanswered: bool = False) -> None:
        """No server holds anything; see `Transport.discard_unsent_after`."""

    def _end(self) -> None:
        self._ended = True
        self._news.set()
        self._release()

    def _release(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        self._taken = None
