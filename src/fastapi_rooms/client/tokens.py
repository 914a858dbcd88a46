"""When a token wants to be replaced. Pure; nothing is verified here: that is the hub's."""

import base64
import json
from math import isfinite
from typing import Final

_SHARE: Final = 0.8
"""Of a token's life, after which there should be another."""

_SHORTEST: Final = 10.0
"""Seconds that a token is taken to live at least: our clock may be wrong."""

_LONGEST: Final = 1e9


def life_of(token: str | None, *, now: float) -> float | None:
    """Seconds that a JWT has left, by our clock or by its own, the shorter; `None`: nobody knows.

    Args:
        token: Any text.
        now: Seconds since 1970.
    """
    try:
        body = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        expires, issued = float(claims["exp"]), float(claims.get("iat", now))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    left = min(expires - now, expires - issued)
    return max(_SHORTEST, left) if isfinite(left) else None


class Renewal:
    """When the next token is due.

    Attributes:
        due: The time, on the clock passed in; `None`: never.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._life: float | None = None

    def begin(self, life: float | None, *, now: float) -> None:
        """A token is taken that lives for so many seconds; `None`: nobody knows, and none is due."""
        self._life = life if life is not None and life > 1.0 else None
        self.due = None if self._life is None else now + min(self._life * _SHARE, _LONGEST)

    def take(self) -> None:
        """It is being seen to."""
        self.due = None

    def fail(self, *, now: float) -> None:
        """It did not work: again at 80 % of what is left."""
        self.begin(None if self._life is None else self._life * (1 - _SHARE), now=now)
