"""A broker from a URL, as it stands in settings: only the driver that the URL names is imported."""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol, cast

from fastapi_rooms.brokers.interface import Broker, BrokerTimings
from fastapi_rooms.brokers.memory import MemoryBroker
from fastapi_rooms.channels import Channels
from fastapi_rooms.errors import ConfigurationError

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}", re.IGNORECASE)
"""RFC 3986 §3.1, and no longer than a scheme is."""


class _MakeBroker(Protocol):
    def __call__(self, server: str, /, *, prefix: str, timings: BrokerTimings | None) -> Broker: ...


@dataclass(frozen=True, slots=True)
class _Engine:
    """Which class takes a URL, and the scheme by which its driver knows the engine."""

    module: str
    broker: str
    scheme: str

    def make(self, rest: str, *, prefix: str, timings: BrokerTimings | None) -> Broker:
        make = cast("_MakeBroker", getattr(import_module(f"fastapi_rooms.brokers.{self.module}"), self.broker))
        return make(f"{self.scheme}://{rest}", prefix=prefix, timings=timings)


_ENGINES: Final = {
    "redis": _Engine("redis", "RedisBroker", "redis"),
    "rediss": _Engine("redis", "RedisBroker", "rediss"),
    "unix": _Engine("redis", "RedisBroker", "unix"),
    "valkey": _Engine("redis", "RedisBroker", "redis"),
    "valkeys": _Engine("redis", "RedisBroker", "rediss"),
    "redis+cluster": _Engine("redis", "RedisBroker", "redis+cluster"),
    "rediss+cluster": _Engine("redis", "RedisBroker", "rediss+cluster"),
    "valkey+cluster": _Engine("redis", "RedisBroker", "redis+cluster"),
    "valkeys+cluster": _Engine("redis", "RedisBroker", "rediss+cluster"),
    "nats": _Engine("nats", "NatsBroker", "nats"),
    "tls": _Engine("nats", "NatsBroker", "tls"),
    "postgresql": _Engine("postgres", "PostgresBroker", "postgresql"),
    "postgres": _Engine("postgres", "PostgresBroker", "postgres"),
}


def broker_from_url(url: str, *, prefix: str = "rooms", timings: BrokerTimings | None = None) -> Broker:
    """Make the broker that a URL names. Connects to nothing yet.

    | scheme | broker |
    | --- | --- |
    | `redis://`, `rediss://` (TLS), `unix://`, `valkey://`, `valkeys://` (TLS) | `RedisBroker` |
    | `redis+cluster://`, `rediss+cluster://` (TLS); `valkey+cluster://`, `valkeys+cluster://` | `RedisBroker` |
    | `nats://`, `tls://` | `NatsBroker` |
    | `postgresql://`, `postgres://` | `PostgresBroker` |
    | `memory://` | `MemoryBroker`, a new one with each call |

    Args:
        url: As the engine's driver takes it. What is special in a user or a password is percent-encoded.
        prefix: See `Broker`.
        timings: See `BrokerTimings`.

    Raises:
        MissingExtra: The engine's driver is not installed.
        ConfigurationError: The scheme is unknown, or the rest cannot work. The error holds no password.
    """
    Channels(prefix)
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ConfigurationError(f"a broker's URL begins with one of {_known()}")
    scheme = scheme.lower()
    if scheme == "memory":
        return _memory(rest, prefix=prefix, timings=timings)
    engine = _ENGINES.get(scheme)
    if engine is None:
        raise ConfigurationError(f"no broker for {scheme}://: a broker's URL begins with one of {_known()}")
    return engine.make(rest, prefix=prefix, timings=timings)


def _memory(rest: str, *, prefix: str, timings: BrokerTimings | None) -> Broker:
    if rest:
        raise ConfigurationError("memory:// takes nothing behind it: a MemoryBroker is in this process")
    return MemoryBroker(prefix=prefix, timings=timings)


def _known() -> str:
    return ", ".join(f"{scheme}://" for scheme in (*_ENGINES, "memory"))
