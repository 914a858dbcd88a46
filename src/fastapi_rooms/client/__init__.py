"""A client of a hub, on asyncio: for bots, services, tests and the command line. Needs the extra `client`."""

from fastapi_rooms.client.client import RoomsClient
from fastapi_rooms.client.driver import TokenUnavailable
from fastapi_rooms.client.failures import (
    ClientClosed,
    ConnectionLost,
    FellBehind,
    HubRefused,
    NotJoined,
    Offline,
    Removed,
    RequestTimeout,
    RoomsClientError,
)
from fastapi_rooms.client.presence import ClientPresence
from fastapi_rooms.client.room import ClientRoom
from fastapi_rooms.client.values import Joined, Message, State
from fastapi_rooms.client.wire import CannotOpen, WireEnded

__all__ = [
    "CannotOpen",
    "ClientClosed",
    "ClientPresence",
    "ClientRoom",
    "ConnectionLost",
    "FellBehind",
    "HubRefused",
    "Joined",
    "Message",
    "NotJoined",
    "Offline",
    "Removed",
    "RequestTimeout",
    "RoomsClient",
    "RoomsClientError",
    "State",
    "TokenUnavailable",
    "WireEnded",
]
