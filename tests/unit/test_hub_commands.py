"""Handlers of a hub: what each of their parameters is given, and which signatures are refused."""

import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Optional
from uuid import UUID

import pytest
from fastapi import (
    BackgroundTasks,
    Body,
    Depends,
    Request,
    Response,
    WebSocket,
)
from fastapi.security import SecurityScopes
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from fastapi_rooms import Connection, Room
from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.hub import Hub, HubRoom
from fastapi_rooms.hub.commands import Command, Commands
from hub.talk import answer, served, talking

AnyHub = Hub[Any]


class Say(BaseModel):
    text: str = Field(max_length=10)
    at: date | None = None


@dataclass
class Point:
    x: int
    on: date


class Alien:
    """Nothing that JSON is validated with."""


# Parameters by annotation.


async def test_a_handler_without_parameters_needs_none() -> None:
    async def handler() -> str:
        return "done"

    assert await answer(handler) == "done"
    assert await answer(handler, {"ignored": 1}) == "done"
    assert await answer(handler, room="red") == "done"


async def test_the_connection_is_found_by_annotation_whatever_it_is_called() -> None:
    async def handler(client: Connection[Any]) -> list[Any]:
        return [type(client).__name__, sorted(client.rooms)]

    async def bare(c: Connection) -> str:
        return c.status

    async def annotated(c: Annotated[Connection[Any], "mine"]) -> str:
        return c.status

    async def optional(c: Connection[Any] | None) -> bool:
        return c is not None

    assert await answer(handler, room="red") == ["Connection", ["red"]]
    assert await answer(bare) == "connected"
    assert await answer(annotated) == "connected"
    assert await answer(optional) is True


async def test_the_room_is_a_handle_of_the_hub_and_the_client_is_in_it() -> None:
    async def handler(room: Room[Any]) -> list[Any]:
        return [room.name, await room.count(), type(room).__name__]

    async def hub_room(room: HubRoom[Any]) -> str:
        return room.name

    assert await answer(handler, room="red") == ["red", 1, "HubRoom"]
    assert await answer(hub_room, room="red") == "red"


async def test_a_command_that_needs_a_room_says_so() -> None:
    async def handler(room: Room[Any]) -> None:
        raise AssertionError

    async def annotated(room: Annotated[Room[Any], "mine"]) -> None:
        raise AssertionError

    expected = {"code": "invalid", "detail": "do needs a room", "field": "room"}
    assert await answer(handler) == expected
    assert await answer(annotated) == expected


async def test_a_room_may_be_optional() -> None:
    async def union(room: Room[Any] | None) -> str | None:
        return room.name if room else None

    async def optional(room: Optional[Room[Any]] = None) -> str | None:  # noqa: UP045 - as older code has it
        return room.name if room else None

    for handler in (union, optional):
        assert await answer(handler) is None
        assert await answer(handler, room="red") == "red"


Conn = TypeAliasType("Conn", Connection[Any])
MaybeRoom = TypeAliasType("MaybeRoom", Room[Any] | None)


async def test_aliases_are_what_they_stand_for() -> None:
    async def handler(connection: Conn, room: MaybeRoom, text: str) -> list[Any]:
        return [connection.status, room is None, text]

    assert await answer(handler, "hi") == ["connected", True, "hi"]


async def test_a_name_does_not_make_a_parameter_special() -> None:
    async def handler(connection: str, place: Room[Any]) -> list[str]:
        return [connection, place.name]

    assert await answer(handler, "text", room="red") == ["text", "red"]


# Data.


async def test_data_is_validated_as_its_annotation_says() -> None:
    async def handler(message: Say) -> list[str]:
        return [type(message).__name__, message.text]

    assert await answer(handler, {"text": "hi"}) == ["Say", "hi"]
    assert await answer(handler, {"text": "hi", "later": 1}) == ["Say", "hi"]


