"""Every test here that asks for `engine` runs once on each engine."""

from collections.abc import Callable, Iterator

import pytest

from .engines import Engine, MemoryEngine, running
from .nats_engine import NatsEngine
from .postgres_engine import PostgresEngine
from .redis_cluster_engine import RedisClusterEngine
from .redis_engine import RedisEngine

# Memory is the last: pytest puts tests together by the number of their engine, and some tests have all but memory.
_SERVERS: list[Callable[[], Engine]] = [RedisEngine, NatsEngine, PostgresEngine]

_ENGINES: list[Callable[[], Engine]] = [*_SERVERS, MemoryEngine]

_CONFORMING: list[Callable[[], Engine]] = [*_SERVERS, RedisClusterEngine, MemoryEngine]
"""Those that the conformance suites run on: more than the rest, whose time is scarce."""


def _parameters(kinds: list[Callable[[], Engine]]) -> list[object]:
    return [
        pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(f"broker {kind.name}"))  # type: ignore[attr-defined]
        for kind in kinds
    ]


FAULTY = _parameters([kind for kind in _ENGINES if kind.faults])  # type: ignore[attr-defined]
"""Those that run in a process of their own, which can be killed."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        conforming = metafunc.definition.path.stem in ("test_broker_conformance", "test_stream_conformance")
        kinds = _CONFORMING if conforming else _ENGINES
        if "faulty" in metafunc.fixturenames:
            kinds = [kind for kind in kinds if kind.faults]  # type: ignore[attr-defined]
        metafunc.parametrize("engine", _parameters(kinds), indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A running engine that the tests of a session share: they leave it as they found it."""
    with running(request.param()) as engine:
        yield engine


@pytest.fixture
def faulty(engine: Engine) -> Engine:
    """The engine, in tests that need one with a process of its own: they do not run in memory."""
    return engine


@pytest.fixture(scope="module", params=FAULTY)
def own_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that only the tests of one file use: they kill it."""
    with running(request.param()) as engine:
        yield engine
