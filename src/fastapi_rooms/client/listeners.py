"""Callbacks, by the name of what they are called for."""

import logging
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from fastapi_rooms.errors import ConfigurationError

logger = logging.getLogger("fastapi_rooms")

Off = Callable[[], None]
"""Ends a callback; a second time it does nothing."""


class Listeners:
    """Called in the order in which they were added; one that raises is logged, and harms no other."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[..., object]]] = {}

    def add(self, name: str, callback: Callable[..., object]) -> Off:
        """Call this from now on.

        Raises:
            ConfigurationError: It is a coroutine function, which nobody would await.
        """
        if iscoroutinefunction(callback) or iscoroutinefunction(getattr(callback, "__call__", None)):  # noqa: B004 - its kind
            raise ConfigurationError(f"{callback!r} is async, and callbacks are not awaited: iterate instead")
        listeners = self._listeners.setdefault(name, [])
        listeners.append(callback)

        def off() -> None:
            if callback in listeners:
                listeners.remove(callback)

        return off

    def call(self, name: str, *details: Any) -> bool:
        """Call those of a name; whether there are any."""
        listeners = tuple(self._listeners.get(name, ()))
        for callback in listeners:
            try:
                callback(*details)
            except Exception:
                logger.exception("a callback for %r failed", name)
        return bool(listeners)
