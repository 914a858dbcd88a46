"""`ClientPresence`: who is present in a room."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, Protocol, overload

from fastapi_rooms.client.composing import Raw, as_json
from fastapi_rooms.client.feed import Watched
from fastapi_rooms.client.listeners import Listeners, Off
from fastapi_rooms.client.membership import Membership
from fastapi_rooms.client.values import PresenceChange
from fastapi_rooms.presence import People, Present


class Teller(Protocol):
    """What presence asks of its client."""

    async def tell_presence(self, membership: Membership, metadata: Raw, timeout: float | None) -> None:
        """Tell the hub."""
        ...


class ClientPresence:
    """Who is present in a room, as the hub tells. Empty until it has; without a connection, what it told last.

    `async for users in room.presence` gives what `users` is now, and then each time that it changes; who is slow
    gets the latest.
    """

    def __init__(self, membership: Membership, teller: Teller) -> None:
        self._membership = membership
        self._teller = teller
        self._listeners = Listeners()
        self._watched: Watched[People] = Watched(membership.presence.users)

    @property
    def users(self) -> People:
        """Each user with their connections; empty where they are not `listed`. Never changed: replaced."""
        return self._membership.presence.users

    @property
    def count(self) -> int:
        """How many users there are, named or not."""
        return self._membership.presence.count

    @property
    def listed(self) -> bool:
        """Whether `users` names them; False where they are too many."""
        return self._membership.presence.listed

    @overload
    def on(self, what: Literal["change"], callback: Callable[[People], object]) -> Off: ...
    @overload
    def on(
        self, what: Literal["join", "leave", "update"], callback: Callable[[str, Sequence[Present]], object]
    ) -> Off: ...
    def on(self, what: str, callback: Callable[..., object]) -> Off:
        """Call this from now on; what is returned ends it.

        Args:
            what: "join", "leave" or "update": the callback gets the user, and their connections; of who has left,
                those before. It is not called for the first that is known. "change": it gets `users`, each time
                that it is told anew, after the others.
            callback: No coroutine function. One that raises is logged.

        Raises:
            ConfigurationError: It is a coroutine function.
        """
        return self._listeners.add(what, callback)

    async def update(self, metadata: object, *, timeout: float | None = 10.0) -> None:
        """Tell this of the client from now on, here, and after each join again. It replaces the last.

        Returns once the hub has it; at once where there is no connection, or when that breaks: it is told later.

        Args:
            metadata: A JSON object, or a model.
            timeout: Seconds; `None`: for as long as it takes.

        Raises:
            HubRefused: It is too large, or the room has no presence. It is not told again.
            RequestTimeout: No answer came in time. It is told again.
            NotJoined: The room was left.
            UnencodableMessage: It is not JSON-able.
        """
        await self._teller.tell_presence(self._membership, as_json(metadata), timeout)

    def __aiter__(self) -> AsyncIterator[People]:
        return self._watched.values()

    # For the client.

    def _told(self, changes: Sequence[PresenceChange]) -> None:
        """The hub has told."""
        for change in changes:
            self._listeners.call(change.kind, change.user, change.connections)
        self._listeners.call("change", self.users)
        self._watched.set(self.users)

    def _end(self) -> None:
        """Nothing is told any more."""
        self._watched.end()
