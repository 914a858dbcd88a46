"""Recovery: what arrives of what is said while connections are cut, ours and python-socketio's.

AnyCable has asked so of servers.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from benchmarks.contestants import Skipped
from benchmarks.engines import free_port
from benchmarks.gate import Weather, gates, storm
from benchmarks.machine import HOST, ROOT, may_open_many_files
from benchmarks.recovery_clients import CONTESTANTS, Client, Contestant
from benchmarks.report import Bar, table

NAME = "recovery"

WEATHER = Weather(calm=(2.0, 10.0), away=(0.2, 2.0))
A_SECOND = 20
SEED = 1
STARTS_WITHIN = 30.0

BACK_WITHIN = 60.0
"""Seconds for everyone to be back in the end; until then something is said now and then that does not count."""

STILL = -1
"""What that is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        clients: Of each contestant.
        seconds: For how long they are cut off again and again.
    """

    clients: int = 100
    seconds: float = 20.0


@dataclass
class Outcome:
    """What the clients of one contestant have heard.

    Attributes:
        title: Whose.
        lossless: Whether it promises that everything arrives.
        clients: How many there were.
        said: How many messages.
        cuts: How often one of them was cut off.
        delivered: The messages that each has, whatever the order.
        twice: Messages that came again.
        misplaced: Messages that came before an earlier one.
        back: How many were back in the end.
    """

    title: str
    lossless: bool
    clients: int = 0
    said: int = 0
    cuts: int = 0
    delivered: list[int] = field(default_factory=list)
    twice: int = 0
    misplaced: int = 0
    back: int = 0

    def add(self, client: Client) -> None:
        heard = [number for number in client.heard if number != STILL]
        self.clients += 1
        self.delivered.append(len(set(heard)))
        self.twice += len(heard) - len(set(heard))
        self.misplaced += sum(after < before for before, after in pairwise(heard))
        self.back += STILL in client.heard

    @property
    def share(self) -> float:
        return sum(self.delivered) / (self.said * self.clients)

    def row(self) -> tuple[str, ...]:
        worst = min(self.delivered) / self.said
        faults = (str(self.twice), str(self.misplaced), f"{self.back}/{self.clients}")
        return self.title, str(self.cuts), f"{self.share:.2%}", f"{worst:.2%}", *faults


@dataclass
class Recovered:
    """What came out of it."""

    plan: Plan
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def bars(self) -> list[Bar]:
        promised = [outcome for outcome in self.outcomes if outcome.lossless]
        return [
            bar
            for outcome in promised
            for bar in (
                Bar(name=f"delivered, {outcome.title}", values=[100 * outcome.share], least=100.0, unit="%"),
                Bar(
                    name=f"delivered twice or out of order, {outcome.title}",
                    values=[float(outcome.twice + outcome.misplaced)],
                    most=0.0,
                ),
            )
        ]

    def record(self) -> dict[str, Any]:
        return {
            "clients": self.plan.clients,
            "seconds": self.plan.seconds,
            "outcomes": {outcome.title: {**vars(outcome), "share": outcome.share} for outcome in self.outcomes},
            "skipped": self.skipped,
        }

    def text(self) -> str:
        plan = self.plan
        title = f"Recovery: {plan.clients} clients, {A_SECOND} messages a second, cuts for {plan.seconds:g} s"
        head = ("", "cuts", "delivered", "the worst client", "twice", "out of order", "back in the end")
        skipped = "".join(f"\n{why}" for why in self.skipped)
        return table(title, head, (outcome.row() for outcome in self.outcomes)) + skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cut-for", type=float, metavar="S", help="seconds of cuts in recovery; 20, --full: 120")


def plan(arguments: argparse.Namespace) -> Plan:
    return Plan(seconds=arguments.cut_for or (120.0 if arguments.full else 20.0))


def run(plan: Plan) -> Recovered:
    may_open_many_files()
    result = Recovered(plan)
    for contestant in CONTESTANTS:
        print(f"  {contestant.title}", file=sys.stderr, flush=True)
        try:
            contestant.require()
            result.outcomes.append(asyncio.run(_measure(contestant, plan)))
        except Skipped as error:
            result.skipped.append(str(error))
    return result


async def _measure(contestant: Contestant, plan: Plan) -> Outcome:
    outcome = Outcome(contestant.title, contestant.lossless, said=int(plan.seconds * A_SECOND))
    async with (
        _serving(contestant.app) as port,
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=STARTS_WITHIN) as speaker,
        gates(plan.clients, [port]) as theirs,
    ):
        clients = [contestant.make(gate.port) for gate in theirs]
        try:
            for client in clients:
                await client.enter()
            async with storm(theirs, WEATHER, seed=SEED):
                await _say(speaker, range(outcome.said))
            await _until_back(speaker, clients)
        finally:
            for client in clients:
                await client.leave()
        outcome.cuts = sum(gate.cuts for gate in theirs)
    for client in clients:
        outcome.add(client)
    return outcome


async def _say(speaker: httpx.AsyncClient, numbers: range) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    for number in numbers:
        (await speaker.post(f"/say/{number}")).raise_for_status()
        due += 1 / A_SECOND
        await asyncio.sleep(due - loop.time())


async def _until_back(speaker: httpx.AsyncClient, clients: list[Client]) -> None:
    """Speak until everyone hears it; who does not come back at all is counted in the end."""
    deadline = time.monotonic() + BACK_WITHIN
    while any(STILL not in client.heard for client in clients) and time.monotonic() < deadline:
        (await speaker.post(f"/say/{STILL}")).raise_for_status()
        await asyncio.sleep(1.0)


@asynccontextmanager
async def _serving(app: str) -> AsyncIterator[int]:
    port = free_port()
    command = ("-m", "uvicorn", f"benchmarks.apps.recovery:{app}", "--host", HOST, "--port", str(port))
    process = await asyncio.create_subprocess_exec(sys.executable, *command, "--log-level", "error", cwd=ROOT)
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not await _listens(port):
            if process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
