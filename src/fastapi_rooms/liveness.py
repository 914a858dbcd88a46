"""When a quiet client is asked for life, and when it is given up. Pure: the clock is passed in."""

from enum import Enum

from fastapi_rooms.options import Heartbeat


class Verdict(Enum):
    """What to do about a client now."""

    WAIT = "wait"
    BEAT = "beat"
    """Send the heartbeat message."""
    DEAD = "dead"
    """It did not answer the heartbeat in time."""
    IDLE = "idle"
    """It sent nothing for `idle_timeout`."""


class Liveness:
    """The idle timeout and the heartbeat of one connection.

    A message from the client counts for both, a pong for the heartbeat alone.
    """

    __slots__ = ("_beat_at", "_heard", "_heartbeat", "_idle_timeout", "_seen")

    def __init__(self, *, idle_timeout: float | None, heartbeat: Heartbeat | None, now: float) -> None:
        self._idle_timeout = idle_timeout
        self._heartbeat = heartbeat
        self._seen = now
        self._heard = now
        self._beat_at: float | None = None

    def saw(self, now: float) -> None:
        """The client sent a message."""
        self._seen = now
        self.heard(now)

    def heard(self, now: float) -> None:
        """The client answered a ping."""
        self._heard = now
        self._beat_at = None

    def judge(self, now: float) -> Verdict:
        """What is due. After `BEAT` the clock for the answer runs."""
        if self._idle_timeout is not None and now >= self._seen + self._idle_timeout:
            return Verdict.IDLE
        if self._heartbeat is None:
            return Verdict.WAIT
        if self._beat_at is not None:
            return Verdict.DEAD if now >= self._beat_at + self._heartbeat.timeout else Verdict.WAIT
        if now >= self._heard + self._heartbeat.interval:
            self._beat_at = now
            return Verdict.BEAT
        return Verdict.WAIT

    def due(self, now: float) -> float | None:
        """When `judge` should be asked next, on the clock passed in; `None`: never."""
        times: list[float] = []
        if self._idle_timeout is not None:
            times.append(self._seen + self._idle_timeout)
        if self._heartbeat is not None:
            interval = self._heartbeat.interval
            if self._beat_at is None:
                times.append(self._heard + interval)
            else:  # an answer may come long before the deadline, and then the next beat is due
                times.append(min(self._beat_at + self._heartbeat.timeout, now + interval))
        return min(times, default=None)
