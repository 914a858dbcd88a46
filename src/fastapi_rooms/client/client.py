"""`RoomsClient`: a connection to a hub that comes back by itself."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import Any, Literal, Self, get_args

from fastapi_rooms.client.address import Address
from fastapi_rooms.client.composing import as_json
from fastapi_rooms.client.conversation import Conversation
from fastapi_rooms.client.desk import Desk
from fastapi_rooms.client.driver import Driver, Token
from fastapi_rooms.client.failures import ClientClosed
from fastapi_rooms.client.listeners import Off
from fastapi_rooms.client.returning import Returning
from fastapi_rooms.client.room import ClientRoom
from fastapi_rooms.client.values import Message, State
from fastapi_rooms.client.wire import Opener
from fastapi_rooms.errors import ConfigurationError

logger = logging.getLogger("fastapi_rooms")

Transport = Literal["auto", "websocket", "sse"]


class RoomsClient:
    """A client of a hub: `async with RoomsClient("http://127.0.0.1:8000/live") as client: ...`.

    It connects in the background, and again when the connection ends, after a random time of up to `min_delay`,
    twice as much after each failure, up to `max_delay`; or after the time that the hub asks for. Rooms are joined
    again from where they were. It stops where the hub's close code says so; then everything raises `ClientClosed`.

    Use it, and its rooms, on the event loop on which it was entered. Leaving `async with` closes it.

    Args:
        url: Of the hub's router, such as `https://example.com/live`.
        token: What authenticates: a text; or a function, `async` or not, that is called for each connection, and
            again when 80 % of a JWT's life is over. `None` (default): nothing, or `headers`.
        transport: "auto" (default): WebSockets; an event stream with requests beside it where two in a row cannot
            be opened, or are ended by something on the way before the hub says anything. "websocket", "sse": only
            that.
        headers: Sent with the handshake, and with each request of an event stream.
        tls: For `https://`; `None`: the system's authorities are trusted.
        queue: Requests that wait for a connection at most; above that, `Offline` is raised.
        buffer: Messages that wait to be read at most, of each room, and of `messages`; above that, who reads gets
            `FellBehind`.
        connect_timeout: Seconds for the token, and all else until the hub says that it is connected.
        min_delay: Seconds: see above.
        max_delay: Seconds: see above.

    Raises:
        ConfigurationError: An option that cannot work.
        MissingExtra: The extra `client` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        transport: Transport = "auto",
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        queue: int = 100,
        buffer: int = 1000,
        connect_timeout: float = 10.0,
        min_delay: float = 0.5,
        max_delay: float = 20.0,
    ) -> None:
        if transport not in get_args(Transport):
            raise ConfigurationError(f"transport={transport!r} must be one of {', '.join(get_args(Transport))}")
        _check(queue=queue, buffer=buffer)
        _check(connect_timeout=connect_timeout, min_delay=min_delay, max_delay=max_delay)
        address = Address.of(url)
        given: dict[str, Any] = {"headers": headers or {}, "tls": tls}
        openers: dict[bool, Opener] = {}  # each needs a library that the other does not
        if transport != "sse":
            websocket = import_module("fastapi_rooms.client.websocket")
            openers[False] = websocket.WebSocketOpener(address.websocket, **given)
        if transport != "websocket":
            sse = import_module("fastapi_rooms.client.sse")
            openers[True] = sse.EventStreamOpener(address.sse, **given, timeout=connect_timeout, least=min_delay)
        self._conversation = Conversation(queue=queue, least=min_delay, most=max_delay, random=random.random)
        self._desk = Desk(self._conversation, buffer=buffer)
        returning = Returning(
            transport, least=min_delay, most=max_delay, random=random.random, one_token=isinstance(token, str)
        )
        self._driver = Driver(
            self._conversation,
            returning,
            openers.__getitem__,
            token=token,
            timeout=connect_timeout,
            audience=self._desk,
        )
        self._desk.pump = self._driver.pump
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None or self._desk.closed is not None:
            raise ConfigurationError("a client lives once: make another")
        self._task = asyncio.get_running_loop().create_task(self._live(), name="fastapi_rooms client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def state(self) -> State:
        """What it does now: "connecting", "connected", "waiting" (to connect again) or "closed" (for good)."""
        return self._desk.state.value

    @property
    def user(self) -> str | None:
        """Who the hub says that this is, once it is connected; `None`: nobody."""
        return self._desk.user

    @property
    def connection(self) -> str | None:
        """The id of the connection, or of the last; `None`: there was none yet."""
        return self._desk.connection

    @property
    def messages(self) -> AsyncIterator[Message]:
        """Messages of no room: for this user or connection alone, or for everyone. See `ClientRoom` for more."""
        return self._desk.messages

    def states(self) -> AsyncIterator[State]:
        """What `state` is now, and then what it becomes, up to "closed"; who is slow gets the latest."""
        return self._desk.state.values()

    async def connected(self) -> None:
        """Wait until it is connected.

        Raises:
            ClientClosed: It is closed, or the hub does not want it.
        """
        await self._desk.state.until(lambda: self.state == "connected")
        if self._desk.closed is not None:
            raise self._desk.closed

    def join(self, room: str, *, since: str | None = None) -> ClientRoom:
        """Be in a room from now on, as soon as there is a connection, and again after each reconnect.

        Args:
            room: Its name. While the client is in it, or wants to be, there is one handle, which is returned.
            since: The position from which on all is known: what was said after it comes first. `None`: none.

        Raises:
            ClientClosed: The client is closed.
            UnencodableMessage: The name is not valid Unicode.
        """
        return self._desk.join(room, since)

    async def send(self, command: str, data: object = None, *, timeout: float | None = 10.0) -> Any:
        """Ask the hub for something that belongs to no room; see `ClientRoom.send`."""
        return await self._desk.ask("send", command, as_json(data), None, timeout)

    def on(self, event: str, callback: Callable[[Message], object]) -> Off:
        """Call this with each message of an event that is of no room; see `ClientRoom.on`."""
        return self._desk.listeners.add(f"message {event}", callback)

    def on_state(self, callback: Callable[[State], object]) -> Off:
        """Call this each time that `state` is another; what is returned ends it. See `ClientRoom.on`."""
        return self._desk.listeners.add("state", callback)

    def on_error(self, callback: Callable[[Exception], object]) -> Off:
        """Call this with what goes wrong, and is tried again; what is returned ends it. See `ClientRoom.on`.

        `WireEnded`: a connection that ended. `CannotOpen`, `TimeoutError`: one that could not be made.
        `TokenUnavailable`: the token function failed. `HubRefused`: a room that cannot be joined just now, or what
        the hub says of its own accord. Without any callback they are logged as warnings.
        """
        return self._desk.listeners.add("error", callback)

    def on_dropped(self, callback: Callable[[int, int], object]) -> Off:
        """Call this with how many messages, and bytes, the hub has dropped for this client, which was too slow."""
        return self._desk.listeners.add("dropped", callback)

    async def close(self) -> None:
        """Say goodbye, in a second at most, and end it: requests fail, iterations end. Harmless twice.

        Cancelled, it closes without saying goodbye.
        """
        self._desk.finish(ClientClosed())
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        if task is asyncio.current_task():  # the token function closes it
            return
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise

    async def _live(self) -> None:
        try:
            await self._driver.run()
        except Exception:
            logger.exception("a client of a hub failed")
            self._desk.finish(ClientClosed("the client failed; the log says how", close_code=1011))
        finally:
            self._desk.finish(ClientClosed())  # the loop ends, perhaps


def _check(**options: float) -> None:
    for name, value in options.items():
        if not 0 < value < float("inf"):
            raise ConfigurationError(f"{name}={value!r} must be more than 0, and finite")
