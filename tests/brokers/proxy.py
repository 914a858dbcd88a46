"""A TCP proxy that stops passing bytes, in one direction, in both or for some, and keeps the connections open."""

import asyncio
from contextlib import suppress


class Proxy:
    """Between a broker and its engine.

    Attributes:
        port: Where it listens.
        to_engine: Cleared: what the broker says is swallowed.
        to_broker: Cleared: what the engine says is swallowed.
        marker: Swallowed is what the engine says on those connections where it has said this.
    """

    port: int

    def __init__(self, engine_port: int) -> None:
        self._engine_port = engine_port
        self.to_engine = True
        self.to_broker = True
        self.marker: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_connection("127.0.0.1", self._engine_port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, engine_writer, "to_engine"))
                both.create_task(self._pass(engine_reader, writer, "to_broker"))
        except* OSError:
            pass
        finally:
            for one in (writer, engine_writer):
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        said = b""
        while data := await reader.read(65536):
            said += data if direction == "to_broker" else b""
            deaf = self.marker is not None and self.marker in said
            if getattr(self, direction) and not deaf:
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()
