"""Presence: whether a join costs the same where few and where many are present, in time and in bytes."""

import argparse
import asyncio
import sys
from dataclasses import dataclass, field

from benchmarks import presence_bytes, presence_joins
from benchmarks.presence_result import Kind, Presences
from fastapi_rooms import Presence

NAME = "presence"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        joins: What they cost.
        bytes: What they publish.
    """

    joins: presence_joins.Plan = field(default_factory=presence_joins.Plan)
    bytes: presence_bytes.Plan = field(default_factory=presence_bytes.Plan)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    pairs = arguments.pairs or (50 if arguments.full else 15)
    return Plan(joins=presence_joins.Plan(pairs=pairs), bytes=presence_bytes.Plan(pairs=pairs))


def run(plan: Plan) -> Presences:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Presences:
    result = Presences()
    kinds = (
        ("presence", Presence(), True),
        ("presence, all named", Presence(listed=None), True),
        ("no presence", None, False),
    )
    for title, presence, bounded in kinds:
        print(f"  joins, {title}", file=sys.stderr, flush=True)
        kind = Kind(title, bounded=bounded)
        await presence_joins.measure(plan.joins, presence, kind)
        result.kinds.append(kind)
    print("  bytes", file=sys.stderr, flush=True)
    await presence_bytes.measure(plan.bytes, result)
    return result
