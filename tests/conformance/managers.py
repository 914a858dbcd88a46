"""The managers of the application under test: one for each case, all with deadlines scaled down."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel

from fastapi_rooms import (
    Connection,
    Disconnect,
    Heartbeat,
    Limits,
    Overflow,
    QueueLimits,
    RateLimit,
)

from .recording import Recorded, record

SEND_TIMEOUT: Final = 1.0
CLOSE_TIMEOUT: Final = 0.5
IN_TIME: Final = SEND_TIMEOUT + CLOSE_TIMEOUT + 4.5
"""Seconds within which who never reads is gone; the last are for a busy machine. By default it would take 7."""
HANDLER_GRACE: Final = 1.0
HOOK_TIMEOUT: Final = 1.0
SHORT: Final = 0.3
"""A deadline that nobody is to meet, however busy the machine is: the tests wait until it has passed."""
HEARTBEAT: Final = Heartbeat(interval=0.3, timeout=0.5, message="still there?")
PROTOCOL_PINGS: Final = Heartbeat(interval=0.5, timeout=0.5, message=None)
PATIENCE: Final = 60.0
"""Seconds that nobody waits for: who answers is asked again, and without an answer nobody would be."""
SHUTDOWN_SPREAD: Final = 1.5
QUEUE_MESSAGES: Final = 64
QUEUE_BYTES: Final = 512 * 1024
AFTER: Final = {"send_timeout": 20, "slow_consumer": QUEUE_MESSAGES + 1}
"""Messages to send once a client has stalled, for it to end in this way: the latter must fill its queue."""
MESSAGE_BYTES: Final = 4096

_LIMITS: Final = Limits(handler_grace=HANDLER_GRACE, hook_timeout=HOOK_TIMEOUT)
_QUEUE: Final = QueueLimits(
    messages=QUEUE_MESSAGES, bytes=QUEUE_BYTES, send_timeout=SEND_TIMEOUT, close_timeout=CLOSE_TIMEOUT
)
_PATIENT_QUEUE: Final = QueueLimits(messages=QUEUE_MESSAGES, send_timeout=30.0, close_timeout=CLOSE_TIMEOUT)
_FULL_FIRST: Final = QueueLimits(
    messages=QUEUE_MESSAGES, bytes=QUEUE_BYTES, send_timeout=30.0, close_timeout=CLOSE_TIMEOUT
)
"""However slowly a busy machine fills it, it is full before a send has waited too long."""
_IMPATIENT_QUEUE: Final = QueueLimits(
    messages=QUEUE_MESSAGES, bytes=QUEUE_BYTES, send_timeout=SHORT, close_timeout=CLOSE_TIMEOUT
)
"""For managers of which no client reads, and it does not matter when a send is taken for one that waits."""
_LONG_QUEUE: Final = QueueLimits(send_timeout=5.0, close_timeout=CLOSE_TIMEOUT)


class Said(BaseModel):
    """A message with a field that can be wrong."""

    text: str
    times: int = 1


class Strict(Recorded):
    """Serves `Said` messages only, and answers each."""

    message_model = Said

    async def on_message(self, connection: Connection[Any], message: Said) -> None:
        await connection.send(message)


RELEASED: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""Set by the test, for each user that is held up."""


async def released(user: str) -> None:
    """Hold somebody up until the test says so."""
    await RELEASED[user].wait()
    del RELEASED[user]


class Fragile(Recorded):
    """The user `hang:on_join` has an `on_join` that hangs, `held:on_join` one that waits until it is released, and
    `raise:on_join` one that raises.
    """

    async def _perhaps_fail(self, connection: Connection[Any], hook: str) -> None:
        match (connection.user_id or "").split(":"):
            case ["hang", name, *_] if name == hook:
                record(self.label, f"{hook} hangs", connection)
                await asyncio.Event().wait()  # only the hook's timeout ends it
            case ["held", name, *_] if name == hook:
                record(self.label, f"{hook} is held", connection)
                await released(f"held:{hook}")
            case ["raise", name, *_] if name == hook:
                raise RuntimeError(f"{hook} fails on purpose")

    async def authorize(self, connection: Connection[Any], room: str) -> bool:
        await self._perhaps_fail(connection, "authorize")
        return room != "forbidden"

    async def on_connect(self, connection: Connection[Any]) -> None:
        await super().on_connect(connection)
        await self._perhaps_fail(connection, "on_connect")

    async def on_join(self, connection: Connection[Any], room: str) -> None:
        await super().on_join(connection, room)
        await self._perhaps_fail(connection, "on_join")

    async def on_message(self, connection: Connection[Any], message: Any) -> None:
        await self._perhaps_fail(connection, "on_message")
        if message == "leave":
            for room in tuple(connection.rooms):
                await self.leave(connection, room)
        await connection.send({"echo": message})

    async def on_leave(self, connection: Connection[Any], room: str) -> None:
        await super().on_leave(connection, room)
        await self._perhaps_fail(connection, "on_leave")

    async def on_disconnect(self, connection: Connection[Any], disconnect: Disconnect) -> None:
        await super().on_disconnect(connection, disconnect)
        await self._perhaps_fail(connection, "on_disconnect")


