"""What clients may ask a hub to do: handlers, and what each of them takes."""

from collections.abc import Callable
from functools import partial
from inspect import (
    Parameter,
    isasyncgenfunction,
    isawaitable,
    isclass,
    iscoroutinefunction,
    isgeneratorfunction,
    isroutine,
    signature,
)
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from fastapi import BackgroundTasks, Response
from fastapi.params import Depends, Param
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket
from typing_extensions import TypeAliasType

from fastapi_rooms.connection import Connection
from fastapi_rooms.errors import ConfigurationError, InvalidMessage, RoomsError
from fastapi_rooms.hub.dependencies import Dependencies
from fastapi_rooms.hub.failures import HubError
from fastapi_rooms.room import Room

Handler = Callable[..., Any]
"""A function, `async` or not; a plain one runs in a thread."""

_NOT_HERE: Final = (BackgroundTasks, Response, Request, WebSocket)
"""What FastAPI gives to endpoints, and a message has not."""


class Command:
    """One handler.

    Its parameters are found by their annotations: a `Connection`, a `Room` (`Room | None`: the command may come
    without one), FastAPI dependencies, an `HTTPConnection` or parts of it (`Header()`, `Cookie()`, `Query()`): it
    is the request that opened the connection. At most one more is the command's data.

    Args:
        name: What clients call it by.
        handler: The function.

    Raises:
        ConfigurationError: A parameter cannot be given.
    """

    def __init__(self, name: str, handler: Handler) -> None:
        self.name = name
        self._handler = handler
        self._connection: str | None = None
        self._room: str | None = None
        self._room_needed = False
        self._data: str | None = None
        self._adapter: TypeAdapter[Any] | None = None
        self._default: object = Parameter.empty
        dependencies: list[Parameter] = []
        if isasyncgenfunction(handler) or isgeneratorfunction(handler):
            raise ConfigurationError(f"{name}: a handler returns its answer, and yields none")
        hints = _hints(name, handler)
        for parameter in signature(handler).parameters.values():
            hint = _plain(hints.get(parameter.name, Any))
            if not self._take(parameter, hint):
                dependencies.append(parameter.replace(annotation=hint))
        self._dependencies = Dependencies(name, dependencies) if dependencies else None
        self._waits = _is_async(handler)

    async def run(self, connection: Connection[Any], room: Room[Any] | None, data: object, auth: object) -> object:
        """Call the handler; what it returns. Its dependencies are over before this returns.

        Args:
            connection: Who asks.
            room: Where; `None`: nowhere.
            data: What the client sent: any JSON value.
            auth: The dependency whose user the connection's is; see `Dependencies.solved`.

        Raises:
            HubError: It needs a room.
            InvalidMessage: The data is not what it takes.
            Exception: Whatever the handler, or a dependency, raises.
        """
        values: dict[str, object] = {}
        if self._connection is not None:
            values[self._connection] = connection
        if self._room is not None:
            if room is None and self._room_needed:
                raise HubError("invalid", f"{self.name} needs a room", field="room")
            values[self._room] = room
        if self._data is not None:
            values[self._data] = self._validated(data)
        if self._dependencies is None:
            return await self._call(values)
        async with self._dependencies.solved(connection, auth) as found:
            return await self._call({**values, **found})
        raise RoomsError(
            f"{self.name}: a dependency with yield has swallowed an exception: it must raise it again"
        )

    async def _call(self, values: dict[str, object]) -> object:
        if self._waits:
            return await self._handler(**values)
        answer = await run_in_threadpool(self._handler, **values)
        return await answer if isawaitable(answer) else answer  # a plain function may wrap one that is not

    def _validated(self, data: object) -> object:
        if data is None and self._default is not Parameter.empty:
            return self._default
        if self._adapter is None:
            return data
        try:
            return self._adapter.validate_json(to_json(data))  # JSON's rules: a date is a text there
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InvalidMessage(detail=first["msg"], field=field) from None

    def _take(self, parameter: Parameter, hint: Any) -> bool:
        """Note what a parameter is for; False: it is a dependency's."""
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD, Parameter.POSITIONAL_ONLY):
            raise ConfigurationError(f"{self.name}: parameter {parameter.name!r} must have a name to be called by")
        if _is_dependency(parameter, hint):
            return False
        kinds, may_be_none = _classes(hint)
        if any(issubclass(kind, _NOT_HERE) for kind in kinds):
            raise ConfigurationError(
                f"{self.name}: {parameter.name!r}: a message has no request, response or background tasks of its "
                "own; take an HTTPConnection, the one that opened the connection"
            )
        if isinstance(parameter.default, FieldInfo):
            raise ConfigurationError(
                f"{self.name}: {parameter.name!r}: write `Annotated[..., Field(...)]`, and the default beside it"
            )
        if any(issubclass(kind, HTTPConnection) for kind in kinds):
            return False
        if any(issubclass(kind, Connection) for kind in kinds):
            self._connection = parameter.name
        elif any(issubclass(kind, Room) for kind in kinds):
            self._room = parameter.name
            self._room_needed = not may_be_none
        elif self._data is not None:
            raise ConfigurationError(
                f"{self.name}: {self._data!r} and {parameter.name!r} both seem to be the data: a command has one "
                "value, so use one model; other parameters want Depends(...)"
            )
        else:
            self._data = parameter.name
            self._default = parameter.default
            self._adapter = None if hint is Any else _adapter(f"{self.name}: {parameter.name!r}", hint)
        return True


class Commands:
    """All handlers of a hub, by their names."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def add(self, name: str, handler: Handler) -> None:
        """One more.

        Raises:
            ConfigurationError: The name is taken, or a parameter cannot be given.
        """
        if not isinstance(name, str) or not 1 <= len(name) <= 100:
            raise ConfigurationError(f"on({name!r}): a command's name is a text of 1 to 100 characters")
        if name in self._commands:
            raise ConfigurationError(f"on({name!r}): there is a handler of this name already")
        self._commands[name] = Command(name, handler)

    def get(self, name: str) -> Command | None:
        """The one of this name."""
        return self._commands.get(name)


def _is_dependency(parameter: Parameter, hint: Any) -> bool:
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return any(isinstance(one, (Depends, Param)) for one in (parameter.default, *metadata))


def _classes(hint: Any) -> tuple[list[type], bool]:
    """The classes of an annotation, and whether it takes `None`."""
    hint = _plain(hint)
    if get_origin(hint) is Annotated:
        return _classes(get_args(hint)[0])
    hints = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    origins = [get_origin(_plain(one)) or _plain(one) for one in hints]
    return [one for one in origins if isclass(one) and one is not NoneType], NoneType in hints


def _plain(hint: Any) -> Any:
    """What stands behind a name that `type` has given."""
    while isinstance(hint, TypeAliasType):
        hint = hint.__value__
    return hint


def _hints(name: str, handler: Handler) -> dict[str, Any]:
    """The annotations of a function, a method, a `partial`, or an object that can be called."""
    function: Any = handler
    while isinstance(function, partial):
        function = function.func
    if not isroutine(function) and not isclass(function):
        function = type(function).__call__
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"{name}: an annotation cannot be found where the handler is: {error}") from error


def _adapter(what: str, hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint)
    except PydanticUserError as error:
        raise ConfigurationError(
            f"{what}: {hint!r} is nothing that JSON is validated with; what is no data wants Depends(...)"
        ) from error


def _is_async(handler: Handler) -> bool:
    return iscoroutinefunction(handler) or iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004 - its kind
