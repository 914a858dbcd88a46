"""Token buckets: how fast one client may send. Pure: the clock is passed in."""

from fastapi_rooms.options import RateLimit


class TokenBucket:
    """`burst` tokens at once, refilled at `rate` tokens per second.

    Over any span of `t` seconds it lets at most `burst + rate * t` tokens pass.
    """

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, amount: float, *, now: float) -> bool:
        """Take `amount` tokens; False, and nothing taken, where there are too few."""
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._updated = max(self._updated, now)
        if amount > self._tokens:
            return False
        self._tokens -= amount
        return True


class RateGate:
    """One client's buckets: by message and by byte."""

    __slots__ = ("_bytes", "_messages")

    def __init__(self, limit: RateLimit, *, now: float) -> None:
        self._messages: TokenBucket | None = None
        self._bytes: TokenBucket | None = None
        if limit.rate is not None:
            self._messages = TokenBucket(rate=limit.rate, burst=limit.burst, now=now)
        if limit.bytes_rate is not None:
            burst = max(limit.bytes_rate, 65_536.0) if limit.bytes_burst is None else limit.bytes_burst
            self._bytes = TokenBucket(rate=limit.bytes_rate, burst=burst, now=now)

    def admit(self, size: int, *, now: float) -> bool:
        """Whether one message of `size` bytes may pass now."""
        return (self._messages is None or self._messages.take(1, now=now)) and (
            self._bytes is None or self._bytes.take(size, now=now)
        )
