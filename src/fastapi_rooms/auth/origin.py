"""Which pages may connect: the check that browsers leave to the server for WebSockets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection

from fastapi_rooms.auth.refusal import Reject, check_reject, refuse
from fastapi_rooms.errors import ConfigurationError, OriginRefused

_HOST: Final = r"\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_.])?"
_ORIGIN: Final = re.compile(rf"([a-z][a-z0-9+.-]{{0,31}})://(\*\.)?({_HOST})(?::([0-9]{{1,5}}))?")
_AUTHORITY: Final = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PLAIN_SCHEMES: Final = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class _Origin:
    scheme: str
    host: str
    port: int | None
    wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> "_Origin | None":
        """Scheme, host and port of `scheme://host[:port]`, without anything around them (RFC 6454 §6.2)."""
        match = _ORIGIN.fullmatch(text.lower())
        if match is None:
            return None
        scheme = _PLAIN_SCHEMES.get(match[1], match[1])
        port = int(match[4]) if match[4] else _DEFAULT_PORTS.get(scheme)
        return cls(scheme=scheme, host=match[3], port=port, wildcard=match[2] is not None)

    def allows(self, origin: "_Origin") -> bool:
        """Whether this entry of the list covers what a browser sent."""
        if (self.scheme, self.port) != (origin.scheme, origin.port) or origin.wildcard:
            return False
        return origin.host.endswith("." + self.host) if self.wildcard else origin.host == self.host


class OriginPolicy:
    """Which pages may connect, by the `Origin` header that browsers send with every WebSocket handshake.

    Browsers do not apply CORS to WebSockets: any page may open one to any server, cookies attached. Use the
    policy alone, `dependencies=[Depends(OriginPolicy())]`, or inside `TokenAuth(...,
    origin=OriginPolicy(...))`.

    An origin is scheme, host and port, compared as a whole; a missing port is the scheme's own, `ws` and
    `wss` count as `http` and `https`. The origin `null` (sandboxed frames, files) is always refused, and so
    are a malformed origin and two `Origin` headers.

    Attributes:
        allow: The origins that may connect, and no others: `"https://app.example"`, or
            `"https://*.example.com"` for every host below `example.com`, not for that one itself. `None`
            (default): pages of the same host and port as the `Host` header. The scheme is not compared there,
            since a proxy that ends TLS changes it; keep foreign `Host` headers out with
            `TrustedHostMiddleware`.
        require: Refuse clients without an `Origin` header too. Off by default: programs that are not browsers
            send none, and a page cannot leave it out.
        reject: How the dependency refuses a WebSocket; see `TokenAuth`.

    Raises:
        ConfigurationError: An entry of `allow` is not an origin, or there is none.
    """

    def __init__(
        self, *, allow: Sequence[str] | None = None, require: bool = False, reject: Reject = "http"
    ) -> None:
        self.allow: tuple[str, ...] | None = None if allow is None else _listed(allow)
        self.require = require
        self.reject: Reject = check_reject(reject)
        self._allowed = None if self.allow is None else tuple(_entry(text) for text in self.allow)

    async def __call__(self, connection: HTTPConnection) -> None:
        """The FastAPI dependency: refuses the request, or the WebSocket before accept, with 403 (4507)."""
        refusal: OriginRefused | None = None
        try:
            self.check(connection)
        except OriginRefused as error:
            refusal = error
        if refusal is not None:
            await refuse(connection, refusal, reject=self.reject)

    def check(self, connection: HTTPConnection) -> None:
        """Check the request's `Origin` header.

        Raises:
            OriginRefused: Its page may not connect.
        """
        sent = connection.headers.getlist("origin")
        if not sent:
            if self.require:
                raise OriginRefused("an Origin header is required")
            return
        origin = _Origin.parse(sent[0]) if len(sent) == 1 else None
        if origin is None or not self._covers(origin, connection):
            raise OriginRefused("pages of this origin may not connect")

    def _covers(self, origin: _Origin, connection: HTTPConnection) -> bool:
        if self._allowed is not None:
            return any(entry.allows(origin) for entry in self._allowed)
        return not origin.wildcard and _same_host(origin, connection.headers.get("host", ""))


def _same_host(origin: _Origin, host: str) -> bool:
    match = _AUTHORITY.fullmatch(host.lower())
    if match is None:
        return False
    port = int(match[2]) if match[2] else _DEFAULT_PORTS.get(origin.scheme)
    return (origin.host, origin.port) == (match[1], port)


def _listed(allow: Sequence[str]) -> tuple[str, ...]:
    if isinstance(allow, str) or not allow:
        raise ConfigurationError("OriginPolicy(allow=[...]) must list at least one origin; None is the same host")
    return tuple(allow)


def _entry(text: str) -> _Origin:
    origin = _Origin.parse(text)
    if origin is None:
        raise ConfigurationError(
            f"OriginPolicy(allow=[{text!r}]) must be scheme://host or scheme://host:port, without a path; "
            "'*.' may stand before the host"
        )
    return origin