MANAGERS: dict[str, Recorded] = {
    "stall-drop": Recorded(queue=_QUEUE, limits=_LIMITS, overflow=Overflow.DROP_OLDEST),
    "stall-close": Recorded(queue=_FULL_FIRST, limits=_LIMITS),
    "stall-await": Recorded(queue=_IMPATIENT_QUEUE, limits=_LIMITS),
    "heartbeat": Recorded(queue=_QUEUE, limits=_LIMITS, heartbeat=HEARTBEAT),
    "patient-heartbeat": Recorded(queue=_QUEUE, limits=_LIMITS, heartbeat=replace(HEARTBEAT, timeout=PATIENCE)),
    "pings": Recorded(queue=_QUEUE, limits=_LIMITS),
    "protocol-pings": Recorded(queue=_QUEUE, limits=_LIMITS, heartbeat=PROTOCOL_PINGS),
    "patient-pings": Recorded(queue=_QUEUE, limits=_LIMITS, heartbeat=replace(PROTOCOL_PINGS, timeout=PATIENCE)),
    "leave": Recorded(queue=_LONG_QUEUE, limits=_LIMITS),
    "leave-busy": Recorded(queue=_LONG_QUEUE, limits=Limits(handler_grace=SHORT, hook_timeout=HOOK_TIMEOUT)),
    "ends": Recorded(queue=_QUEUE, limits=_LIMITS),
    "auth": Recorded(queue=_QUEUE, limits=_LIMITS),
    "few": Recorded(queue=_QUEUE, limits=Limits(connections=2, connections_per_user=1)),
    "first": Recorded(queue=_QUEUE, limits=_LIMITS),
    "first-silent": Recorded(queue=_QUEUE, limits=Limits(authentication_timeout=SHORT)),
    "expiry": Recorded(queue=_QUEUE, limits=_LIMITS),
    "plain": Recorded(queue=_QUEUE, limits=Limits(message_bytes=MESSAGE_BYTES, handler_grace=HANDLER_GRACE)),
    "strict": Strict(queue=_QUEUE, limits=Limits(message_bytes=MESSAGE_BYTES, handler_grace=HANDLER_GRACE)),
    "rated": Recorded(queue=_QUEUE, limits=_LIMITS, rate_limit=RateLimit(rate=5, burst=10)),
    "shutdown": Recorded(queue=_PATIENT_QUEUE, limits=Limits(handler_grace=SHORT, hook_timeout=HOOK_TIMEOUT)),
    "spread": Recorded(queue=_QUEUE, limits=Limits(handler_grace=HANDLER_GRACE, shutdown_spread=SHUTDOWN_SPREAD)),
    "churn": Recorded(queue=_LONG_QUEUE, limits=_LIMITS),
    "fragile": Fragile(queue=_QUEUE, limits=_LIMITS),
    "fragile-patient": Fragile(queue=_QUEUE, limits=Limits(handler_grace=HANDLER_GRACE, hook_timeout=PATIENCE)),
    "bursts": Recorded(queue=_LONG_QUEUE, limits=_LIMITS),
    "events": Recorded(queue=_QUEUE, limits=Limits(connections_per_user=1, handler_grace=HANDLER_GRACE)),
    "joined-drop": Recorded(queue=_QUEUE, limits=_LIMITS, overflow=Overflow.DROP_OLDEST),
    "joined-close": Recorded(queue=_FULL_FIRST, limits=_LIMITS),
    "joined-alone": Recorded(queue=_IMPATIENT_QUEUE, limits=_LIMITS, overflow=Overflow.DROP_OLDEST),
}
for _label in ("joined-drop", "joined-close", "joined-alone"):
    MANAGERS[_label]._host.joins = True
for _label, _manager in MANAGERS.items():
    _manager.label = _label
