"""Messages to send: always the same ones, of any size."""

import random
from collections.abc import Sequence
from functools import cache
from typing import Final

import pytest

BORDERS: Final = (0, 1, 125, 126, 127, 65535, 65536)
"""Sizes at which the head of a frame changes its form (section 5.2), and their neighbours."""

MIB: Final = 1024 * 1024


@cache
def words(size: int) -> str:
    """A text that compresses as texts do: it repeats itself further back than deflate looks (RFC 1951, 32 KiB)."""
    text = _text()
    return (text * (size // len(text) + 1))[:size]


@cache
def _text() -> str:
    return "".join(random.Random(0).choices("abcdefgh ", k=65537))


@cache
def noise(size: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(size).randbytes(size)


def check_same(came: Sequence[str | bytes], expected: Sequence[str | bytes]) -> None:
    """Compare messages; where they differ, show the first difference, cut short."""
    for number, (one, other) in enumerate(zip(came, expected, strict=False)):
        if one != other:
            pytest.fail(f"message {number} is {one[:80]!r}, and should be {other[:80]!r}")
    assert len(came) == len(expected)
