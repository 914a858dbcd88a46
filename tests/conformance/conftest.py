"""Every test here that asks for `server` runs once on each server."""

from collections.abc import AsyncIterator, Iterator

import pytest

from .servers import KINDS, Server, ServerKind, running
from .watch import Watch, watching
from .wire import OPENED

_EACH_SERVER = [pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(kind.name)) for kind in KINDS]


@pytest.fixture(scope="session", params=_EACH_SERVER)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server that the cases of a session share."""
    with running(Server(request.param, directory=tmp_path_factory.mktemp("server"))) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_socket_stays_open() -> Iterator[None]:
    """A test that fails in the middle leaves no client behind."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
async def watch(server: Server) -> AsyncIterator[Watch]:
    """The shared server with nothing recorded; afterwards nothing may be left on it."""
    async with watching(server) as watch:
        yield watch


_OWN = [
    pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(f"{kind.name}, own process")) for kind in KINDS
]


@pytest.fixture(params=_OWN)
def kind(request: pytest.FixtureRequest) -> ServerKind:
    """A kind of server, for cases that start a process of their own."""
    kind: ServerKind = request.param
    return kind
