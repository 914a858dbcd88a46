"""The address of a NATS server: looked over before it is used, and shown without who we are there."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from fastapi_rooms.brokers.nats_transport import Login
from fastapi_rooms.errors import ConfigurationError

_PORT: Final = 4222

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")

_URL: Final = "write nats://user:password@host:port, user and password percent-encoded"


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and who we are there."""

    host: str
    port: int
    secure: bool
    login: Login

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parsed(url: str, *, secure: bool) -> Server:
    """Where a URL points; what is wrong with one is said without quoting it."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"NatsBroker: a URL without a valid host and port; {_URL}") from None
    if parts.scheme not in ("nats", "tls"):
        raise ConfigurationError(f"NatsBroker: a URL that begins neither with nats:// nor with tls://; {_URL}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or not _is_host(parts):
        raise ConfigurationError(f"NatsBroker: a URL that is not just a server; {_URL}")
    return Server(
        host=parts.hostname or "",
        port=_PORT if port is None else port,
        secure=secure or parts.scheme == "tls",
        login=Login(
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        ),
    )


def _is_host(parts: SplitResult) -> bool:
    return _HOST.fullmatch(parts.hostname or "") is not None
