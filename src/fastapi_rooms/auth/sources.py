"""Where a token may stand in a request: one small frozen dataclass per place.

Browser code cannot set headers on a WebSocket, which leaves it four ways: `Subprotocol`, a cookie, a ticket
in the query, or the first message (`connect(websocket, authenticate=auth)`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityModel
from starlette.requests import HTTPConnection

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.ports import SUBPROTOCOL_SCOPE_KEY


class TokenSource(Protocol):
    """A place where a token may stand. Anything with these three members will do."""

    @property
    def ambient(self) -> bool:
        """Whether browsers send it unasked, from any page: then the origin must be checked."""
        ...

    def read(self, connection: HTTPConnection) -> str | None:
        """The token, or `None` where there is none here. Must not raise on whatever a client sends."""
        ...

    def openapi(self) -> SecurityModel | None:
        """How OpenAPI describes it; `None` where it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """A header: `Authorization: Bearer <token>` by default.

    Attributes:
        name: The header's name.
        scheme: The word before the token, in any case (RFC 9110 §11.1). `None`: the whole value is the token.
    """

    name: str = "Authorization"
    scheme: str | None = "Bearer"

    @property
    def ambient(self) -> bool:
        """Never: a page has to set it, and CORS decides whether it may."""
        return False

    def read(self, connection: HTTPConnection) -> str | None:
        """The token; `None` where the header is missing, empty or of another scheme."""
        value = connection.headers.get(self.name, "").strip()
        if self.scheme is None:
            return value or None
        scheme, _, token = value.partition(" ")
        return token.strip() or None if scheme.lower() == self.scheme.lower() else None

    def openapi(self) -> SecurityModel:
        """HTTP bearer for the default header, an API key for any other."""
        if self.name.lower() == "authorization" and (self.scheme or "").lower() == "bearer":
            return HTTPBearer()
        return _api_key(APIKeyIn.header, self.name)


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter. It ends up in access logs, proxies' logs and histories: for short-lived tokens only.

    Attributes:
        name: The parameter's name.
    """

    name: str = "token"

    @property
    def ambient(self) -> bool:
        """Never: a page has to know the token to put it there."""
        return False

    def read(self, connection: HTTPConnection) -> str | None:
        """The parameter's last value; `None` where it is missing or empty."""
        return connection.query_params.get(self.name) or None

    def openapi(self) -> SecurityModel:
        """An API key in the query."""
        return _api_key(APIKeyIn.query, self.name)


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie whose value is the token.

    Attributes:
        name: The cookie's name.
    """

    name: str

    @property
    def ambient(self) -> bool:
        """Always: browsers attach cookies to WebSockets that any page opens."""
        return True

    def read(self, connection: HTTPConnection) -> str | None:
        """The cookie's value; `None` where it is missing or empty."""
        return connection.cookies.get(self.name) or None

    def openapi(self) -> SecurityModel:
        """An API key in a cookie."""
        return _api_key(APIKeyIn.cookie, self.name)


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """A value from the signed session of Starlette's `SessionMiddleware`, which `verify` gets.

    An integer is passed on as its decimal text; values of any other type count as missing.

    Attributes:
        key: The key in `request.session`.
        cookie: The session cookie's name, for OpenAPI only.
    """

    key: str = "user_id"
    cookie: str = "session"

    @property
    def ambient(self) -> bool:
        """Always: the session is a cookie."""
        return True

    def read(self, connection: HTTPConnection) -> str | None:
        """The session's value under `key`; `None` where it is missing or empty.

        Raises:
            ConfigurationError: `SessionMiddleware` is not installed in this application.
        """
        session = connection.scope.get("session")
        if session is None:
            raise ConfigurationError("SessionCookie needs app.add_middleware(SessionMiddleware, secret_key=...)")
        value = session.get(self.key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value or None if isinstance(value, str) else None

    def openapi(self) -> SecurityModel:
        """An API key in a cookie."""
        return _api_key(APIKeyIn.cookie, self.cookie)


@dataclass(frozen=True, slots=True)
class Subprotocol:
    """The entry after a marker in `Sec-WebSocket-Protocol`: `new WebSocket(url, ["access_token", token])`.

    Browsers give up on a WebSocket whose server chose none of the offered subprotocols, so accept echoes the
    marker, and never the token. Entries are HTTP tokens (RFC 9110 §5.6.2): JWTs and other base64url pass as
    they are.

    Attributes:
        marker: The entry that announces the token.
    """

    marker: str = "access_token"

    @property
    def ambient(self) -> bool:
        """Never: a page has to know the token to put it there."""
        return False

    def read(self, connection: HTTPConnection) -> str | None:
        """The entry after the marker; `None` on HTTP routes and where there is none.

        A marker that was offered is left in the ASGI scope, for whoever accepts.
        """
        offered: Sequence[str] = connection.scope.get("subprotocols") or ()
        if self.marker not in offered:
            return None
        connection.scope[SUBPROTOCOL_SCOPE_KEY] = self.marker
        position = offered.index(self.marker) + 1
        return offered[position] or None if position < len(offered) else None

    def openapi(self) -> None:
        """Nothing: OpenAPI has no WebSockets."""
        return


def _api_key(place: APIKeyIn, name: str) -> APIKey:
    return APIKey.model_validate({"in": place, "name": name})


DEFAULT_SOURCES: Final[tuple[TokenSource, ...]] = (Header(), Subprotocol())
"""The places that neither logs nor foreign pages reach. Queries and cookies are for you to declare."""
