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
    MetadataTooLarge,
    MissingExtra,
    NoHistory,
    NoPresence,
    NotConnected,
    RoomsError,
    UnencodableMessage,
    WrongEventLoop,
)
from fastapi_rooms.fanout import Delivery
from fastapi_rooms.history_ports import Remembered
from fastapi_rooms.hub import Event, Hub, HubError, HubRoom
from fastapi_rooms.listening import Heard, Listener
from fastapi_rooms.manager import ConnectionManager
from fastapi_rooms.memberships import Joined
from fastapi_rooms.options import (
    Heartbeat,
    History,
    Limits,
    Overflow,
    Presence,
    QueueLimits,
    RateLimit,
    RoomPolicy,
)
from fastapi_rooms.position import Position
from fastapi_rooms.presence import PresenceDiff, PresenceView, Present
from fastapi_rooms.publisher import Publisher
from fastapi_rooms.room import Count, Member, Members, Room
from fastapi_rooms.rooms import RoomManager
from fastapi_rooms.send_queue import Dropped
from fastapi_rooms.session import Session
from fastapi_rooms.statistics import ConnectionStatistics, Drops, ManagerStatistics
from fastapi_rooms.sync_publisher import SyncPublisher

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
    "Event",
    "Heard",
    "Heartbeat",
    "History",
    "HookTimeout",
    "Hub",
    "HubError",
    "HubRoom",
    "InvalidMessage",
    "JoinRefused",
    "Joined",
    "Limits",
    "Listener",
    "ManagerStatistics",
    "Member",
    "Members",
    "MessageTooLarge",
    "MetadataTooLarge",
    "MissingExtra",
    "NoHistory",
    "NoPresence",
    "NotConnected",
    "Overflow",
    "Position",
    "Presence",
    "PresenceDiff",
    "PresenceView",
    "Present",
    "Publisher",
    "QueueLimits",
    "RateLimit",
    "Remembered",
    "Room",
    "RoomManager",
    "RoomPolicy",
    "RoomsError",
    "Session",
    "SyncPublisher",
    "UnencodableMessage",
    "WrongEventLoop",
]
