"""A proxy at an engine's door that counts how often the engine sends each message to each connection."""

import asyncio
import re
from collections import Counter, defaultdict
from typing import Final

from .proxy import Proxy

MARKER: Final = re.compile(rb'"marker":"([^"]*)"')
"""Names a message, wherever its bytes are: no engine here changes them."""

_LONGEST: Final = 64
"""Bytes of a marker that may have come in part."""


def markers(data: bytes) -> list[str]:
    """Those of all messages in it."""
    return [marker.decode() for marker in MARKER.findall(data)]


class CountingProxy(Proxy):
    """Between the workers and the engine.

    Attributes:
        sent: How often the engine has sent each message, by the port from which a worker is connected.
    """

    def __init__(self, engine_port: int) -> None:
        super().__init__(engine_port)
        self.sent: dict[int, Counter[str]] = defaultdict(Counter)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        if direction == "to_broker":
            _, port = writer.get_extra_info("peername")
            reader = _Counted(reader, self.sent[port])
        await super()._pass(reader, writer, direction)


class _Counted(asyncio.StreamReader):
    """Counts the messages in what is read."""

    def __init__(self, reader: asyncio.StreamReader, counts: Counter[str]) -> None:
        super().__init__()
        self._reader = reader
        self._counts = counts
        self._rest = b""

    async def read(self, n: int = -1) -> bytes:
        data = await self._reader.read(n)
        seen = self._rest + data
        found = list(MARKER.finditer(seen))
        self._counts.update(one[1].decode() for one in found)
        self._rest = seen[max(found[-1].end() if found else 0, len(seen) - _LONGEST) :]
        return data
