"""Real servers, on the loop of the test or as processes, and what stands between them and their clients."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from brokers.engines import STARTS_WITHIN, listens, wait_for
from brokers.ports import free_port
from fastapi_rooms.client import RoomsClient
from fastapi_rooms.hub import Hub
from forked import Forked

from .app import BROKER, app_of
from .scripted import AT_ONCE

ROOT = Path(__file__).parents[2]

LATE = 10.0
"""Seconds that a test waits for what takes some connections, on a busy machine."""


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}/live"


class _Server(uvicorn.Server):
    """One that stops as soon as it is told to: uvicorn's looks ten times a second whether it should."""

    _looking: asyncio.Future[None] | None = None

    async def main_loop(self) -> None:
        self._looking = asyncio.ensure_future(super().main_loop())
        await asyncio.wait((self._looking,))

    def stop(self) -> None:
        self.should_exit = True
        if self._looking is not None:
            self._looking.cancel()


@asynccontextmanager
async def serving(app: Any, *, port: int = 0) -> AsyncIterator[int]:
    """Serve an app on this loop; the port."""
    config = uvicorn.Config(app, ws="websockets-sansio", log_level="critical", timeout_graceful_shutdown=5)
    server = _Server(config)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(LATE):
                while not server.started:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.005)
            yield listening.getsockname()[1]
        finally:
            server.stop()
            await task


@asynccontextmanager
async def meeting(hub: Hub[Any], transport: Any, *names: str) -> AsyncIterator[list[RoomsClient]]:
    """A served hub, and connected clients."""
    async with serving(app_of(hub)) as port, asyncio.TaskGroup() as tasks:
        clients = [client_of(port, transport, token=name) for name in names]
        for client in clients:
            await client.__aenter__()
        try:
            async with asyncio.timeout(LATE):
                for client in clients:
                    await client.connected()
            yield clients
        finally:
            for client in clients:
                tasks.create_task(client.close())


def client_of(port: int, transport: Any, **options: Any) -> RoomsClient:
    client = RoomsClient(url_of(port), transport=transport, **{**AT_ONCE, **options})
    client.on_error(lambda _: None)
    return client


class Process:
    """A hub in a process of its own, on a port that it keeps.

    Args:
        broker: The broker's URL.
    """

    def __init__(self, broker: str) -> None:
        self.port = free_port()
        self._broker = broker
        self._process: Forked | None = None

    def start(self) -> None:
        command = ["uvicorn", "tests.client.app:app", "--port", str(self.port)]
        self._process = Forked(
            [*command, "--log-level", "warning"], cwd=ROOT, env={**os.environ, BROKER: self._broker}
        )
        wait_for(self._process, lambda: listens(self.port))

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM; returns when it is gone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STARTS_WITHIN)
        self._process = None


class Cutter:
    """A TCP proxy that cuts connections: all of them now, or each after some bytes.

    Attributes:
        port: Where it listens.
        lets_pass: Bytes from the server that each new connection lets pass before it is cut; `None`: all.
        cuts: How many were cut.
    """

    port: int

    def __init__(self, server_port: int) -> None:
        self.lets_pass: int | None = None
        self.cuts = 0
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Cutter":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self.cuts += 1

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, server_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, server_writer, None))
                both.create_task(_pass(server_reader, writer, self.lets_pass))
        except* (OSError, EOFError):
            pass
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
    while data := await reader.read(4096):
        writer.write(data[:most])
        await writer.drain()
        if most is not None and (most := most - len(data)) <= 0:
            break
    raise EOFError


class WithoutWebSockets:
    """An app as it is behind a proxy that lets no WebSocket pass.

    Args:
        app: The app.

    Attributes:
        lets_pass: Whether it does now.
        refused: WebSockets that did not pass.
    """

    def __init__(self, app: Any) -> None:
        self.lets_pass = False
        self.refused = 0
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not self.lets_pass:
            self.refused += 1
            await receive()
            await send({"type": "websocket.close"})
        else:
            await self._app(scope, receive, send)


async def within(work: Any, seconds: float = LATE) -> Any:
    """The result of this, in time."""
    async with asyncio.timeout(seconds):
        return await work
