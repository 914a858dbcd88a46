"""FastAPI's dependencies of a handler, resolved for each message, and over with it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from inspect import Parameter, Signature
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from starlette.requests import Request
from starlette.types import Message

from fastapi_rooms.auth.scoped import ScopedAuth
from fastapi_rooms.auth.token_auth import USERS_SCOPE_KEY
from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import ConfigurationError, RoomsError
from fastapi_rooms.hub.failures import HubError


class Dependencies:
    """What FastAPI gives to one handler.

    Args:
        name: The command's, for messages.
        parameters: Those of the handler that are FastAPI's to give, with their annotations.

    Raises:
        ConfigurationError: One of them wants what a message has not.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter]) -> None:
        self._dependant = get_dependant(path="/", call=_taking(parameters), name=name)
        _check(name, self._dependant)

    @asynccontextmanager
    async def solved(self, connection: Connection[Any], auth: object) -> AsyncIterator[dict[str, Any]]:
        """The values, by the parameters' names; those with `yield` end when the message does.

        They see the request that opened the connection, a WebSocket's handshake too as a plain GET, and its app's
        `dependency_overrides`. The hub's own authentication, asked as a dependency, finds the connection's user.

        Args:
            connection: Who asks.
            auth: The authentication dependency whose user the connection's is; `None`: there is none.

        Raises:
            HubError: A header, cookie or parameter of that request is not as it should be.
            Exception: Whatever a dependency raises.
        """
        async with AsyncExitStack() as outer, AsyncExitStack() as inner:
            # As a WebSocket it would be accepted, or closed, by an authentication that refuses it.
            scope = {
                **connection.http.scope,
                "type": "http",
                "method": "GET",
                "fastapi_inner_astack": outer,
                "fastapi_function_astack": inner,
                USERS_SCOPE_KEY: {} if auth is None else {_asked(auth): connection.user},
            }
            app = scope.get("app")
            found = await solve_dependencies(
                request=Request(scope, receive=_nothing, send=_nowhere),
                dependant=self._dependant,
                dependency_overrides_provider=app if hasattr(app, "dependency_overrides") else None,
                async_exit_stack=outer,
                embed_body_fields=False,
            )
            if found.errors:
                first = found.errors[0]
                field = ".".join(str(part) for part in first.get("loc", ()))
                raise HubError("invalid", str(first.get("msg", "")), field=field)
            yield found.values


def _taking(parameters: Sequence[Parameter]) -> Callable[..., None]:
    def handler() -> None:
        """Stands for the handler, with these parameters alone."""

    keyword_only = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in parameters]
    handler.__signature__ = Signature(keyword_only)  # type: ignore[attr-defined]  # it is looked at, and never called
    return handler


def _check(name: str, dependant: Dependant) -> None:
    missing = {
        "a WebSocket": dependant.websocket_param_name,
        "background tasks": dependant.background_tasks_param_name,
        "a response": dependant.response_param_name,
        "a body": next((one.name for one in dependant.body_params), None),
    }
    for what, parameter in missing.items():
        if parameter is not None:
            raise ConfigurationError(
                f"{name}: its dependency's {parameter!r}: a message has not {what} of its own; take an "
                "HTTPConnection, the one that opened the connection"
            )
    for one in dependant.dependencies:
        _check(name, one)


def _asked(auth: object) -> object:
    """Which dependency looks for the user; one with scopes asks that without."""
    return auth._auth if isinstance(auth, ScopedAuth) else auth


async def _nothing() -> Message:
    raise RoomsError("a dependency cannot read from the client: its Connection does")


async def _nowhere(message: Message) -> None:
    raise RoomsError("a dependency cannot write to the client: use the Connection")
