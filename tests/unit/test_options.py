from dataclasses import fields
from typing import Any, cast

import pytest

from fastapi_rooms.errors import ConfigurationError
from fastapi_rooms.options import (
    MOST_HISTORY,
    MOST_METADATA,
    Heartbeat,
    History,
    Limits,
    Overflow,
    Presence,
    QueueLimits,
    RateLimit,
    RoomPolicy,
)

BOUNDS: list[type[Any]] = [QueueLimits, Limits, RateLimit, Heartbeat, History, Presence]
ZERO_ALLOWED = {(Limits, "handler_grace"), (History, "on_join"), (Presence, "grace"), (Presence, "interval")}


def numbers_of(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind) if field.name != "message"]


def test_the_defaults_are_those_of_the_contract() -> None:
    queue, limits = QueueLimits(), Limits()
    assert (queue.messages, queue.bytes, queue.send_timeout, queue.close_timeout) == (1024, 1024 * 1024, 5, 2)
    assert (limits.connections, limits.connections_per_user, limits.idle_timeout) == (None, None, None)
    assert (limits.rooms_per_connection, limits.room_name_bytes, limits.message_bytes) == (128, 255, 65_536)
    assert (limits.inbox_messages, limits.inbox_bytes) == (32, 256 * 1024)
    assert (limits.handler_grace, limits.hook_timeout, limits.authentication_timeout) == (5, 10, 10)
    assert (limits.write_window, limits.shutdown_spread) == (None, None)
    assert (RateLimit().rate, RateLimit().burst) == (100, 200)
    assert (Heartbeat().interval, Heartbeat().timeout) == (25, 10)
    assert (History().messages, History().seconds) == (100, 300)
    presence = Presence()
    assert (presence.grace, presence.ttl, presence.refresh, presence.interval) == (15, 60, 25, 0.1)
    assert (presence.listed, presence.metadata_bytes) == (1000, 1024)
    assert RoomPolicy().overflow is None
    assert RoomPolicy(overflow=Overflow.CONFLATE).overflow is Overflow.CONFLATE


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in BOUNDS for name in numbers_of(kind)])
@pytest.mark.parametrize("value", [-1, 0, float("nan"), float("-inf")])
def test_a_bound_that_cannot_work_is_refused_where_it_is_written(kind: type[Any], name: str, value: float) -> None:
    if value == 0 and (kind, name) in ZERO_ALLOWED:
        assert getattr(kind(**{name: 0}), name) == 0
    else:
        with pytest.raises(ConfigurationError, match=rf"{kind.__name__}\({name}="):
            kind(**{name: value})


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in (QueueLimits, Limits) for name in numbers_of(kind)]
)
def test_none_switches_a_bound_off(kind: type[Any], name: str) -> None:
    assert getattr(kind(**{name: None}), name) is None


def test_a_burst_below_one_message_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="burst"):
        RateLimit(burst=0.5)


def test_a_history_longer_than_any_engine_keeps_is_refused() -> None:
    assert History(messages=MOST_HISTORY).messages == MOST_HISTORY
    with pytest.raises(ConfigurationError, match="messages="):
        History(messages=MOST_HISTORY + 1)


@pytest.mark.parametrize("on_join", [True, 11, 0.5, "key", "", None])
def test_more_on_join_than_is_kept_or_something_else_is_refused(on_join: Any) -> None:
    assert [History(messages=10, on_join=one).on_join for one in (0, 10)] == [0, 10]
    assert History(on_join="keys").on_join == "keys"
    with pytest.raises(ConfigurationError, match=r"History\(on_join="):
        History(messages=10, on_join=on_join)


@pytest.mark.parametrize("name", ["grace", "ttl", "refresh", "interval", "metadata_bytes"])
def test_of_presence_only_the_number_that_is_listed_has_no_bound(name: str) -> None:
    assert Presence(listed=None).listed is None
    with pytest.raises(ConfigurationError, match="listed"):
        Presence(**{name: cast("Any", None)})


@pytest.mark.parametrize(("refresh", "ttl"), [(30.0, 60.0), (25.0, 50.0), (60.0, 25.0)])
def test_a_process_that_would_be_heard_less_than_twice_until_it_counts_as_gone_is_refused(
    refresh: float, ttl: float
) -> None:
    assert Presence(refresh=24.9, ttl=50.0).refresh == 24.9
    with pytest.raises(ConfigurationError, match=r"Presence\(refresh="):
        Presence(refresh=refresh, ttl=ttl)


def test_more_metadata_than_a_message_of_hundreds_could_hold_is_refused() -> None:
    assert Presence(metadata_bytes=MOST_METADATA).metadata_bytes == MOST_METADATA
    with pytest.raises(ConfigurationError, match="at most 2048"):
        Presence(metadata_bytes=MOST_METADATA + 1)


def test_a_rate_limit_may_go_by_bytes_alone() -> None:
    assert RateLimit(rate=None, bytes_rate=1000).bytes_rate == 1000


@pytest.mark.parametrize("message", ["ping", b"ping", {"type": "ping"}, True, None])
def test_a_heartbeats_message_is_no_bound(message: object) -> None:
    assert Heartbeat(message=message).message == message
