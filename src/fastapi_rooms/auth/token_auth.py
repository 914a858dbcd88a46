"""The authentication dependency: a token from the request becomes a user, or a refusal before accept."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from typing import Any, Final, Generic, Literal, cast, overload

from fastapi.openapi.models import HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from fastapi_rooms.auth.origin import OriginPolicy
from fastapi_rooms.auth.refusal import BEARER, Reject, check_reject, refuse
from fastapi_rooms.auth.scoped import ScopedAuth, UserT, check_scopes, check_user_scopes
from fastapi_rooms.auth.sources import DEFAULT_SOURCES, TokenSource
from fastapi_rooms.errors import (
    AuthenticationError,
    ConfigurationError,
    ExpiredToken,
    InvalidToken,
    MissingToken,
)
from fastapi_rooms.identity import expires_at_of

USERS_SCOPE_KEY: Final = "fastapi_rooms.users"
"""Where the users of a request are kept, by the dependency that found them."""

_SAME_HOST: Final = OriginPolicy()


class TokenAuth(SecurityBase, Generic[UserT]):
    """One dependency that authenticates HTTP routes and WebSocket routes alike.

    `Annotated[Identity, Depends(auth)]`, or `Security(auth, scopes=["chat:write"])`, or
    `Depends(auth.requires("chat:write"))`. A WebSocket is refused before accept, so nothing is registered.
    The token is read and verified once per request, however many dependencies ask, and it is never logged.

    It is also an `Authenticator`: `manager.connect(websocket, authenticate=auth)` takes the token from the
    first message.

    Attributes:
        sources: Where the token may stand; the first that holds one decides.
        scopes: Scopes that every user of this dependency needs.
        model: The security scheme in OpenAPI: of the first source that OpenAPI can describe.
        scheme_name: The scheme's name in OpenAPI.
    """

    @overload
    def __init__(
        self,
        verify: Callable[[str], Awaitable[UserT | None]],
        *,
        sources: Sequence[TokenSource] = ...,
        scopes: Iterable[str] = ...,
        reject: Reject = ...,
        origin: OriginPolicy | Literal["auto"] | None = ...,
        scheme_name: str | None = ...,
        description: str | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self,
        verify: Callable[[str], UserT | None],
        *,
        sources: Sequence[TokenSource] = ...,
        scopes: Iterable[str] = ...,
        reject: Reject = ...,
        origin: OriginPolicy | Literal["auto"] | None = ...,
        scheme_name: str | None = ...,
        description: str | None = ...,
    ) -> None: ...

    def __init__(
        self,
        verify: Callable[[str], UserT | Awaitable[UserT | None] | None],
        *,
        sources: Sequence[TokenSource] = DEFAULT_SOURCES,
        scopes: Iterable[str] = (),
        reject: Reject = "http",
        origin: OriginPolicy | Literal["auto"] | None = "auto",
        scheme_name: str | None = None,
        description: str | None = None,
    ) -> None:
        """Set the dependency up.

        Args:
            verify: The user that a token speaks for: an `Identity`, or any object of yours but `None`, which
                means an invalid token. May be `async`. A plain function runs on the event loop: it must be
                cheap, and must not touch a disk or a network. It may raise any `AuthenticationError`; other
                exceptions are bugs and pass through. Compare secrets with `secrets.compare_digest`.
            sources: Where the token may stand, in order. Default: the `Authorization` header and
                `Sec-WebSocket-Protocol`. A token in a URL ends up in access logs, and a cookie is sent by
                foreign pages too, so `Query` and `Cookie` are yours to declare.
            scopes: Scopes that every user needs: compared with the user's attribute `scopes`.
            reject: How a WebSocket is refused. "http" (default): a real 401 or 403 instead of the handshake
                (a bare 403 where the server cannot). "close": accept and close at once with the error's
                code (4500, 4001, 4507), for browser code, which cannot see that status.
            origin: Which pages may connect; checked before the token is looked at. "auto" (default): the same
                host, wherever the token came from a cookie. `None`: not checked.
            scheme_name: The name in OpenAPI; default: the class's. Two schemes need two names.
            description: Text for OpenAPI.

        Raises:
            ConfigurationError: An option cannot work.
        """
        if not sources:
            raise ConfigurationError("sources must name at least one place for the token")
        self._verify = verify
        self._reject: Reject = check_reject(reject)
        self._origin = origin
        self._challenge = _challenge(sources)
        self.sources = tuple(sources)
        self.scopes = check_scopes(scopes)
        self.model = self._security_model(description)
        self.scheme_name = scheme_name or type(self).__name__

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> UserT:
        """The FastAPI dependency.

        Raises:
            HTTPException: Refused, with the status of the `AuthenticationError`.
            WebSocketException: Refused by a close code; see `reject`.
        """
        refusal: AuthenticationError
        try:
            user = await self._user_of(connection)
            check_user_scopes(user, security_scopes.scopes)
        except AuthenticationError as error:
            refusal = error
        else:
            return user
        # Outside of `except`, so that what FastAPI may log has no chain behind it.
        return await refuse(connection, refusal, reject=self._reject, challenge=self._challenge)

    async def identify(self, connection: HTTPConnection) -> UserT | None:
        """The user of a request or a WebSocket, `None` where none of the sources holds a token.

        For code that is no dependency, and has other ways to get a token: a hub's first frame.

        Raises:
            AuthenticationError: There is a token, and it is refused; or the page's origin is.
        """
        try:
            return await self._user_of(connection)
        except MissingToken:
            return None

    async def authenticate(self, token: str) -> UserT:
        """The user that the token speaks for.

        Raises:
            MissingToken: The token is empty.
            InvalidToken: `verify` returned `None`.
            ExpiredToken: The user's `expires_at` has passed.
            InsufficientScope: The user lacks one of `scopes`.
            AuthenticationError: Whatever else `verify` raises.
        """
        if not token:
            raise MissingToken("no token was given")
        result = self._verify(token)
        user = cast("UserT | None", await result if isawaitable(result) else result)
        if user is None:
            raise InvalidToken("the token is not valid")
        expires_at = expires_at_of(user)
        if expires_at is not None and expires_at <= time.time():
            raise ExpiredToken("the token has expired")
        check_user_scopes(user, self.scopes)
        return user

    def requires(self, *scopes: str) -> ScopedAuth[UserT]:
        """A dependency, and authenticator, that is this one with these scopes required.

        Raises:
            ConfigurationError: No scope is given, or one is not a name.
        """
        return ScopedAuth(self, scopes)

    async def _user_of(self, connection: HTTPConnection) -> UserT:
        # FastAPI's own cache goes by scopes too: a single-use ticket must survive a second dependency.
        users: dict[Any, UserT] = connection.scope.setdefault(USERS_SCOPE_KEY, {})
        if self not in users:
            users[self] = await self.authenticate(self._token_of(connection))
        return users[self]

    def _token_of(self, connection: HTTPConnection) -> str:
        # Every source is read before anything is refused: a refusal after accept must echo the marker, too.
        tokens = [(source, source.read(connection)) for source in self.sources]
        if isinstance(self._origin, OriginPolicy):
            self._origin.check(connection)
        for source, token in tokens:
            if token is not None:
                if source.ambient and self._origin == "auto":
                    _SAME_HOST.check(connection)
                return token
        raise MissingToken("no token was given")

    def _security_model(self, description: str | None) -> SecurityModel:
        models = (source.openapi() for source in self.sources)
        model = next((model for model in models if model is not None), HTTPBearer())
        return model.model_copy(update={"description": description})


def _challenge(sources: Sequence[TokenSource]) -> str:
    # A 401 must name a scheme (RFC 9110 §15.5.2); cookies and queries have none, so we name FastAPI's.
    models = [source.openapi() for source in sources]
    return BEARER if any(isinstance(model, HTTPBearer) for model in models) or not any(models) else "APIKey"
