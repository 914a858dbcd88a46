"""Where tickets wait to be used once: the port, and the store for one process."""

import heapq
import math
import time
from collections.abc import Callable
from typing import Protocol

from fastapi_rooms.auth.unavailable import TicketStoreFull
from fastapi_rooms.errors import ConfigurationError


class TicketStore(Protocol):
    """What `Tickets` keeps its tickets in. Only hashes of tickets ever reach it."""

    async def put(self, ticket_hash: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds, then forget it.

        Raises:
            TicketStoreFull: There is no room for it.
        """
        ...

    async def take(self, ticket_hash: str) -> bytes | None:
        """The value, which is gone afterwards; `None` where there is none, or its time is over.

        Atomic: of any number of concurrent calls, in any number of processes, one gets the value.
        """
        ...


class MemoryTicketStore:
    """Tickets in the memory of one process. With several workers use a broker's store."""

    def __init__(self, *, max_tickets: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty store.

        Args:
            max_tickets: Live tickets at a time. One more raises `TicketStoreFull`; expired ones do not count.
            clock: Seconds from any start.

        Raises:
            ConfigurationError: `max_tickets` is less than 1.
        """
        if max_tickets < 1:
            raise ConfigurationError(f"MemoryTicketStore(max_tickets={max_tickets!r}) must be at least 1")
        self._max_tickets = max_tickets
        self._clock = clock
        self._tickets: dict[str, tuple[float, bytes]] = {}
        self._deadlines: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._tickets)

    async def put(self, ticket_hash: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds; O(log n).

        Raises:
            TicketStoreFull: `max_tickets` live tickets are in the store.
        """
        now = self._clock()
        self._forget_expired(now)
        if len(self._tickets) >= self._max_tickets:
            raise TicketStoreFull("too many tickets are waiting to be used")
        self._tickets[ticket_hash] = (now + ttl, value)
        heapq.heappush(self._deadlines, (now + ttl, ticket_hash))
        if len(self._deadlines) > 2 * self._max_tickets:
            self._forget_deadlines_of_used_tickets()

    async def take(self, ticket_hash: str) -> bytes | None:
        """The value, removed; `None` where there is none, or its time is over. Atomic: nothing is awaited."""
        deadline, value = self._tickets.pop(ticket_hash, (-math.inf, b""))
        return value if self._clock() < deadline else None

    def _forget_expired(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, ticket_hash = heapq.heappop(self._deadlines)
            if self._tickets.get(ticket_hash, (None,))[0] == deadline:
                del self._tickets[ticket_hash]

    def _forget_deadlines_of_used_tickets(self) -> None:
        self._deadlines = [(deadline, name) for name, (deadline, _) in self._tickets.items()]
        heapq.heapify(self._deadlines)
