"""What Redis itself has counted, at its door and behind it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import Skipped

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CALLS = "cmdstat_"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much Redis has done, since it began or between two looks.

    Attributes:
        requests: Times that it read from a socket on which something had come: a request that fits into 16 KiB
            is one, however many commands are in it.
        calls: How often each command ran, those of scripts included.
    """

    requests: int
    calls: Mapping[str, int]

    def since(self, before: "Counts") -> "Counts":
        """What was counted between the two, this look itself left out."""
        calls = {name: number - before.calls.get(name, 0) for name, number in self.calls.items()}
        return Counts(
            requests=self.requests - before.requests - 1,
            calls={name: number for name, number in calls.items() if number and name != "info"},
        )


def counts_of(info: Mapping[str, Any]) -> Counts:
    """Read an answer to `INFO all`."""
    calls = {name.removeprefix(_CALLS): int(one["calls"]) for name, one in info.items() if name.startswith(_CALLS)}
    return Counts(requests=int(info["total_reads_processed"]), calls=calls)


class Door:
    """Looks at the counts; the connection is its own."""

    def __init__(self, client: "Redis") -> None:
        self._client = client

    async def look(self) -> Counts:
        return counts_of(await self._client.info("all"))


@asynccontextmanager
async def redis_client(url: str) -> AsyncGenerator["Redis"]:
    """redis-py as it is.

    Raises:
        Skipped: It is not installed.
    """
    if find_spec("redis") is None:
        raise Skipped("redis-py is not installed; the extra `bench` has it")
    async with import_module("redis.asyncio").Redis.from_url(url) as client:
        yield client


@asynccontextmanager
async def door(url: str) -> AsyncGenerator[Door]:
    """Connected already, so that connecting is not counted."""
    async with redis_client(url) as client:
        looking = Door(client)
        await looking.look()
        yield looking
