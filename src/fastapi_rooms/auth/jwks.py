"""A JWKS document that the application fetches, kept for a while."""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from fastapi_rooms.auth.unavailable import KeysUnavailable

Document = Mapping[str, Any]
Fetch = Callable[[], Document | Awaitable[Document]]
ParsedT = TypeVar("ParsedT")

_logger: Final = logging.getLogger("fastapi_rooms.auth")


class DocumentCache(Generic[ParsedT]):
    """What a fetched document says: refetched when old or of no help, never more often than allowed.

    One fetch runs at a time. A fetch that fails, or outlives its timeout, is logged and leaves the last good
    document in place, however old: an outage of the issuer must not sign everybody out.
    """

    def __init__(
        self,
        fetch: Fetch,
        parse: Callable[[Document], ParsedT],
        *,
        refetch_interval: float,
        max_age: float | None,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the cache up; nothing is fetched yet.

        Args:
            fetch: Returns the document. A plain function runs in a thread, so it may block.
            parse: Makes of it what is kept. May raise: the fetch then counts as failed.
            refetch_interval: Least seconds between two fetches, failed ones included.
            max_age: Seconds after which the document is fetched again. `None`: only when it did not help.
            timeout: Seconds that one fetch may take.
            clock: Seconds from any start.
        """
        self._fetch = fetch
        self._parse = parse
        self._refetch_interval = refetch_interval
        self._max_age = max_age
        self._timeout = timeout
        self._clock = clock
        self._parsed: ParsedT | None = None
        self._fetched_at = 0.0
        self._attempted_at: float | None = None
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def current(self) -> ParsedT:
        """What the document says. Fetched first where there is none, or an old one that nobody is replacing.

        Raises:
            KeysUnavailable: No fetch has succeeded yet.
        """
        parsed = self._parsed
        if parsed is not None and (not self._old() or self._lock.locked()):
            return parsed
        return await self.newer_than(parsed)

    async def newer_than(self, seen: ParsedT | None) -> ParsedT:
        """A newer version than `seen`, if a fetch is allowed by now and succeeds; else the last one.

        Raises:
            KeysUnavailable: No fetch has succeeded yet.
        """
        async with self._lock_of_this_loop():
            if self._parsed is seen and self._may_fetch():
                await self._refetch()
            if self._parsed is None:
                raise KeysUnavailable("tokens cannot be verified just now")
            return self._parsed

    def _old(self) -> bool:
        return self._max_age is not None and self._clock() - self._fetched_at >= self._max_age

    def _may_fetch(self) -> bool:
        return self._attempted_at is None or self._clock() - self._attempted_at >= self._refetch_interval

    def _lock_of_this_loop(self) -> asyncio.Lock:
        # One `auth` serves several loops in Starlette's TestClient; an asyncio lock serves one.
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    async def _refetch(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                document = await self._call()
            self._parsed = self._parse(document)
            self._fetched_at = self._clock()
        except Exception:
            # The application's function may raise anything; callers see KeysUnavailable, or the last keys.
            _logger.warning("fetching the JWKS document failed", exc_info=True)
        self._attempted_at = self._clock()

    async def _call(self) -> Document:
        if _is_async(self._fetch):
            return await cast("Awaitable[Document]", self._fetch())
        result = await asyncio.to_thread(self._fetch)
        return await result if inspect.isawaitable(result) else result


def _is_async(function: Fetch) -> bool:
    """Whether calling it makes a coroutine: an `async def`, or an object whose `__call__` is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
