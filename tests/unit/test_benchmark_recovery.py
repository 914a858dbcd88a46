"""What the benchmark of recovery counts, and the gate that cuts its connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from benchmarks.gate import Gate
from benchmarks.machine import HOST
from benchmarks.recovery import STILL, Outcome, Plan, Recovered

SOON = 5.0


class Heard:
    """A client that has heard this."""

    def __init__(self, *heard: int) -> None:
        self.heard = list(heard)

    async def enter(self) -> None: ...

    async def leave(self) -> None: ...


def outcome(*clients: Heard, lossless: bool = True) -> Outcome:
    made = Outcome("a hub", lossless, said=4)
    for client in clients:
        made.add(client)
    return made


def test_what_has_come_counts_once_whatever_its_order_and_what_is_said_afterwards_does_not() -> None:
    found = outcome(Heard(0, 1, 2, 3, STILL), Heard(0, 2, 1, 1))

    assert found.share == 7 / 8
    assert (found.twice, found.misplaced, found.back) == (1, 1, 1)


def test_only_who_promises_that_everything_arrives_has_bars() -> None:
    result = Recovered(Plan(), [outcome(Heard(0, 1)), outcome(Heard(0), lossless=False)])

    assert [(bar.value, bar.met) for bar in result.bars()] == [(50.0, False), (0.0, True)]
    assert "25.00%" in result.text()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def say(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection over which something has come back."""
    async with asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        return reader, writer


async def test_a_gate_passes_everything_until_it_is_shut_and_again_once_it_is_open(echo: int) -> None:
    async with Gate([echo]) as gate:
        reader, writer = await say(gate.port)
        await gate.shut(reset=False, refuse=True)
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, gate.port)
        await gate.open()
        _, writer = await say(gate.port)
        writer.close()


async def test_a_gate_resets_what_there_is_and_what_comes_where_it_is_told_to(echo: int) -> None:
    async with Gate([echo]) as gate:
        for refused in (False, True):
            reader, writer = await asyncio.open_connection(HOST, gate.port) if refused else await say(gate.port)
            await gate.shut(reset=True, refuse=False)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_connections_go_to_one_server_after_the_other(echo: int) -> None:
    async with Gate([echo, 1]) as gate:
        _, writer = await say(gate.port)
        writer.close()
        reader, writer = await asyncio.open_connection(HOST, gate.port)
        with pytest.raises(ConnectionResetError):  # nobody is there
            await reader.read()
        writer.close()
