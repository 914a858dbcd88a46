"""Hubs for tests: one that notes what is reported, one whose command fails, and a handler that notes."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi_rooms import Connection
from fastapi_rooms.hub import Hub

INTERNAL = {"code": "internal", "detail": "this did not work; the server's log says why"}


class Noting(Hub[Any]):
    """Notes what is reported; `on_error` may fail itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.errors: list[Exception] = []
        self.fails = False

    async def on_error(self, connection: Connection[Any], error: Exception) -> None:
        self.errors.append(error)
        if self.fails:
            raise ZeroDivisionError


def raising(error: BaseException, **options: Any) -> Noting:
    """A hub whose command `do` raises this."""
    hub = Noting(**options)

    @hub.on("do")
    async def do() -> None:
        raise error

    return hub


def noting(done: list[Any]) -> Callable[[Any], Awaitable[None]]:
    """A handler that notes its data."""

    async def do(data: Any) -> None:
        done.append(data)

    return do
