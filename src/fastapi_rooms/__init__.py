"""Live connections for FastAPI: managers, rooms, bounded send queues and authentication."""

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import (
    AuthenticationError,
    BrokerError,
    BrokerOverflow,
    BrokerUnavailable,
    CloseCode,
    ConfigurationError,
    ConnectionClosed,
    ConnectionRefused,
    Disconnect,
    DisconnectReason,
    HookTimeout,
    InvalidMessage,
    JoinRefused,
    MessageTooLarge,
    MissingExtra,
    NotConnected,
    RoomsError,
    UnencodableMessage,
    WrongEventLoop,
)
from fastapi_rooms.fanout import Delivery
from fastapi_rooms.manager import ConnectionManager
from fastapi_rooms.memberships import Joined
from fastapi_rooms.options import Heartbeat, Limits, Overflow, QueueLimits, RateLimit, RoomPolicy
from fastapi_rooms.publisher import Publisher, SyncPublisher
from fastapi_rooms.room import Count, Member, Members, Room
from fastapi_rooms.rooms import RoomManager
from fastapi_rooms.send_queue import Dropped
from fastapi_rooms.session import Session
from fastapi_rooms.statistics import ConnectionStatistics, Drops, ManagerStatistics

__all__ = [
    "AuthenticationError",
    "BrokerError",
    "BrokerOverflow",
    "BrokerUnavailable",
    "CloseCode",
    "ConfigurationError",
    "Connection",
    "ConnectionClosed",
    "ConnectionManager",
    "ConnectionRefused",
    "ConnectionStatistics",
    "Count",
    "Delivery",
    "Disconnect",
    "DisconnectReason",
    "Dropped",
    "Drops",
    "Heartbeat",
    "HookTimeout",
    "InvalidMessage",
    "JoinRefused",
    "Joined",
    "Limits",
    "ManagerStatistics",
    "Member",
    "Members",
    "MessageTooLarge",
    "MissingExtra",
    "NotConnected",
    "Overflow",
    "Publisher",
    "QueueLimits",
    "RateLimit",
    "Room",
    "RoomManager",
    "RoomPolicy",
    "RoomsError",
    "Session",
    "SyncPublisher",
    "UnencodableMessage",
    "WrongEventLoop",
]
