"""From a publish to a delivery in another process: ours beside bare drivers, and beside peers on one Redis."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.brokers_process import Pair, Peer, Received, on_core, processes
from benchmarks.brokers_result import Brokers
from benchmarks.contestants import Skipped
from benchmarks.engines import ENGINES
from benchmarks.machine import cores

NAME = "brokers"
OURS = Peer(title="fastapi-rooms", app="rooms")
BARE = {
    "redis": Peer(title="redis-py", app="bare_redis", needs=("redis",)),
    "nats": Peer(title="nats-py", app="bare_nats", needs=("nats",)),
    "postgres": Peer(title="asyncpg", app="bare_asyncpg", needs=("asyncpg",)),
}
PEERS = {
    "socketio": Peer(title="python-socketio", app="socketio_redis", needs=("socketio", "redis")),
    "litestar": Peer(title="Litestar channels", app="litestar_redis", needs=("litestar", "redis")),
    "broadcaster": Peer(title="broadcaster", app="broadcaster_redis", needs=("broadcaster", "redis")),
    "channels": Peer(title="channels_redis", app="channels_layer", needs=("channels_redis", "channels")),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is run.

    Attributes:
        pairs: Of ours and the bare driver, by turns, on each engine.
        messages: In each run of a pair.
        rate: Messages a second in these.
        rounds: In which ours and each peer have a turn.
        seconds: Of publishing in each turn.
        callers: Who publish at the same time; each awaits one message before it publishes the next.
        rooms: Numbers of rooms.
    """

    pairs: int = 7
    messages: int = 200
    rate: float = 200.0
    rounds: int = 3
    seconds: float = 0.8
    callers: int = 32
    rooms: tuple[int, ...] = (1, 1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def plan(arguments: argparse.Namespace) -> Plan:
    if arguments.full:
        return Plan(pairs=arguments.pairs or 30, messages=1000, rounds=arguments.pairs or 15, seconds=2.0)
    return Plan(pairs=arguments.pairs or 7, rounds=arguments.pairs or 3)


def run(plan: Plan) -> Brokers:
    result = Brokers()
    for engine in ENGINES:
        print(f"  latency, {engine}", file=sys.stderr, flush=True)
        try:
            _latency(engine, plan, result)
        except (Skipped, RuntimeError) as error:
            result.skip(engine, error)
    for rooms in plan.rooms:
        print(f"  throughput, rooms: {rooms:,}", file=sys.stderr, flush=True)
        try:
            _throughput(rooms, plan, result)
        except (Skipped, RuntimeError) as error:
            result.skip(f"rooms: {rooms:,}", error)
    return result


def _latency(engine: str, plan: Plan, result: Brokers) -> None:
    """Both are up, and have their turns."""
    with ExitStack() as stack:
        url = _start(stack, engine)
        ours = stack.enter_context(processes(OURS, url, rooms=1))
        bare = stack.enter_context(processes(BARE[engine], url, rooms=1))
        contestants = [(OURS.title, ours), (BARE[engine].title, bare)]
        for number in range(plan.pairs):
            for title, pair in contestants if number % 2 == 0 else reversed(contestants):
                result.add_latency(engine, title, pair.paced(count=plan.messages, rate=plan.rate))


def _start(stack: ExitStack, engine: str) -> str:
    """Beside those who publish: they wait for it in any case."""
    with on_core(cores()[1]):
        return stack.enter_context(ENGINES[engine]())


def _throughput(rooms: int, plan: Plan, result: Brokers) -> None:
    """All are up on one Redis, and have their turns."""
    with ExitStack() as stack:
        url = _start(stack, "redis")
        ours = stack.enter_context(processes(OURS, url, rooms=rooms))
        peers: dict[str, Pair] = {}
        for peer in PEERS.values():
            try:
                peers[peer.title] = stack.enter_context(processes(peer, url, rooms=rooms))
            except (Skipped, RuntimeError) as error:
                result.skip(f"{peer.title}, rooms: {rooms:,}", error)
        for number in range(plan.rounds):
            for before, after in _twos(list(peers) if number % 2 == 0 else list(reversed(peers))):
                runs = {title: _closed(peers[title], plan) for title in before}
                mine = _closed(ours, plan)
                runs |= {title: _closed(peers[title], plan) for title in after}
                result.add_throughput(rooms, mine, runs)


def _closed(pair: Pair, plan: Plan) -> Received:
    return pair.closed(seconds=plan.seconds, callers=plan.callers)


def _twos(titles: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """One who comes before ours, and one who comes after it, if there is one."""
    for first in range(0, len(titles), 2):
        yield titles[first : first + 1], titles[first + 1 : first + 2]
