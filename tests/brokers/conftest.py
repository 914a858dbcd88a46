"""Every test here that asks for `engine` runs once on each engine."""

from collections.abc import Callable, Iterator

import pytest

from .engines import Engine, MemoryEngine, running
from .nats_engine import NatsEngine
from .postgres_engine import PostgresEngine
from .redis_engine import RedisEngine

_ENGINES: list[Callable[[], Engine]] = [MemoryEngine, RedisEngine, NatsEngine, PostgresEngine]


def _parameters(kinds: list[Callable[[], Engine]]) -> list[object]:
    return [
        pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(f"broker {kind.name}"))  # type: ignore[attr-defined]
        for kind in kinds
    ]


FAULTY = _parameters([kind for kind in _ENGINES if kind.faults])  # type: ignore[attr-defined]
"""Those that run in a process of their own, which can be killed."""


@pytest.fixture(scope="session", params=_parameters(_ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A running engine that the tests of a session share: they leave it as they found it."""
    with running(request.param()) as engine:
        yield engine


@pytest.fixture(scope="module", params=FAULTY)
def own_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that only the tests of one file use: they kill it."""
    with running(request.param()) as engine:
        yield engine