@pytest.mark.parametrize(
    ("data", "detail", "field"),
    [
        ({"text": "x" * 11}, "String should have at most 10 characters", "text"),
        ({"tex": "hi"}, "Field required", "text"),
        ({"text": 5}, "Input should be a valid string", "text"),
        ("hi", "Input should be an object", None),
        (None, "Input should be an object", None),
    ],
)
async def test_what_is_wrong_with_data_is_told(data: Any, detail: str, field: str | None) -> None:
    async def handler(message: Say) -> None:
        raise AssertionError

    expected = {"code": "invalid", "detail": detail}
    assert await answer(handler, data) == (expected if field is None else {**expected, "field": field})


async def test_the_path_to_a_wrong_field_is_told() -> None:
    async def handler(messages: dict[str, list[Say]]) -> None:
        raise AssertionError

    told = await answer(handler, {"all": [{"text": "a"}, {}]})
    assert told["field"] == "all.1.text"


async def test_data_without_an_annotation_is_any_json() -> None:
    async def handler(data) -> Any:  # type: ignore[no-untyped-def]
        return [data]

    for data in (None, 1, "a", [1], {"a": None}):
        assert await answer(handler, data) == [data]


async def test_dates_and_others_are_texts_as_in_json() -> None:
    async def handler(data: tuple[date, datetime, timedelta, UUID, bytes, set[int]]) -> list[str]:
        return [type(one).__name__ for one in data]

    given = ["2030-01-02", "2030-01-02T03:04:05Z", "PT1S", "00000000-0000-0000-0000-000000000001", "x", [1, 1]]
    assert await answer(handler, given) == ["date", "datetime", "timedelta", "UUID", "bytes", "set"]


async def test_dataclasses_are_data_and_answers() -> None:
    async def handler(point: Point) -> Point:
        return Point(point.x + 1, point.on)

    assert await answer(handler, {"x": 1, "on": "2030-01-02"}) == {"x": 2, "on": "2030-01-02"}
    assert (await answer(handler, {"x": 1, "on": "soon"}))["field"] == "on"


async def test_constraints_in_an_annotation_count() -> None:
    async def handler(number: Annotated[int, Field(ge=1)] = 5) -> int:
        return number

    assert await answer(handler, 1) == 1
    assert await answer(handler) == 5
    assert (await answer(handler, 0))["code"] == "invalid"


async def test_data_that_is_left_out_is_the_default() -> None:
    async def handler(message: Say = Say(text="none")) -> str:  # noqa: B008 - frozen in effect
        return message.text

    async def optional(message: Say | None = None) -> bool:
        return message is None

    async def nullable(message: Say | None) -> bool:
        return message is None

    assert await answer(handler) == "none"
    assert await answer(handler, {"text": "hi"}) == "hi"
    assert await answer(optional) is True
    assert await answer(nullable) is True


@pytest.mark.logged_errors
async def test_a_validator_that_fails_is_the_servers_fault() -> None:
    class Odd(BaseModel):
        x: int

        def model_post_init(self, context: Any, /) -> None:
            raise KeyError(self.x)

    async def handler(message: Odd) -> None:
        raise AssertionError

    assert (await answer(handler, {"x": 1}))["code"] == "internal"


# Functions of all kinds.


async def test_a_plain_function_runs_in_a_thread() -> None:
    def handler(connection: Connection[Any], text: str) -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), connection.status, text]

    assert await answer(handler, "hi") == [False, "connected", "hi"]


async def test_a_plain_function_that_wraps_one_that_is_not_is_awaited() -> None:
    def wrapped(function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **options: Any) -> Any:
            return function(*args, **options)

        return wrapper

    @wrapped
    async def handler(text: Annotated[str, Field(min_length=2)]) -> str:
        return text.upper()

    assert await answer(handler, "hi") == "HI"
    assert (await answer(handler, "h"))["code"] == "invalid"


async def test_methods_partials_and_objects_are_handlers_too() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        async def add(self, number: int) -> int:
            self.count += number
            return self.count

        async def __call__(self, number: int) -> int:
            return -number

    class Plain:
        def __call__(self, text: str) -> str:
            return text

    async def two(factor: int, number: int) -> int:
        return factor * number

    assert await answer(Counter().add, 2) == 2
    assert await answer(Counter(), 2) == -2
    assert await answer(Plain(), "hi") == "hi"
    assert await answer(functools.partial(two, 3), 2) == 6
    assert (await answer(functools.partial(two, 3), "no"))["code"] == "invalid"


