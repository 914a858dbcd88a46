"""What a close frame can hold."""

from typing import Final

from fastapi_rooms.errors import ConfigurationError

MAX_REASON_BYTES: Final = 123
"""Longest close reason: a control frame holds 125 bytes, two of which are the code (RFC 6455 §5.5)."""

_NEVER_SENT: Final = frozenset({1004, 1005, 1006})
"""Reserved, or for local use only (RFC 6455 §7.4.1)."""


def cut_reason(text: str) -> str:
    """The text, cut to what a close frame can hold: 123 bytes of UTF-8, at a character boundary.

    Servers raise, or drop the connection, when a reason is longer. Lone surrogates become `?`.
    """
    encoded = text.encode("utf-8", "replace")
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def may_be_sent(code: int) -> bool:
    """Whether a close frame may hold this code (RFC 6455 §7.4)."""
    return (1000 <= code <= 1014 and code not in _NEVER_SENT) or 3000 <= code <= 4999


def check_close_code(code: int) -> None:
    """Refuse a code that must not stand in a close frame (RFC 6455 §7.4).

    Raises:
        ConfigurationError: It is not one of 1000 to 1014 (less 1004 to 1006) or 3000 to 4999.
    """
    if not may_be_sent(code):
        raise ConfigurationError(f"close code {code} may not be sent: use 1000, or 4000 to 4999 for your own")
