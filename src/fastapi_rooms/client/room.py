"""`ClientRoom`: a handle on one room that a client is in, or wants to be."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from fastapi_rooms.client.composing import Raw, as_json
from fastapi_rooms.client.failures import NotJoined, RoomsClientError
from fastapi_rooms.client.feed import Feed, Watched
from fastapi_rooms.client.listeners import Listeners, Off
from fastapi_rooms.client.membership import Membership, Phase
from fastapi_rooms.client.presence import ClientPresence, Teller
from fastapi_rooms.client.values import Joined, Message


class Desk(Teller, Protocol):
    """What a room asks of its client."""

    async def ask(
        self, kind: str, name: str, data: Raw, membership: Membership | None, timeout: float | None
    ) -> Any:
        """Send a request, and wait for its answer."""
        ...

    async def leave(self, membership: Membership) -> None:
        """Be there no more."""
        ...


class ClientRoom:
    """One room, from `RoomsClient.join` until it is left, over any number of connections.

    `async for message in room` gives its messages in order, beginning with the first after the join: each of
    them once, and none is missing unless a `Joined` says so (`recovered` is False, or `None` with `again`).
    They wait until they are read, `buffer` of them; then `FellBehind` is raised after those, and what comes
    next begins anew. All who iterate share them: each message goes to one. The iteration ends when the room is
    left, or the client closed by its user. When the hub ends it, it raises: `HubRefused`, `Removed` or
    `ClientClosed`.

    Attributes:
        name: The room's name.
        presence: Who is present.
        position: Up to where messages were delivered here: to the callbacks, and to what waits to be read. `None`:
            it is not known, or the room has no history.
    """

    def __init__(self, membership: Membership, desk: Desk, *, buffer: int) -> None:
        self.name = membership.name
        self.presence = ClientPresence(membership, desk)
        self.position = membership.position
        self._membership = membership
        self._desk = desk
        self._feed = Feed(buffer)
        self._listeners = Listeners()
        self._joins: Watched[Joined | None] = Watched(None)
        self._error: RoomsClientError | None = None

    def __repr__(self) -> str:
        return f"<ClientRoom {self.name!r}, {self._membership.phase.value}>"

    @property
    def over(self) -> bool:
        """Whether it is left, refused or ended: for good. Messages that came before may still wait to be read."""
        return self._membership.phase is Phase.OVER

    async def joined(self) -> Joined:
        """What the hub said of the join; waits for it, and while there is no connection for the next.

        Raises:
            HubRefused: The room does not take this client.
            Removed: The hub has ended the membership.
            NotJoined: The room was left.
            ClientClosed: The client is closed.
        """
        await self._joins.until(lambda: self._membership.phase is Phase.IN)
        if self._membership.phase is Phase.IN and self._joins.value is not None:
            return self._joins.value
        raise NotJoined if self._error is None else self._error

    async def send(self, command: str, data: object = None, *, timeout: float | None = 10.0) -> Any:
        """Ask the hub for something in this room; what its handler returns.

        Without a connection the request waits for one, in order, and is not sent if none comes in time.

        Args:
            command: The name of the handler.
            data: What it takes: a model, or anything that JSON takes.
            timeout: Seconds for all of it; `None`: for as long as it takes.

        Raises:
            HubRefused: The answer is an error.
            ConnectionLost: It was sent, and the connection broke before the answer. It is not sent again.
            RequestTimeout: No answer came in time.
            Offline: There is no connection, and enough waits for one.
            NotJoined: The room was left.
            Removed: The hub has ended the membership before it was sent.
            ClientClosed: The client is closed.
            UnencodableMessage: The data is not JSON-able.
        """
        return await self._desk.ask("send", command, as_json(data), self._membership, timeout)

    async def publish(self, event: str, data: object = None, *, timeout: float | None = 10.0) -> None:
        """Tell everyone in the room, where the hub lets members do that. See `send` for all that it raises.

        Args:
            event: What it is.
            data: A model, or anything that JSON takes.
            timeout: See `send`.
        """
        await self._desk.ask("publish", event, as_json(data), self._membership, timeout)

    async def leave(self) -> None:
        """Be there no more. Returns once the hub knows: it does too when the connection breaks. Harmless twice."""
        await self._desk.leave(self._membership)

    def on(self, event: str, callback: Callable[[Message], object]) -> Off:
        """Call this with each message of an event, "*": of all, as it comes; what is returned ends it.

        Args:
            event: The event's name.
            callback: No coroutine function. One that raises is logged, and harms no other.

        Raises:
            ConfigurationError: It is a coroutine function.
        """
        return self._listeners.add(f"message {event}", callback)

    def on_joined(self, callback: Callable[[Joined], object]) -> Off:
        """Call this each time that the room is joined, after a reconnect too, before the messages that follow."""
        return self._listeners.add("joined", callback)

    def on_left(self, callback: Callable[[RoomsClientError | None], object]) -> Off:
        """Call this when it is over, with the error; `None`: it was left, or the client closed."""
        return self._listeners.add("left", callback)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        return await anext(self._feed)

    # For the client.

    def _enter(self, joined: Joined, *, waiting: bool) -> None:
        """The room is joined."""
        if not waiting:  # who keeps the position must not keep one of the future
            self.position = joined.position
        self._joins.set(joined)
        self._listeners.call("joined", joined)

    def _hear(self, message: Message) -> None:
        """A message came."""
        self.position = message.position or self.position
        self._feed.put(message)
        self._listeners.call(f"message {message.event}", message)
        self._listeners.call("message *", message)

    def _end(self, error: RoomsClientError | None, *, closed: RoomsClientError | None) -> None:
        """It is over.

        Args:
            error: Why; `None`: its user wants it so.
            closed: Where the client is closed: what `joined` raises.
        """
        self._error = error or closed
        self._joins.end()
        self.presence._end()
        self._feed.end(error)
        self._listeners.call("left", error)
