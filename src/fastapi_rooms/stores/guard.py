"""What the stores have in common: an operation has its time, and an outage is a 503 and two lines in the log."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fastapi_rooms.auth.unavailable import AuthenticationUnavailable
from fastapi_rooms.errors import ConfigurationError, RoomsError

logger = logging.getLogger("fastapi_rooms")

_T = TypeVar("_T")

CLOSING: Final = 1.0
"""Seconds for a goodbye to an engine that may be silent."""


class Guard:
    """Gives operations their time, and makes an `AuthenticationUnavailable` of whatever a driver raises.

    Attributes:
        timeout: Seconds for an operation.

    Args:
        store: Whose operations; its `str` is in the log.
        timeout: See there.

    Raises:
        ConfigurationError: The timeout cannot work.
    """

    def __init__(self, store: object, *, timeout: float) -> None:
        if not 0 < timeout < math.inf:
            name = type(store).__name__
            raise ConfigurationError(f"{name}(timeout={timeout!r}) must be more than 0, and finite")
        self.timeout = timeout
        self._store = store
        self._failed = False

    async def run(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """What the operation returns, within `timeout` seconds, connecting included.

        Raises:
            AuthenticationUnavailable: It took longer, or raised anything but a `RoomsError`.
        """
        try:
            async with asyncio.timeout(self.timeout):
                result = await operation()
        except RoomsError:
            raise
        except Exception as error:
            self._went_wrong(error)
            raise AuthenticationUnavailable("tickets are out of reach") from error
        self._went_well()
        return result

    def _went_wrong(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            what = f"{type(error).__name__}: {error}"
            logger.warning("%s is out of reach, tickets are refused with 503 meanwhile: %s", self._store, what)

    def _went_well(self) -> None:
        if self._failed:
            self._failed = False
            logger.warning("%s is back", self._store)
