"""What `SharedFramesProtocol` does beyond what every server does."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .managers import CLOSE_TIMEOUT, PROTOCOL_PINGS, SHUTDOWN_SPREAD
from .servers import SHARED_FRAMES, Server, running
from .watch import Watch
from .wire import Client, Closed, connected

pytestmark = pytest.mark.xdist_group("uvicorn-shared-frames, own process")

CLIENTS = 60
LATE = 4.0
"""Seconds for a busy machine."""
PINGS = 3
"""Of a client that stays: each comes only if the answer to the one before counted."""
INTERVAL, TIMEOUT = PROTOCOL_PINGS.interval, PROTOCOL_PINGS.timeout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the cases that leave it running."""
    with running(Server(SHARED_FRAMES, directory=tmp_path_factory.mktemp("server"))) as server:
        yield server


async def _closed(client: Client) -> tuple[Closed, float]:
    closed = await client.receive_close(timeout=SHUTDOWN_SPREAD + 2 * LATE)
    return closed, time.monotonic()


async def test_clients_are_sent_away_one_by_one_at_the_stop_where_the_manager_asks_for_it(
    tmp_path: Path,
) -> None:
    with running(Server(SHARED_FRAMES, directory=tmp_path)) as server:
        spread = [await Client.connect(server.port, "/echo/spread") for _ in range(CLIENTS)]
        at_once = [await Client.connect(server.port, "/echo/plain") for _ in range(3)]
        for client in (*spread, *at_once):
            assert await client.receive() == "hello"
        stopped = time.monotonic()
        server.terminate()
        others = asyncio.gather(*map(_closed, at_once))
        closed = await asyncio.gather(*map(_closed, spread))
        gone = await asyncio.to_thread(server.gone, timeout=10)
        for client in (*spread, *at_once):
            client.socket.close()

    assert [reply for reply, _ in closed] == [Closed(1012, "the server is restarting")] * CLIENTS
    # Each at a moment of its own; a machine that stands still makes the last ones later, and several as one.
    assert SHUTDOWN_SPREAD / 2 < max(at - stopped for _, at in closed) < SHUTDOWN_SPREAD + LATE
    assert all(reply == Closed(1012) for reply, _ in await others)
    assert gone


async def test_a_client_that_answers_protocol_pings_stays(watch: Watch) -> None:
    async with connected(watch.port, "/listen/patient-pings?user=lively") as client:
        await client.pinged(PINGS)
        assert await client.close() == Closed(1000)


async def test_a_client_that_vanishes_is_noticed_by_protocol_pings(watch: Watch) -> None:
    async with connected(watch.port, "/listen/protocol-pings?user=gone") as client:
        client.answers_pings = False
        started = time.monotonic()
        gone = await watch.until_event("protocol-pings", "disconnect", "gone")
        assert (gone["reason"], gone["code"]) == ("heartbeat_timeout", 4012)
        assert gone["at"] - started <= INTERVAL + TIMEOUT + CLOSE_TIMEOUT + LATE


async def test_a_client_that_only_talks_is_not_pinged(watch: Watch) -> None:
    slow, began = 0, time.monotonic()
    async with (
        connected(watch.port, "/echo/patient-pings?user=talks") as client,
        connected(watch.port, "/listen/patient-pings?user=silent") as silent,
    ):
        assert await client.receive() == "hello"
        pinged = asyncio.create_task(silent.pinged(PINGS))
        while not pinged.done():
            await client.send("still here")
            assert await client.receive() == "still here"
            await asyncio.sleep(INTERVAL / 4)
            slow, began = slow + (time.monotonic() - began > INTERVAL / 2), time.monotonic()
        await pinged
        # Where the machine stood still, it was silent, too: for a part of two rounds, of which one was slow.
        assert client.pings <= 2 * slow
        assert await client.close() == Closed(1000)
        assert await silent.close() == Closed(1000)
