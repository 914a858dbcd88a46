"""`broker_from_url`: which broker, and what it says about URLs that name none."""

import sys
import traceback

import pytest

from fastapi_rooms import ConfigurationError
from fastapi_rooms.brokers import BrokerTimings, MemoryBroker
from fastapi_rooms.brokers.url import broker_from_url
from fastapi_rooms.errors import MissingExtra

DRIVERS = [
    ("redis://localhost", "redis", "redis"),
    ("nats://localhost", "nats", "nats"),
    ("postgresql://localhost", "postgres", "asyncpg"),
]

SERVERS = [
    ("redis://:hunter2@cache.example:6380/1", "RedisBroker", "cache.example:6380"),
    ("rediss://user:hunter2@cache.example", "RedisBroker", "cache.example"),
    ("REDIS://cache.example", "RedisBroker", "cache.example"),
    ("unix:///run/redis.sock", "RedisBroker", "/run/redis.sock"),
    ("valkey://:hunter2@cache.example:6380", "RedisBroker", "cache.example:6380"),
    ("valkeys://cache.example", "RedisBroker", "cache.example"),
    ("redis+cluster://u:hunter2@one.example:7000/0", "RedisBroker", "Cluster at one.example:7000"),
    (
        "rediss+cluster://u:hunter2@one.example,two.example:7001",
        "RedisBroker",
        "one.example:6379, two.example:7001",
    ),
    ("valkey+cluster://one.example", "RedisBroker", "Cluster at one.example:6379"),
    ("valkeys+cluster://one.example", "RedisBroker", "Cluster at one.example:6379"),
    ("nats://user:hunter2@bus.example:4222", "NatsBroker", "bus.example"),
    ("tls://user:hunter2@bus.example:4222", "NatsBroker", "bus.example"),
    ("postgresql://user:hunter2@db.example/app", "PostgresBroker", "db.example"),
    ("postgres://user:hunter2@db.example/app", "PostgresBroker", "db.example"),
]

SECRETS = [
    "user:hunter2@localhost",
    "user:hunter2@redis://localhost",
    "redis://:hunter2/more@localhost:6379",
    "redis://localhost:6379?password=hunter2&socket_timeout=x",
    "redis+cluster://:hunter2/more@localhost:6379",
    "redis+cluster://localhost:6379?password=hunter2&socket_timeout=x",
    "redis+cluster://localhost:6379?hunter2=1",
    "redis+cluster://localhost:6379/hunter2",
    "redis+cluster://user:hunter2@localhost:6379/1",
    "redis+cluster://user:hunter2@one,two:port",
    "redis+cluster://user:hunter2@one,,two",
    "redis+cluster://user:hunter2@",
    "redis+cluster://one,user:hunter2@two,user:hunter2@three",
    "mysql://user:hunter2@localhost",
    "memory://hunter2",
]


@pytest.mark.parametrize(("url", "kind", "where"), SERVERS)
def test_a_scheme_names_the_broker_and_the_rest_says_where_it_is(url: str, kind: str, where: str) -> None:
    broker = broker_from_url(url, prefix="chat", timings=BrokerTimings(connect=3))
    assert type(broker).__name__ == kind
    assert (broker.prefix, broker.timings.connect) == ("chat", 3)
    assert where in str(broker)
    assert "hunter2" not in str(broker)


def test_memory_is_a_broker_of_this_process_alone() -> None:
    broker = broker_from_url("memory://", prefix="chat")
    assert isinstance(broker, MemoryBroker)
    assert (broker.prefix, broker.shared) == ("chat", False)
    assert broker_from_url("memory://") is not broker_from_url("memory://")


@pytest.mark.parametrize("url", ["", "localhost", "mysql://localhost", "redis", "redis:/localhost"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        broker_from_url(url)
    for scheme in ("redis", "rediss", "unix", "valkey", "nats", "tls", "postgresql", "postgres", "memory"):
        assert f"{scheme}://" in str(refused.value)


def test_a_url_that_cannot_work_is_refused_by_the_broker_in_its_own_words() -> None:
    with pytest.raises(ConfigurationError, match="RedisBroker cannot use this URL"):
        broker_from_url("redis://localhost:port")


@pytest.mark.parametrize("url", SECRETS)
def test_no_password_is_in_an_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        broker_from_url(url)
    assert "hunter2" not in "".join(traceback.format_exception(refused.value, limit=0))


def test_a_prefix_that_cannot_work_is_refused_whatever_the_url_holds() -> None:
    with pytest.raises(ConfigurationError, match=r"prefix='a\.b'"):
        broker_from_url("redis://:hunter2@localhost", prefix="a.b")


@pytest.mark.parametrize(("url", "extra", "driver"), DRIVERS)
def test_a_missing_driver_is_refused_with_the_extra_that_brings_it(
    url: str, extra: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [driver, *(one for one in sys.modules if one.startswith(f"{driver}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"fastapi_rooms.brokers.{extra}", raising=False)
    with pytest.raises(MissingExtra) as refused:
        broker_from_url(url)
    assert refused.value.extra == extra
    assert f'pip install "fastapi-rooms[{extra}]"' in str(refused.value)
