"""Case 8: SIGTERM, and `--reload`, with sockets open."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fastapi_rooms.testing import eventually

from .servers import SHARED_FRAMES, START_TIMEOUT, UVICORN, Server, ServerKind
from .watch import State, Watch
from .wire import Client, Closed

SLEEPING = 10
HEALTHY = 89
GONE_IN = 8.0
"""Seconds for the grace of handlers that sleep, and for a busy machine, beside what the server waits for."""


async def _populate(watch: Watch, *, healthy: int, sleeping: int) -> tuple[list[Client], Client]:
    """Clients that read, some of them in handlers that sleep, and one that is stalled."""
    clients = []
    for _ in range(healthy):
        client = await Client.connect(watch.port, "/echo/shutdown?user=healthy")
        assert await client.receive() == "hello"
        clients.append(client)
    for _ in range(sleeping):
        client = await Client.connect(watch.port, "/working/shutdown?user=sleeping")
        await client.send("60 seconds")
        clients.append(client)
    stalled = await Client.connect(
        watch.port, "/awaits/shutdown?messages=2000&size=16384&user=stalled", small=True
    )
    await watch.until(
        lambda now: (
            now["connections"]["shutdown"] == healthy + sleeping + 1
            and sum(entry["event"] == "works" for entry in now["events"]["shutdown"]) == sleeping
        )
    )
    return clients, stalled


async def test_sigterm_tells_every_healthy_client_and_the_process_is_gone_in_time(
    kind: ServerKind, tmp_path: Path
) -> None:
    server = Server(kind, directory=tmp_path)
    try:
        clients, stalled = await _populate(Watch(server, {}), healthy=HEALTHY, sleeping=SLEEPING)
        allowed = GONE_IN + kind.graceful
        started = time.monotonic()
        server.terminate()
        gone = asyncio.create_task(asyncio.to_thread(server.gone, timeout=allowed + 10))
        closed = await asyncio.gather(*(client.receive_close(timeout=allowed + 10) for client in clients))
        assert await gone, f"still running after {allowed + 10} s: {server.log()[-3000:]}"
        took = time.monotonic() - started
        for client in (*clients, stalled):
            client.socket.close()
    finally:
        server.stop()
    assert took <= allowed, f"gone after {took:.2f} s, allowed {allowed} s: {server.log()[-3000:]}"
    if kind.shutdown_code is None:  # it says nothing, unless it is slow to stop: then we do, and it takes no 1012
        assert {one.code for one in closed} <= {None, 4000}
    else:
        assert closed == [Closed(kind.shutdown_code)] * (HEALTHY + SLEEPING)
    assert not server.complaints()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(f"{kind.name}, own process"))
        for kind in (UVICORN, SHARED_FRAMES)
    ],
)
async def test_reload_restarts_uvicorn_with_sockets_open(kind: ServerKind, tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "module.py").write_text("VALUE = 1\n")
    server = Server(kind, directory=tmp_path, extra=["--reload", "--reload-dir", str(watched)])
    try:
        watch = Watch(server, {})
        old = (await watch.state())["pid"]
        clients, stalled = await _populate(watch, healthy=10, sleeping=2)
        await _looks_for_changes(server)
        (watched / "module.py").write_text("VALUE = 2\n")
        closed = await asyncio.gather(*(client.receive_close(timeout=START_TIMEOUT) for client in clients))
        assert closed == [Closed(1012)] * 12
        new = await _another_process(watch, old)
        assert new["connections"]["shutdown"] == 0
        again = await Client.connect(server.port, "/echo/shutdown?user=again")
        assert await again.receive() == "hello"
        for client in (*clients, stalled, again):
            client.socket.close()
    finally:
        server.stop()


async def _looks_for_changes(server: Server) -> None:
    """The parent looks for changes only once its child has begun, which may be ready long before.

    Where the system tells nobody of changes, it looks again and again, and that cannot be seen.
    """
    with suppress(TimeoutError):
        await eventually(lambda: _has_a_watch(server.process.pid), timeout=10.0)


def _has_a_watch(pid: int) -> bool:
    for descriptor in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):  # closed meanwhile
            if "inotify wd" in descriptor.read_text():
                return True
    return False


async def _another_process(watch: Watch, old: int) -> State:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with suppress(OSError, TimeoutError):
            state = await watch.state()
            if state["pid"] != old:
                return state
        assert time.monotonic() < deadline, watch.server.log()[-3000:]
        await asyncio.sleep(0.05)
