"""The load's client on event streams: it takes what HTTP and HTML allow, and no delivery but the right one."""

from collections.abc import Callable

import pytest
from benchmarks.load import Program

from unit.load_server import CONNECTIONS, IN_PYTHON, STREAM, compiled, frame, run

STREAMS = ("--stream", "/stream")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(_place: int, _number: int, payload: bytes) -> bytes:
    return chunk(b"data: %b\n\n" % payload)


@pytest.fixture
def program() -> Program:
    return compiled()


async def test_every_delivery_counts_once_and_who_talks_gets_none(program: Program) -> None:
    hall, report = await run(program, event, *STREAMS, path="/talk")

    assert isinstance(report, dict)
    assert len(hall.writers) == CONNECTIONS
    assert report["deliveries"] == CONNECTIONS * report["broadcasts"]
    assert 0 < report["broadcasts"] <= hall.number


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "one event in many chunks": lambda payload: b"".join(
        chunk(piece) for piece in (b"d", b"ata: ", payload[:9], payload[9:], b"\n", b"\n")
    ),
    "with a comment, an id and other line ends": lambda payload: chunk(
        b": \r\n\r\nid: 7\r\ndata:%b\r\n\r\n" % payload
    ),
    "with a comment before and behind": lambda payload: chunk(b":\n\ndata: %b\n\n:\n\n" % payload),
    "upper case, leading zeros": lambda payload: b"00%X\r\ndata: %b\n\n\r\n" % (len(payload) + 8, payload),
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_event_is_taken_however_it_is_written(program: Program, way: str) -> None:
    _, report = await run(program, lambda _place, _number, payload: WAYS[way](payload), *STREAMS, path="/talk")

    assert isinstance(report, dict)


async def test_the_greeting_of_a_stream_is_awaited(program: Program) -> None:
    greeting = chunk(b": hello\n\ndata: connected, really\n\n") + chunk(b"data: joined\n\n")
    options = (*STREAMS, "--greeting", "connected", "--greeting", "joined")

    _, report = await run(program, event, *options, path="/talk", stream=STREAM + greeting)
    assert isinstance(report, dict)

    _, complaint = await run(program, event, *STREAMS, path="/talk", stream=STREAM + greeting)
    assert isinstance(complaint, str)
    assert "nobody sent" in complaint


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "doubled": lambda payload: event(0, 0, payload) * 2,
    "changed": lambda payload: event(0, 0, payload.replace(b"general", b"genera1")),
    "in two lines": lambda payload: chunk(b"data: %b\ndata: \n\n" % payload),
    "of another kind": lambda payload: chunk(b"event: other\ndata: %b\n\n" % payload),
    "no line of a stream": lambda payload: chunk(payload + b"\n\n"),
    "a chunk without its size": lambda payload: b"\r\ndata: %b\n\n\r\n" % payload,
    "a chunk that is shorter": lambda payload: b"9\r\ndata: %b\n\n\r\n" % payload,
    "the end": lambda payload: event(0, 0, payload) + b"0\r\n\r\n",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_stream_that_is_not_right_ends_the_run(program: Program, fault: str) -> None:
    def at_the_fifth(place: int, number: int, payload: bytes) -> bytes:
        return FAULTS[fault](payload) if (place, number) == (1, 5) else event(place, number, payload)

    _, complaint = await run(program, at_the_fifth, *STREAMS, path="/talk")

    assert isinstance(complaint, str)
    assert complaint.strip()


@pytest.mark.parametrize(
    "response",
    [
        STREAM.replace(b"200 OK", b"503 Service Unavailable"),
        STREAM.replace(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        STREAM.replace(b"text/event-stream", b"text/plain"),
    ],
    ids=["an error", "no chunks", "no events"],
)
async def test_a_response_that_is_no_stream_ends_the_run(program: Program, response: bytes) -> None:
    _, complaint = await run(program, event, *STREAMS, path="/talk", stream=response)

    assert isinstance(complaint, str)
    assert "refused" in complaint


async def test_who_talks_must_be_told_nothing(program: Program) -> None:
    def to_all(place: int, number: int, payload: bytes) -> bytes:
        return frame(0x81, payload) if place == CONNECTIONS else event(place, number, payload)

    _, complaint = await run(program, to_all, *STREAMS, path="/ws")

    assert isinstance(complaint, str)
    assert "who talks" in complaint


def test_the_client_in_python_says_that_it_reads_no_streams() -> None:
    assert "stream" not in IN_PYTHON.can
