"""What happens to one connection, step by step, and what its client has of it in the end."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

from fastapi_rooms import Connection, ConnectionClosed, ConnectionManager, QueueLimits

from .wire import Received, Wire, serve

BORDERS = (0, 1, 2, 125, 126, 127, 255, 256, 257, 1000, 4096, 65535, 65536, 70000)
_ALL_TURNS = 30
_END = 30.0


class Way(Enum):
    """How a message is sent."""

    BROADCAST = auto()
    SEND = auto()
    SEND_NOWAIT = auto()


class Event(Enum):
    """What else happens."""

    STALL = auto()
    RESUME = auto()
    PING = auto()
    CLIENT_CLOSES = auto()
    SERVER_CLOSES = auto()


@dataclass(frozen=True)
class Data:
    """What a message holds: told by a few words, so that Hypothesis can show it."""

    size: int
    seed: int
    kind: str

    @property
    def value(self) -> str | bytes:
        source = random.Random(self.seed)
        match self.kind:
            case "noise":
                return source.randbytes(self.size)
            case "pattern":
                return (source.randbytes(7) * (self.size // 7 + 1))[: self.size]
            case "json":
                return (f'{{"id":{self.seed},"text":"hello"}},' * (self.size // 20 + 1))[: self.size]
            case _:
                return ("é漢😀x" * (self.size // 10 + 1)).encode()[: self.size].decode(errors="ignore")


@dataclass(frozen=True)
class Message:
    """A message on its way to the client."""

    way: Way
    data: Data


@dataclass(frozen=True)
class Says:
    """The client sends a message, and the endpoint sends it back; one that is too long closes the connection."""

    data: Data


@dataclass(frozen=True)
class Turns:
    """The loop turns so many times."""

    number: int


Step = Message | Says | Turns | Event


@dataclass(frozen=True)
class Outcome:
    """What the client has.

    Attributes:
        received: Messages, close code, pongs.
        listener: The same, of another client, who gets the broadcasts alone and nothing else happens to.
        exact: Whether that was bound to be so: it is not where a client leaves that does not read.
        writes: Writes to the transport.
    """

    received: Received
    listener: Received
    exact: bool
    writes: int


data = st.builds(
    Data,
    st.one_of(st.sampled_from(BORDERS), st.integers(0, 2000)),
    st.integers(0, 9),
    st.sampled_from(("noise", "pattern", "json", "words")),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Message, st.sampled_from(Way), data),
    st.builds(Message, st.sampled_from(Way), data),
    st.builds(Turns, st.integers(1, 6)),
    st.builds(Says, data),
    st.sampled_from((Event.STALL, Event.RESUME, Event.PING)),
)
stories = st.lists(steps, max_size=30)
endings = st.sampled_from((Event.CLIENT_CLOSES, Event.SERVER_CLOSES))


class Telling:
    """One story on one protocol."""

    def __init__(self, protocol: type[WebSocketsSansIOProtocol], *, window_bits: int | None) -> None:
        self._manager = ConnectionManager(
            queue=QueueLimits(messages=None, bytes=None, send_timeout=None, close_timeout=_END)
        )
        self._connection: Connection | None = None
        self._running = 0
        self._over = asyncio.Event()
        self._sends: list[asyncio.Task[None]] = []
        self._wire: Wire = serve(self._app, protocol, window_bits=window_bits)
        self._listener: Wire = serve(self._app, protocol, window_bits=None)

    async def tell(self, story: Sequence[Step], ending: Event, afterwards: Sequence[Step]) -> Outcome:
        """Go through all of it, and see it to its end."""
        await self._turn(_ALL_TURNS)
        for step in story:
            await self._take(step)
        exact = not (self._wire.stalled and ending is Event.CLIENT_CLOSES)
        await self._take(ending)
        for step in afterwards:
            await self._take(step)
        self._wire.resume()
        async with asyncio.timeout(_END):
            await asyncio.gather(*self._sends)
            await self._manager.drain(timeout=0.0)
            await self._over.wait()
        await self._turn(_ALL_TURNS)
        return Outcome(self._wire.received, self._listener.received, exact, self._wire.writes)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._running += 1
        try:
            async with self._manager.connect(WebSocket(scope, receive, send)) as connection:
                self._connection = self._connection or connection  # the first to come
                async for message in connection:
                    await connection.send(message)
        finally:
            self._running -= 1
            if not self._running:
                self._over.set()

    async def _take(self, step: Step) -> None:
        match step:
            case Message(Way.BROADCAST, data):
                await self._manager.broadcast(data.value)
            case Message(Way.SEND_NOWAIT, data):
                self._now(data.value)
            case Message(Way.SEND, data):
                self._sends.append(asyncio.create_task(self._send(data.value)))
            case Says(data):
                self._say(data.value)
            case Turns(number):
                await self._turn(number)
            case Event():
                await self._happen(step)

    async def _happen(self, event: Event) -> None:
        wire, client = self._wire, self._wire.client
        match event:
            case Event.STALL:
                wire.stalled = True
            case Event.RESUME:
                wire.resume()
            case Event.PING if client.state is OPEN:
                client.send_ping(b"?")
            case Event.CLIENT_CLOSES if client.state is OPEN:
                client.send_close(3000)
            case Event.SERVER_CLOSES:
                assert self._connection is not None
                self._sends.append(asyncio.create_task(self._connection.close(4000)))
        wire.flush_client()

    def _say(self, data: str | bytes) -> None:
        client = self._wire.client
        if client.state is OPEN:
            if isinstance(data, str):
                client.send_text(data.encode())
            else:
                client.send_binary(data)
            self._wire.flush_client()

    def _now(self, data: str | bytes) -> None:
        assert self._connection is not None
        try:
            self._connection.send_nowait(data)
        except ConnectionClosed:
            return

    async def _send(self, data: str | bytes) -> None:
        assert self._connection is not None
        try:
            await self._connection.send(data)
        except ConnectionClosed:
            return

    async def _turn(self, number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)
