"""What a message costs in the send queue, under each policy; and what one delivery costs without a server."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

from benchmarks import noise
from benchmarks.noise import Noisy, Operation, Plan, measure
from benchmarks.payload import message
from benchmarks.silent import SilentClient, SilentFrames, StalledClient
from fastapi_rooms import Connection, ConnectionManager, Overflow, QueueLimits
from fastapi_rooms.fanout import fan_out
from fastapi_rooms.payload import Payload
from fastapi_rooms.send_queue import SendQueue

NAME = "send_queue"
add_arguments, plan = noise.add_arguments, noise.plan

WAITING = 64
RECIPIENTS = 1000
_OFFER = "queue.offer(payload, overflow=overflow, now=0.0, key=key)"
_DELIVER = "fan_out(connections, payload, overflow=overflow)"


def run(plan: Plan) -> Noisy:
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Noisy:
    payload = Payload.of(message(128))
    async with AsyncExitStack() as stack:
        reading = await _connections(stack, ConnectionManager(), [SilentClient() for _ in range(RECIPIENTS)])
        shared = await _connections(stack, ConnectionManager(), [SilentFrames() for _ in range(RECIPIENTS)])
        stalled = await _stalled(stack, payload)
        deliveries = [*_deliveries(payload, reading, stalled), *_shared_frames(payload, shared)]
        operations = [*_queue_operations(payload), *deliveries]
        return measure("Send queue", operations, plan.repeats)


def _queue_operations(payload: Payload) -> list[Operation]:
    operations = [
        Operation(
            name="begin, release: nothing waits",
            statement="queue.begin(payload, now=0.0); queue.release()",
            names={"queue": SendQueue(QueueLimits()), "payload": payload},
        )
    ]
    for overflow in Overflow:
        keyed = overflow is Overflow.CONFLATE
        names = {"payload": payload, "overflow": overflow, "key": None}
        operations.append(
            Operation(
                name=f"{overflow.name}: offer, take, release; {WAITING} wait",
                statement=f"{_OFFER}; queue.take(); queue.release()",
                names={**names, "queue": _queue(payload, messages=1024)},
            )
        )
        full = _queue(payload, messages=WAITING, key="seat 1" if keyed else None)
        operations.append(
            Operation(
                name=f"{overflow.name}: offer to a full queue{', same key' if keyed else ''}",
                statement=_OFFER,
                names={**names, "queue": full, "key": "seat 1" if keyed else None},
            )
        )
    return operations


def _queue(payload: Payload, *, messages: int, key: str | None = None) -> SendQueue:
    """A queue in which `WAITING` messages wait, one of them under the key."""
    queue = SendQueue(QueueLimits(messages=messages))
    for number in range(WAITING):
        overflow = Overflow.CLOSE if key is None else Overflow.CONFLATE
        queue.offer(payload, overflow=overflow, now=0.0, key=key if number == WAITING // 2 else None)
    return queue


def _deliveries(
    payload: Payload, reading: list[Connection], stalled: dict[Overflow, list[Connection]]
) -> list[Operation]:
    names = {"fan_out": fan_out, "payload": payload}
    return [
        Operation(
            name=f"deliver to one of {RECIPIENTS:,}, nothing waits",
            statement=_DELIVER,
            names={**names, "connections": reading, "overflow": Overflow.CLOSE},
            per=RECIPIENTS,
        ),
        *(
            Operation(
                name=f"deliver to one that is stalled and full, {overflow.name}",
                statement=_DELIVER,
                names={**names, "connections": connections, "overflow": overflow},
                per=len(connections),
            )
            for overflow, connections in stalled.items()
        ),
    ]


def _shared_frames(payload: Payload, connections: list[Connection]) -> list[Operation]:
    pipe = connections[0].link.transport.pipe
    if pipe is None:
        raise RuntimeError("a server that takes frames is not used")
    gather = f"{_DELIVER[:-1]}, gathering=True)"
    names = {"fan_out": fan_out, "connections": connections, "payload": payload, "overflow": Overflow.CLOSE}
    return [
        Operation(
            name=f"deliver to one of {RECIPIENTS:,} by shared frames, {turn} in a turn",
            statement=f"for _ in range({turn}): {gather}\nwrite()",
            names={**names, "write": pipe.gatherer._write_all},
            per=RECIPIENTS * turn,
        )
        for turn in (1, 4, 32)
    ]


async def _connections(
    stack: AsyncExitStack, manager: ConnectionManager, clients: Iterable[SilentClient]
) -> list[Connection]:
    connections = []
    for client in clients:
        connections.append(await stack.enter_async_context(manager.connect(client.websocket())))
        stack.callback(client.closed.set)  # it leaves first: nobody waits for what it has not read
    return connections


async def _stalled(stack: AsyncExitStack, payload: Payload) -> dict[Overflow, list[Connection]]:
    """For each policy that goes on at the bound: connections of which one write waits, with a full queue."""
    result = {}
    for overflow in (Overflow.DROP_OLDEST, Overflow.DROP_NEWEST):
        manager = ConnectionManager(overflow=overflow, queue=QueueLimits(messages=WAITING, send_timeout=None))
        connections = await _connections(stack, manager, [StalledClient() for _ in range(100)])
        for _ in range(WAITING):
            fan_out(connections, payload, overflow=overflow)
        result[overflow] = connections
    return result
