"""Clients that are cut off, and come back as they do by default."""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal, Protocol

from benchmarks.contestants import Skipped
from benchmarks.machine import HOST


class Client(Protocol):
    """One client.

    Attributes:
        heard: The numbers that came, in order.
    """

    heard: list[int]

    async def enter(self) -> None:
        """Be there; returns when it is."""
        ...

    async def leave(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A server with its client.

    Attributes:
        title: As in tables.
        app: In `benchmarks.apps.recovery`.
        make: A client, from the port that it connects to.
        lossless: Whether it promises that everything arrives.
        needs: Modules that must be there.
    """

    title: str
    app: str
    make: Callable[[int], Client]
    lossless: bool = False
    needs: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise `Skipped` if it cannot take part."""
        absent = [module for module in ("socketio", *self.needs) if importlib.util.find_spec(module) is None]
        if absent:
            raise Skipped(f"{self.title}: not installed: {', '.join(absent)}; the extra `bench` has it")


class OfRooms:
    """Ours."""

    def __init__(self, port: int, *, transport: Literal["websocket", "sse"]) -> None:
        from fastapi_rooms.client import RoomsClient  # noqa: PLC0415 - it needs an extra

        self.heard: list[int] = []
        self._client = RoomsClient(f"http://{HOST}:{port}/live", transport=transport)
        self._client.on_error(lambda _: None)  # cuts are no news

    async def enter(self) -> None:
        await self._client.__aenter__()
        room = self._client.join("general")
        room.on("message", lambda message: self.heard.append(message.data))
        await room.joined()

    async def leave(self) -> None:
        await self._client.close()


class OfSocketIO:
    """python-socketio's. It reconnects by itself, too, and for ever."""

    def __init__(self, port: int) -> None:
        self.heard: list[int] = []
        self._url = f"http://{HOST}:{port}"
        logger = logging.getLogger("cut off")
        logger.setLevel(logging.CRITICAL)
        self._client: Any = import_module("socketio").AsyncClient(
            handle_sigint=False, logger=logger, engineio_logger=logger
        )
        self._client.on("message", self.heard.append)

    async def enter(self) -> None:
        await self._client.connect(self._url, transports=["websocket"], wait=True)

    async def leave(self) -> None:
        await self._client.shutdown()


CONTESTANTS = (
    Contestant(title="hub, WebSocket", app="rooms", make=partial(OfRooms, transport="websocket"), lossless=True),
    Contestant(title="hub, event stream", app="rooms", make=partial(OfRooms, transport="sse"), lossless=True),
    Contestant(title="python-socketio, WebSocket", app="emitting", make=OfSocketIO, needs=("aiohttp",)),
)
