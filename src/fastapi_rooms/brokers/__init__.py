"""What carries messages between processes: one interface, and an implementation for each engine.

`RedisBroker`, `NatsBroker` and `PostgresBroker` are imported from their modules, which need their extras; or made
by `broker_from_url`.
"""

from fastapi_rooms.brokers.interface import Broker, BrokerConnection, BrokerTimings
from fastapi_rooms.brokers.memory import MemoryBroker
from fastapi_rooms.brokers.url import broker_from_url

__all__ = ["Broker", "BrokerConnection", "BrokerTimings", "MemoryBroker", "broker_from_url"]
