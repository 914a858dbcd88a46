"""The load's client: it takes whatever RFC 6455 and RFC 7692 allow, and no delivery but the right one."""

import zlib
from collections.abc import Callable

import pytest
from benchmarks.load import Program

from unit.load_server import CONNECTIONS, IN_PYTHON, compiled, frame, inflating, run

NO_TAKEOVER = "permessage-deflate; server_no_context_takeover"


def plain(_place: int, _number: int, payload: bytes) -> bytes:
    return frame(0x81, payload)


@pytest.fixture(params=["c", "python"])
def program(request: pytest.FixtureRequest) -> Program:
    if request.param == "python":
        return IN_PYTHON
    return compiled()


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


async def test_messages_in_an_array_are_so_many_deliveries(program: Program) -> None:
    first = b""

    def in_arrays(_place: int, number: int, payload: bytes) -> bytes:
        nonlocal first
        if number == 0:
            first = payload
            return b""
        return frame(0x81, b"[%b]" % (first + b"," + payload if number == 1 else payload))

    hall, report = await run(program, in_arrays, "--joined")

    assert isinstance(report, dict)
    assert report["deliveries"] == CONNECTIONS * report["broadcasts"]
    assert 0 < report["broadcasts"] <= hall.number


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


WRONG_ARRAYS = {
    "empty": b"[]",
    "without an end": b"[%b",
    "with more behind": b"[%b] ",
    "with a comma at its end": b"[%b,]",
    "with a message that nobody sent": b'[%b,{"type":"message"}]',
    "of another message": b'[{"type":"message"}]',
}


@pytest.mark.parametrize("wrong", WRONG_ARRAYS)
async def test_an_array_that_is_not_right_ends_the_run(program: Program, wrong: str) -> None:
    def at_the_fifth(place: int, number: int, payload: bytes) -> bytes:
        array = WRONG_ARRAYS[wrong] if (place, number) == (1, 5) else b"[%b]"
        return frame(0x81, array.replace(b"%b", payload))

    _, complaint = await run(program, at_the_fifth, "--joined")

    assert isinstance(complaint, str)
    assert complaint.strip()


async def test_an_array_where_none_is_expected_ends_the_run(program: Program) -> None:
    _, complaint = await run(program, lambda _place, _number, payload: frame(0x81, b"[%b]" % payload))

    assert isinstance(complaint, str)
    assert "not what was sent" in complaint


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
