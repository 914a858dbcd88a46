"""What this process told: what has not come back from the broker yet, and what was delivered without."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

MOST: Final = 10_000
"""Messages that the engine has taken, and that may come back yet; one more counts as one that does."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Their bytes together."""

_REMEMBERED: Final = 3 * MOST
"""Messages that were delivered here without the broker, whose echo may still come."""

Here = Callable[[], Awaitable[None]]
"""Delivers a message in this process."""


class _Awaited:
    __slots__ = ("here", "size", "taken")

    def __init__(self, here: Here) -> None:
        self.here = here
        self.size = 0
        self.taken = False


class Echoes:
    """Messages that were told where this process hears them, by number.

    Each is delivered once: when it comes back, or, where that cannot be, without. The engine may take a message,
    and the connection on which it would come back may be dead: so one that was taken is still awaited, until two
    probes have come back since. By then it has come, or nobody here hears it any more.
    """

    def __init__(self) -> None:
        self._awaited: dict[int, _Awaited] = {}
        self._before_probe: dict[int, _Awaited] = {}
        self._taken = 0
        self._bytes = 0
        self._delivered: OrderedDict[int, None] = OrderedDict()

    def expect(self, number: int, here: Here) -> None:
        """It is about to be told."""
        self._awaited[number] = _Awaited(here)

    def taken(self, number: int, size: int) -> None:
        """The engine has taken it, with so many bytes."""
        awaited = self._awaited.get(number) or self._before_probe.get(number)
        if awaited is None:
            return
        if self._taken >= MOST or self._bytes + size > MOST_BYTES:
            self.forget(number)
            return
        awaited.taken, awaited.size = True, size
        self._taken += 1
        self._bytes += size

    def came(self, number: int) -> bool:
        """It has come back; whether it is to be delivered."""
        if number in self._delivered:
            del self._delivered[number]
            return False
        self.forget(number)
        return True

    def deliver(self, number: int) -> None:
        """It is delivered without the broker: its echo, should one come, is dropped."""
        self.forget(number)
        self._delivered[number] = None
        if len(self._delivered) > _REMEMBERED:
            self._delivered.popitem(last=False)

    def forget(self, number: int) -> None:
        """It does not matter any more; harmless where it is not awaited."""
        awaited = self._awaited.pop(number, None) or self._before_probe.pop(number, None)
        if awaited is not None and awaited.taken:
            self._taken -= 1
            self._bytes -= awaited.size

    def awaits(self, number: int) -> bool:
        """Whether it is neither back nor delivered."""
        return number in self._awaited or number in self._before_probe

    def was_delivered(self, number: int) -> bool:
        """Whether it was delivered without the broker, and has not come back."""
        return number in self._delivered

    def oldest(self) -> tuple[int, Here] | None:
        """The one that has been awaited for longest."""
        for awaited in (self._before_probe, self._awaited):
            for number, one in awaited.items():
                return number, one.here
        return None

    def probed(self) -> None:
        """A probe has come back: what the engine had taken before the last one does not come any more."""
        for number in [number for number, one in self._before_probe.items() if one.taken]:
            self.forget(number)
        self._before_probe.update(self._awaited)
        self._awaited = {}
