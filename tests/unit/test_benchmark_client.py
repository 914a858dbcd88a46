"""The load's client: it takes whatever RFC 6455 and RFC 7692 allow, and no delivery but the right one."""

import asyncio
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.load import Program, client_program
from benchmarks.machine import ROOT

CONNECTIONS = 3
MESSAGES = "closed 2 160 0 0.05\n"
DEADLINE = 30.0
IN_PYTHON = Program((sys.executable, "-m", "benchmarks.client"), frozenset())
NO_TAKEOVER = "permessage-deflate; server_no_context_takeover"

Answer = Callable[[int, int, bytes], bytes]
"""What a connection receives: from its place, the message's number, and its payload."""


def frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    return (
        bytes((first, size) if size < 126 else (first, 126))
        + (size.to_bytes(2, "big") if size > 125 else b"")
        + payload
    )


def plain(_place: int, _number: int, payload: bytes) -> bytes:
    return frame(0x81, payload)


class Server:
    """Answers each text of one client with what the test wants each client to receive."""

    def __init__(self, answer: Answer, extension: str) -> None:
        self.answer = answer
        self.extension = extension
        self.writers: list[asyncio.StreamWriter] = []
        self.pongs = 0
        self.acknowledged = 0
        self.number = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._response())
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
    program: Program, answer: Answer, *options: str, extension: str = ""
) -> tuple[Server, dict[str, Any] | str]:
    """What the client reported, or what it complained of."""
    hall = Server(answer, extension)
    server = await asyncio.start_server(hall.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *program.command,
        *("--connections", str(CONNECTIONS), *options, "127.0.0.1", str(port), "/ws"),
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


@pytest.fixture(params=["c", "python"])
def program(request: pytest.FixtureRequest) -> Program:
    if request.param == "python":
        return IN_PYTHON
    return compiled()


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


async def test_every_delivery_counts_once(program: Program) -> None:
    hall, report = await run(program, plain)

    assert isinstance(report, dict)
    assert report["deliveries"] == CONNECTIONS * report["broadcasts"]
    assert 0 < report["broadcasts"] <= hall.number


async def test_a_fragmented_message_with_a_ping_inside_is_taken_and_the_ping_is_answered(program: Program) -> None:
    def in_pieces(_place: int, _number: int, payload: bytes) -> bytes:
        return frame(0x01, payload[:7]) + frame(0x89, b"there?") + frame(0x00, b"") + frame(0x80, payload[7:])

    hall, report = await run(program, in_pieces)

    assert isinstance(report, dict)
    assert hall.pongs == CONNECTIONS * hall.number


async def test_a_message_in_a_wrapper_is_taken_and_acknowledged_by_its_key(program: Program) -> None:
    def wrapped(place: int, number: int, payload: bytes) -> bytes:
        return frame(0x81, b'{"data":%b,"key":"%d-%d"}' % (payload, place, number))

    hall, report = await run(program, wrapped, "--contains", "--acknowledge", "seen:$key")

    assert isinstance(report, dict)
    assert hall.acknowledged == CONNECTIONS * hall.number


async def test_the_prologue_is_kept_to_and_questions_are_answered(program: Program) -> None:
    def asking(_place: int, _number: int, payload: bytes) -> bytes:
        return b"" if payload == b"hello" else frame(0x81, b"well?") + frame(0x81, payload)

    options = ("--send", "hello", "--asked", "well?", "--reply", "seen: well")
    hall, report = await run(program, asking, *options)

    assert isinstance(report, dict)
    assert hall.acknowledged > 0


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "lost": lambda _: b"",
    "doubled": lambda payload: frame(0x81, payload) * 2,
    "changed": lambda payload: frame(0x81, payload.replace(b"general", b"genera1")),
    "cut": lambda payload: frame(0x81, payload[:-1]),
    "binary": lambda payload: frame(0x82, payload),
    "compressed": lambda payload: frame(0xC1, payload),
    "without an end": lambda payload: frame(0x01, payload) * 2,
    "closed": lambda _: frame(0x88, b"\x03\xe8"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_delivery_that_is_not_right_ends_the_run(program: Program, fault: str) -> None:
    def at_the_fifth(place: int, number: int, payload: bytes) -> bytes:
        return FAULTS[fault](payload) if (place, number) == (1, 5) else frame(0x81, payload)

    _, complaint = await run(program, at_the_fifth)

    assert isinstance(complaint, str)
    assert complaint.strip()


def deflate(payload: bytes, compressor: "zlib._Compress") -> bytes:
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


async def test_messages_compressed_one_by_one_are_taken() -> None:
    def compressed(_place: int, _number: int, payload: bytes) -> bytes:
        return frame(0xC1, deflate(payload, zlib.compressobj(wbits=-12)))

    _, report = await run(
        inflating(), compressed, "--deflate", extension=f"{NO_TAKEOVER}; server_max_window_bits=12"
    )

    assert isinstance(report, dict)


async def test_messages_compressed_in_the_context_of_those_before_are_taken() -> None:
    compressors = [zlib.compressobj(wbits=-15) for _ in range(CONNECTIONS)]

    def compressed(place: int, _number: int, payload: bytes) -> bytes:
        data = deflate(payload, compressors[place])
        return frame(0x41, data[:5]) + frame(0x80, data[5:])

    _, report = await run(inflating(), compressed, "--deflate", extension="permessage-deflate")

    assert isinstance(report, dict)


async def test_a_compressed_message_that_is_not_right_ends_the_run() -> None:
    def compressed(place: int, number: int, payload: bytes) -> bytes:
        text = payload.replace(b"general", b"genera1") if (place, number) == (1, 5) else payload
        return frame(0xC1, deflate(text, zlib.compressobj(wbits=-15)))

    _, complaint = await run(inflating(), compressed, "--deflate", extension=NO_TAKEOVER)

    assert isinstance(complaint, str)
    assert "not what was sent" in complaint
