"""Bytes of frames, plain (RFC 6455 §5.2) and compressed (RFC 7692 §7)."""

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.frames import (
    BINARY,
    HEADER_BYTES,
    LEAST_COMPRESSED,
    PLAIN,
    TEXT,
    WINDOW_BITS,
    build_frame,
    shared_window,
)
from unit.frame_fakes import OnWire, inflate, split_frames

OFFERED = range(8, 16)
READABLE = range(9, 16)

messages = st.one_of(
    st.binary(max_size=700),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=300), st.integers(1, 400)),
)


def json_of(size: int) -> bytes:
    """JSON of exactly so many bytes, which compresses as JSON does."""
    source = random.Random(size)
    rows = [{"id": number, "name": f"user {source.random()}", "live": True} for number in range(size // 40 + 1)]
    return json.dumps(rows).encode()[:size].ljust(size)


@pytest.mark.parametrize(("opcode", "first"), [(TEXT, 0x81), (BINARY, 0x82)])
@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, "00"),
        (1, "01"),
        (125, "7d"),
        (126, "7e007e"),
        (127, "7e007f"),
        (256, "7e0100"),
        (65535, "7effff"),
        (65536, "7f0000000000010000"),
        (65537, "7f0000000000010001"),
        (1 << 20, "7f0000000000100000"),
    ],
)
def test_a_frame_is_the_shortest_header_and_the_message(opcode: int, first: int, size: int, length: str) -> None:
    data = b"x" * size
    header = bytes([first]) + bytes.fromhex(length)
    assert build_frame(opcode, data) == header + data
    assert len(header) <= HEADER_BYTES


def test_the_longest_header_is_as_long_as_is_said() -> None:
    assert len(build_frame(TEXT, bytes(65536))) == 65536 + HEADER_BYTES


@pytest.mark.parametrize("window_bits", [PLAIN, *OFFERED])
@pytest.mark.parametrize("size", [0, 1, 125, 126, LEAST_COMPRESSED - 1])
def test_a_small_message_is_not_compressed(size: int, window_bits: int) -> None:
    data = b"x" * size
    assert build_frame(TEXT, data, window_bits=window_bits) == build_frame(TEXT, data)


@pytest.mark.parametrize("window_bits", OFFERED)
@pytest.mark.parametrize("size", [LEAST_COMPRESSED, 5000, 70_000])
def test_a_message_that_compression_makes_no_smaller_stays_as_it_is(size: int, window_bits: int) -> None:
    noise = random.Random(size).randbytes(size)
    assert build_frame(BINARY, noise, window_bits=window_bits) == build_frame(BINARY, noise)


@pytest.mark.parametrize("window_bits", READABLE)
@pytest.mark.parametrize("size", [LEAST_COMPRESSED, 511, 512, 1024, 4096, 5000, 65536, 300_000])
def test_a_larger_message_is_compressed_and_read_with_the_very_window(size: int, window_bits: int) -> None:
    data = json_of(size)
    (frame,) = split_frames(build_frame(TEXT, data, window_bits=window_bits))
    assert (frame.opcode, frame.compressed) == (TEXT, True)
    assert len(frame.data) < size
    assert inflate(frame.data, window_bits) == data


@pytest.mark.parametrize("window_bits", [PLAIN, 8])
def test_what_zlib_cannot_compress_for_goes_plain(window_bits: int) -> None:
    data = json_of(5000)
    assert split_frames(build_frame(TEXT, data, window_bits=window_bits)) == [OnWire(TEXT, data)]


def test_the_compressed_length_stands_in_the_header() -> None:
    frame = build_frame(BINARY, json_of(20_000), window_bits=15)
    assert frame[:2] == bytes([0xC2, 126])
    assert int.from_bytes(frame[2:4]) == len(frame) - 4 < 20_000


def test_a_client_that_keeps_its_window_can_read_every_frame_too() -> None:
    decompressor = zlib.decompressobj(-9)
    for size in (300, 700, 70_000, 300):
        (frame,) = split_frames(build_frame(TEXT, json_of(size), window_bits=9))
        assert decompressor.decompress(frame.data + b"\x00\x00\xff\xff") == json_of(size)


@given(data=messages, built_for=st.sampled_from(READABLE), more=st.integers(0, 6))
def test_a_frame_is_read_with_every_window_at_least_as_large(data: bytes, built_for: int, more: int) -> None:
    window_bits = min(15, built_for + more)
    (frame,) = split_frames(build_frame(BINARY, data, window_bits=built_for))
    assert (inflate(frame.data, window_bits) if frame.compressed else frame.data) == data
    assert len(frame.data) <= len(data)
    if frame.compressed:
        assert len(data) >= LEAST_COMPRESSED


@given(data=messages, window_bits=st.sampled_from([PLAIN, *OFFERED]))
def test_all_who_share_a_window_share_the_bytes(data: bytes, window_bits: int) -> None:
    shared = shared_window(len(data), window_bits)
    assert build_frame(TEXT, data, window_bits=window_bits) == build_frame(TEXT, data, window_bits=shared)


@pytest.mark.parametrize(
    ("size", "window_bits", "shared"),
    [
        (LEAST_COMPRESSED - 1, 15, PLAIN),
        (LEAST_COMPRESSED, PLAIN, PLAIN),
        (LEAST_COMPRESSED, 8, PLAIN),
        (LEAST_COMPRESSED, 15, 9),
        (511, 15, 9),
        (512, 15, 10),
        (1 << 20, 9, 9),
        (1 << 20, 11, 11),
        (1 << 20, 12, 12),
        (1 << 20, 15, WINDOW_BITS[-1]),
    ],
)
def test_a_window_is_no_larger_than_the_message_needs(size: int, window_bits: int, shared: int) -> None:
    assert shared_window(size, window_bits) == shared


@given(size=st.integers(0, 1 << 21), window_bits=st.sampled_from([PLAIN, *OFFERED]))
def test_a_window_is_never_larger_than_the_clients(size: int, window_bits: int) -> None:
    shared = shared_window(size, window_bits)
    assert shared == PLAIN or (shared in WINDOW_BITS and shared <= window_bits)
    assert shared_window(size, shared) == shared
