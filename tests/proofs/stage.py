"""Clients in processes of their own, in Python and in JavaScript, that are told what to do."""

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from js.javascript import node, sockets

from .servers import ROOT

_HERE = Path(__file__).parent

_LONGEST_LINE = 1 << 28

_ENDS_WITHIN = 60.0


class RefusedError(Exception):
    """What an order ended with.

    Attributes:
        told: Code, detail and field.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = {name: value for name, value in told.items() if value is not None}
        super().__init__(str(self.told))


@dataclass(frozen=True)
class Kind:
    """A client in one language, on one way to the hub."""

    language: str
    transport: str

    def __str__(self) -> str:
        return f"{self.language} {self.transport}"


LANGUAGES = ("python", "javascript")
KINDS = [Kind(language, transport) for language in LANGUAGES for transport in ("websocket", "sse")]


class Cast:
    """The clients of one process.

    An order is the name of a method of the actors there, with its parameters; `order` returns what that returns.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def order(self, actor: str, what: str, **details: Any) -> Any:
        """Tell one of them, whom the first order makes.

        Raises:
            RefusedError: That did not work.
        """
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        told = {"id": number, "actor": actor, "order": what, **details}
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        await self._process.stdin.drain()
        return await answer

    async def listen(self) -> None:
        """Take answers, until the process has ended."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            answer = self._waiting.pop(told["id"])
            if answer.done():
                continue
            if "error" in told:
                answer.set_exception(RefusedError(told["error"]))
            else:
                answer.set_result(told["value"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(RuntimeError("the process of this actor has ended"))


class Actor:
    """One client.

    Attributes:
        name: Of its own, among all of its process.
        kind: What it is.
    """

    def __init__(self, cast: Cast, name: str, kind: Kind) -> None:
        self.name = name
        self.kind = kind
        self._cast = cast

    async def order(self, what: str, **details: Any) -> Any:
        """See `Cast`."""
        return await self._cast.order(self.name, what, **details)


@asynccontextmanager
async def cast(language: str) -> AsyncIterator[Cast]:
    """A process for clients in this language."""
    process = await asyncio.create_subprocess_exec(
        *_command(language), cwd=ROOT, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
    )
    made = Cast(process)
    listening = asyncio.create_task(made.listen())
    try:
        yield made
    finally:
        assert process.stdin is not None
        process.stdin.close()
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({ended}, timeout=_ENDS_WITHIN)
        if not ended.done():
            process.kill()
        await ended
        await listening
    assert process.returncode == 0, f"{language} ended with {process.returncode}"


def _command(language: str) -> Sequence[str]:
    if language == "python":
        return (sys.executable, "-m", "tests.proofs.actors")
    path = node()
    return (path, "--no-warnings", *sockets(path), str(_HERE / "actors.mjs"))
