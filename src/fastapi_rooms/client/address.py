"""Where a hub is: URLs from the one that its user knows. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from fastapi_rooms.errors import ConfigurationError

_SCHEMES = {"http": ("ws", "http"), "https": ("wss", "https"), "ws": ("ws", "http"), "wss": ("wss", "https")}


_WANTED = "a hub's URL is http:// or https://, a host, and the prefix of its router"


@dataclass(frozen=True, slots=True)
class Address:
    """The URLs of a hub.

    Attributes:
        websocket: Of its WebSocket.
        sse: Of its event stream.
    """

    websocket: str
    sse: str

    @classmethod
    def of(cls, url: str) -> "Address":
        """From that of the hub's router, such as `https://example.com/live`; a query stays.

        Raises:
            ConfigurationError: It is no such URL. It is not in the message: there may be a password in it.
        """
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - a wrong one raises
        except ValueError:
            raise ConfigurationError(_WANTED) from None
        if not parts.hostname or parts.scheme not in _SCHEMES:
            raise ConfigurationError(_WANTED)
        websocket, http = _SCHEMES[parts.scheme]
        path = parts.path.rstrip("/")
        return cls(
            websocket=urlunsplit((websocket, parts.netloc, f"{path}/websocket", parts.query, "")),
            sse=urlunsplit((http, parts.netloc, f"{path}/sse", parts.query, "")),
        )
