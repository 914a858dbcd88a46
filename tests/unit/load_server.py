"""A server that gives the load's client what a test wants each connection to receive."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.load import Program, client_program
from benchmarks.machine import ROOT

CONNECTIONS = 3
MESSAGES = "closed 2 160 0 0.05\n"
DEADLINE = 30.0
IN_PYTHON = Program((sys.executable, "-m", "benchmarks.client"), frozenset())
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

Answer = Callable[[int, int, bytes], bytes]
"""What a connection receives: from its place, the message's number, and its payload."""


def frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    return (
        bytes((first, size) if size < 126 else (first, 126))
        + (size.to_bytes(2, "big") if size > 125 else b"")
        + payload
    )


class LoadServer:
    """Answers each text of one client with what the test wants each client to receive.

    A WebSocket on `/talk` gets nothing; on any other path it is one of them, as is an event stream, on `/stream`.

    Args:
        answer: That.
        extension: What is negotiated.
        stream: The response to a request of an event stream, and what is behind it already.
    """

    def __init__(self, answer: Answer, *, extension: str = "", stream: bytes = STREAM) -> None:
        self.answer = answer
        self.extension = extension
        self.stream = stream
        self.writers: list[asyncio.StreamWriter] = []
        self.pongs = 0
        self.acknowledged = 0
        self.number = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.write(self.stream if path == b"/stream" else self._response())
            if path != b"/talk":
                self.writers.append(writer)
            while True:
                self._take(*await self._read_frame(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _response(self) -> bytes:
        extension = f"Sec-WebSocket-Extensions: {self.extension}\r\n" if self.extension else ""
        accepted = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        return f"{accepted}{extension}\r\n".encode()

    async def _read_frame(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        first, size = await reader.readexactly(2)
        size &= 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        assert await reader.readexactly(4) == bytes(4)
        return first, await reader.readexactly(size)

    def _take(self, first: int, payload: bytes) -> None:
        if first == 0x8A:
            self.pongs += 1
        elif payload.startswith(b"seen:"):
            self.acknowledged += 1
        else:
            for place, writer in enumerate(self.writers):
                writer.write(self.answer(place, self.number, payload))
            self.number += 1


async def run(
    program: Program, answer: Answer, *options: str, path: str = "/ws", **served: Any
) -> tuple[LoadServer, dict[str, Any] | str]:
    """What the client reported, or what it complained of."""
    hall = LoadServer(answer, **served)
    server = await asyncio.start_server(hall.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *program.command,
        *("--connections", str(CONNECTIONS), *options, "127.0.0.1", str(port), path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(DEADLINE):
        output, complaint = await process.communicate(MESSAGES.encode())
    server.close()
    for writer in hall.writers:
        writer.close()
    await server.wait_closed()
    if process.returncode != 0:
        return hall, complaint.decode()
    return hall, json.loads(output.splitlines()[1])


def compiled() -> Program:
    program = client_program()
    if program.command == IN_PYTHON.command:
        pytest.skip("no C compiler here")
    return program


def inflating() -> Program:
    program = compiled()
    if "deflate" not in program.can:
        pytest.skip("no zlib.h here")
    return program
