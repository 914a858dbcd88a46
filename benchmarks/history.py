"""Rooms with a history on Redis: what a broadcast costs beside a bare XADD, and a thousand who come back."""

import argparse
import asyncio
import sys
from dataclasses import dataclass, field

from benchmarks import history_cost, history_resume
from benchmarks.brokers_process import on_core
from benchmarks.contestants import Skipped
from benchmarks.engines import redis
from benchmarks.history_result import Cost, Histories, Resume
from benchmarks.machine import cores

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]  # uvicorn goes on without it, too

NAME = "history"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        cost: Of broadcasts.
        resume: Of clients that come back.
    """

    cost: history_cost.Plan = field(default_factory=history_cost.Plan)
    resume: history_resume.Plan = field(default_factory=history_resume.Plan)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    pairs: int | None = arguments.pairs
    if arguments.full:
        return Plan(
            cost=history_cost.Plan(rounds=pairs or 50, seconds=1.0), resume=history_resume.Plan(runs=pairs or 20)
        )
    return Plan(cost=history_cost.Plan(rounds=pairs or 15), resume=history_resume.Plan(runs=pairs or 5))


def run(plan: Plan) -> Histories:
    clients = plan.resume.rooms * plan.resume.clients
    result = Histories(Cost(), Resume(clients=clients, missed=plan.resume.missed))
    loop = None if uvloop is None else uvloop.new_event_loop
    try:
        # Publisher and engine on one core, as in the benchmark of brokers: who publishes waits for it in any case.
        with on_core(cores()[1]), redis() as url, asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_measure(url, plan, result))
    except Skipped as error:
        result.skipped.append((NAME, str(error)))
    return result


async def _measure(url: str, plan: Plan, result: Histories) -> None:
    print("  broadcasts", file=sys.stderr, flush=True)
    await history_cost.measure(url, plan.cost, result.cost)
    print("  clients that come back", file=sys.stderr, flush=True)
    await history_resume.measure(url, plan.resume, result.resume)
