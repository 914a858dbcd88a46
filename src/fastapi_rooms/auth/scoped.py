"""Scopes: what a user may do, and the dependency that insists on it."""

from collections.abc import Iterable
from inspect import Parameter, Signature
from typing import Annotated, Any, Generic, Protocol, TypeVar

from fastapi import Security
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from fastapi_rooms.errors import ConfigurationError, InsufficientScope

UserT = TypeVar("UserT")
UserT_co = TypeVar("UserT_co", covariant=True)


class _Auth(Protocol[UserT_co]):
    """The dependency that a `ScopedAuth` builds on: `TokenAuth` and what derives from it."""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> UserT_co: ...

    async def identify(self, connection: HTTPConnection) -> UserT_co | None: ...

    async def authenticate(self, token: str) -> UserT_co: ...


class ScopedAuth(Generic[UserT]):
    """The same authentication with scopes required: what `auth.requires("chat:write")` returns.

    It is a FastAPI dependency and an authenticator. As a dependency it depends on
    `Security(auth, scopes=[...])`, so it shows in OpenAPI, and overriding `auth` in
    `app.dependency_overrides` overrides it too.

    Attributes:
        scopes: The scopes required, in the order given.
    """

    def __init__(self, auth: _Auth[UserT], scopes: tuple[str, ...]) -> None:
        self._auth = auth
        self.scopes = check_scopes(scopes)
        if not self.scopes:
            raise ConfigurationError("requires() needs at least one scope")
        depends = Annotated[Any, Security(auth, scopes=list(self.scopes))]
        self.__signature__ = Signature([Parameter("user", Parameter.KEYWORD_ONLY, annotation=depends)])

    async def __call__(self, user: UserT) -> UserT:
        """The FastAPI dependency; FastAPI has run `auth` with the scopes and passes its user."""
        return user

    async def identify(self, connection: HTTPConnection) -> UserT | None:
        """The user of a request, who has the scopes; `None` where it holds no token.

        Raises:
            AuthenticationError: As `auth.identify`; `InsufficientScope` where a scope is missing.
        """
        user = await self._auth.identify(connection)
        if user is not None:
            check_user_scopes(user, self.scopes)
        return user

    async def authenticate(self, token: str) -> UserT:
        """The user that the token speaks for, who has the scopes.

        Raises:
            AuthenticationError: As `auth.authenticate`; `InsufficientScope` where a scope is missing.
        """
        user = await self._auth.authenticate(token)
        check_user_scopes(user, self.scopes)
        return user

    def requires(self, *scopes: str) -> "ScopedAuth[UserT]":
        """These scopes, and the ones given besides."""
        return ScopedAuth(self._auth, (*self.scopes, *scopes))


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Scope names, each once, in the order given.

    Raises:
        ConfigurationError: One is empty or holds white space (RFC 6749 §3.3), or a bare `str` was given.
    """
    if isinstance(scopes, str):
        raise ConfigurationError(f"scopes={scopes!r} must be a list of names")
    names = tuple(dict.fromkeys(scopes))
    for name in names:
        if not name or name.split() != [name]:
            raise ConfigurationError(f"{name!r} is not the name of one scope")
    return names


def check_user_scopes(user: object, required: Iterable[str]) -> None:
    """Compare what is required with the user's `scopes`: a collection, or names with spaces between.

    Raises:
        InsufficientScope: One is missing; a user without the attribute has none.
    """
    held = getattr(user, "scopes", None) or ()
    missing = sorted(set(required).difference(held.split() if isinstance(held, str) else held))
    if missing:
        raise InsufficientScope(f"missing scope: {' '.join(missing)}")