def test_a_handler_stays_what_it_was() -> None:
    hub: AnyHub = Hub()

    async def handler() -> None: ...

    assert hub.on("do")(handler) is handler


async def test_one_function_may_answer_several_commands() -> None:
    hub: AnyHub = Hub()

    @hub.on("one")
    @hub.on("two")
    async def handler(text: str) -> str:
        return text

    async with served(hub) as client, talking(client) as talk:
        assert await talk.reply("one", "1") == "1"
        assert await talk.reply("two", "2") == "2"


# Names, and signatures that are refused.


def test_a_name_is_taken_once() -> None:
    commands = Commands()
    commands.add("say", lambda: None)
    with pytest.raises(ConfigurationError, match="already"):
        commands.add("say", lambda: None)
    assert commands.get("say") is not None
    assert commands.get("Say") is None


@pytest.mark.parametrize("name", ["", "x" * 101, None, 5])
def test_a_name_is_a_text_that_clients_can_send(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="1 to 100 characters"):
        Commands().add(name, lambda: None)


@pytest.mark.parametrize("name", ["x" * 100, "ü", "a b", "join"])
def test_a_name_is_any_text(name: str) -> None:
    Commands().add(name, lambda: None)


def _two(one: int, two: int) -> None: ...
def _three(one, two, three) -> None: ...  # type: ignore[no-untyped-def]
def _args(*args: int) -> None: ...
def _options(**options: int) -> None: ...
def _positional(one: int, /) -> None: ...
def _request(request: Request) -> None: ...
def _websocket(websocket: WebSocket) -> None: ...
def _response(response: Response | None) -> None: ...
def _tasks(tasks: Annotated[BackgroundTasks, 1]) -> None: ...
def _alien(alien: Alien) -> None: ...
def _scopes(scopes: SecurityScopes) -> None: ...
def _lost(data: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _field(number: int = Field(5)) -> None: ...
def _body(number: int = Body(5)) -> None: ...
def _yielding() -> Iterator[int]:
    yield 1


async def _yielding_later() -> AsyncIterator[int]:
    yield 1


def _takes_websocket(websocket: WebSocket) -> None: ...
def _takes_tasks(tasks: BackgroundTasks) -> None: ...
def _takes_body(message: Say) -> None: ...
def _deeper(inner: Annotated[None, Depends(_takes_body)]) -> None: ...
def _with_websocket(one: Annotated[None, Depends(_takes_websocket)]) -> None: ...
def _with_tasks(one: Annotated[None, Depends(_takes_tasks)]) -> None: ...
def _with_body(one: Annotated[None, Depends(_deeper)]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (_two, "'one' and 'two' both seem to be the data"),
        (_three, "both seem to be the data"),
        (_args, "'args' must have a name"),
        (_options, "'options' must have a name"),
        (_positional, "'one' must have a name"),
        (_request, "'request'.*take an HTTPConnection"),
        (_websocket, "'websocket'.*take an HTTPConnection"),
        (_response, "'response'.*no request, response"),
        (_tasks, "'tasks'.*background tasks"),
        (_alien, "'alien'.*Depends"),
        (_scopes, "'scopes'.*Depends"),
        (_lost, "cannot be found.*Nowhere"),
        (_field, "'number'.*Annotated"),
        (_body, "'number'.*Annotated"),
        (_yielding, "returns its answer"),
        (_yielding_later, "returns its answer"),
        (_with_websocket, "'websocket'.*take an HTTPConnection"),
        (_with_tasks, "'tasks'.*background tasks"),
        (_with_body, "'message'.*body"),
    ],
)
def test_a_signature_that_cannot_work_is_refused_at_once(handler: Callable[..., Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^do: .*{words}"):
        Command("do", handler)


def test_a_command_that_was_refused_has_not_taken_its_name() -> None:
    commands = Commands()
    with pytest.raises(ConfigurationError):
        commands.add("do", _two)
    commands.add("do", lambda: None)
