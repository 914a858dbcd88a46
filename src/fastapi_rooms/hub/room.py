"""`HubRoom`: a handle on one room of a hub."""

from collections.abc import Collection
from typing import Any, Protocol

from fastapi_rooms.fanout import Delivery, Exclude
from fastapi_rooms.hooks import UserT
from fastapi_rooms.room import Room, Rooms


class HubRooms(Rooms[UserT], Protocol[UserT]):
    """What a handle asks of its hub beside what any manager does."""

    async def broadcast(
        self,
        message: object,
        *,
        room: Any = ...,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
        event: str | None = None,
    ) -> Delivery:
        """Send a message to the members, by the name of an event."""
        ...


class HubRoom(Room[UserT]):
    """A light handle on one room of a hub; see `Room`."""

    __slots__ = ("_hub",)

    def __init__(self, hub: HubRooms[UserT], name: str) -> None:
        super().__init__(hub, name)
        self._hub = hub

    async def broadcast(
        self,
        message: object,
        *,
        exclude: Exclude = (),
        exclude_users: str | Collection[str] = (),
        key: str | None = None,
        idempotency_key: str | None = None,
        version: int | None = None,
        event: str | None = None,
    ) -> Delivery:
        """Send one message to the members; see `Hub.broadcast`."""
        return await self._hub.broadcast(
            message,
            room=self.name,
            exclude=exclude,
            exclude_users=exclude_users,
            key=key,
            idempotency_key=idempotency_key,
            version=version,
            event=event,
        )
