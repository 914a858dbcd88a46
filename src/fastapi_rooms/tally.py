"""Messages and their bytes, counted in one integer: two would be two objects for each connection to look at."""

from typing import Final

_BYTES: Final = 48
"""Bits for the bytes: 256 TiB for one connection."""


def tally(messages: int, size: int) -> int:
    """So many messages of so many bytes in all. Tallies are added, and subtracted, as they are."""
    return (messages << _BYTES) + size


def messages_in(tallied: int) -> int:
    """How many messages."""
    return tallied >> _BYTES


def bytes_in(tallied: int) -> int:
    """How many bytes they have in all."""
    return tallied & ((1 << _BYTES) - 1)
