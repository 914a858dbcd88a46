"""Every test here that asks for `server` runs once on each transport; one process serves all of them."""

from collections.abc import Iterator

import pytest

from conformance.servers import Server, running

from .transports import EACH_TRANSPORT


@pytest.fixture(scope="session", params=EACH_TRANSPORT)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with the echo example."""
    with running(Server(request.param, directory=tmp_path_factory.mktemp("rfc"))) as server:
        yield server
