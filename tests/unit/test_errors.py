import pytest
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect

import fastapi_rooms
from fastapi_rooms import errors
from fastapi_rooms.errors import (
    AuthenticationError,
    CloseCode,
    ConfigurationError,
    ConnectionClosed,
    ConnectionRefused,
    Disconnect,
    DisconnectReason,
    ExpiredToken,
    HookTimeout,
    InsufficientScope,
    InvalidMessage,
    InvalidToken,
    JoinRefused,
    MessageTooLarge,
    MissingExtra,
    MissingToken,
    OriginRefused,
    RoomsError,
    UnencodableMessage,
    WrongEventLoop,
)


def test_every_exception_of_ours_is_a_rooms_error() -> None:
    exceptions = [value for value in vars(errors).values() if isinstance(value, type) and value is not RoomsError]
    ours = [one for one in exceptions if one.__module__ == errors.__name__ and issubclass(one, BaseException)]
    assert len(ours) == 23
    assert all(issubclass(one, RoomsError) for one in ours)


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4001, 4008, 4010, 4012, 4013])
def test_these_codes_say_come_back(code: int) -> None:
    assert CloseCode(code).reconnect


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 4500, 4501, 4502, 4504, 4507])
def test_these_codes_say_do_not(code: int) -> None:
    assert not CloseCode(code).reconnect


def test_connection_closed_is_what_tutorials_and_starlette_catch() -> None:
    error = ConnectionClosed(connection_id="c1", disconnect=Disconnect(DisconnectReason.CLIENT, 1001, "bye"))
    assert isinstance(error, WebSocketDisconnect)
    assert isinstance(error, WebSocketException)
    assert (error.code, error.reason, error.connection_id) == (1001, "bye", "c1")
    assert str(error) == "connection c1 is closed: client, 1001 (bye)"


def test_connection_closed_without_a_text_says_so_in_fewer_words() -> None:
    error = ConnectionClosed(connection_id="c1", disconnect=Disconnect(DisconnectReason.FINISHED, 1000))
    assert str(error) == "connection c1 is closed: finished, 1000"


def test_connection_refused_is_an_http_exception() -> None:
    error = ConnectionRefused(status_code=429, detail="too many")
    assert isinstance(error, HTTPException)
    assert (error.status_code, error.detail) == (429, "too many")


def test_a_missing_extra_says_what_to_install() -> None:
    error = MissingExtra(extra="jwt", feature="JWTAuth")
    assert isinstance(error, ImportError)
    assert error.extra == "jwt"
    assert str(error) == 'JWTAuth needs an optional dependency: pip install "fastapi-rooms[jwt]"'


def test_configuration_errors_are_value_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(WrongEventLoop, (ConfigurationError, RuntimeError))


def test_a_refused_join_names_the_room_and_does_not_repeat_a_long_name() -> None:
    error = JoinRefused(connection_id="c1", room="x" * 500, reason="not allowed")
    assert (error.connection_id, error.room, error.reason) == ("c1", "x" * 500, "not allowed")
    assert str(error) == f"connection c1 may not join room '{'x' * 80}': not allowed"


def test_a_message_that_is_too_large_says_what_the_limit_is() -> None:
    error = MessageTooLarge(size=11, limit=10)
    assert isinstance(error, ValueError)
    assert (error.size, error.limit) == (11, 10)
    assert "11 bytes" in str(error)
    assert "QueueLimits(bytes=...)" in str(error)


def test_a_message_that_a_broker_does_not_take_names_the_broker_and_not_the_queue() -> None:
    error = MessageTooLarge(size=11, limit=10, broker="NATS at 127.0.0.1:4222")
    assert (error.size, error.limit, error.broker) == (11, 10, "NATS at 127.0.0.1:4222")
    assert "the 10 bytes that NATS at 127.0.0.1:4222 takes" in str(error)
    assert "QueueLimits" not in str(error)


def test_an_unencodable_message_names_its_type() -> None:
    error = UnencodableMessage(message_type=set, detail="no")
    assert isinstance(error, TypeError)
    assert str(error) == "cannot send a set: no"


def test_an_invalid_message_names_the_field_if_there_is_one() -> None:
    assert str(InvalidMessage(detail="missing", field="user.name")) == "user.name: missing"
    assert str(InvalidMessage(detail="not JSON")) == "not JSON"
    assert InvalidMessage(detail="").code is CloseCode.INVALID_DATA


def test_a_hook_timeout_is_a_timeout_error() -> None:
    error = HookTimeout(hook="on_join", timeout=10.0)
    assert isinstance(error, TimeoutError)
    assert (error.hook, error.timeout) == ("on_join", 10.0)
    assert str(error) == "on_join was still running after hook_timeout=10 s and was cancelled"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (AuthenticationError, 401, 4500),
        (MissingToken, 401, 4500),
        (InvalidToken, 401, 4500),
        (ExpiredToken, 401, 4001),
        (OriginRefused, 403, 4507),
        (InsufficientScope, 403, 4507),
    ],
)
def test_an_authentication_error_knows_its_status_and_close_code(
    kind: type[AuthenticationError], status: int, code: int
) -> None:
    error = kind("why")
    assert (error.status, error.code, error.detail, str(error)) == (status, code, "why", "why")


def test_everything_public_can_be_imported_from_the_package() -> None:
    assert [name for name in fastapi_rooms.__all__ if not hasattr(fastapi_rooms, name)] == []
    assert list(fastapi_rooms.__all__) == sorted(fastapi_rooms.__all__)
